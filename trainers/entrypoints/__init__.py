"""The programs that `python -m` and the fork server run."""
