"""Runs sweeps: the command line, the study, the scheduler and the backends that start workers."""
