"""How one trial trains: the worker process and everything it does."""
