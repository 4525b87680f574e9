"""Runs one sweep from start to end: the loop that connects scheduler, study and backend."""
