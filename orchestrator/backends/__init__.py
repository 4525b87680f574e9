"""Starts workers and receives their events, behind one small interface."""
