"""What came out of a study: storage, analysis, tables, plots and reports."""
