"""Turns a YAML file into a checked `Sweep`, or reports every mistake in it at once."""
