"""The ledger beside Optuna's tables, and how a whole study is read."""
