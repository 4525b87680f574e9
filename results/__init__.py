"""What came out: the ledger, Try tables, plots, exports, the dashboard."""
