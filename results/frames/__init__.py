"""A study as pandas DataFrames: five frames whose columns are declared once, with their units."""
