"""The Try table and the table of paired comparisons, in every format that they are written in."""
