"""The ledger beside Optuna's tables, and the reader of a study in both."""
