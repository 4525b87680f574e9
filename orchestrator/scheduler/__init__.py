"""Decides what happens next: pure functions and state machines without I/O."""
