"""Trains one trial: the worker process and everything that runs inside it."""
