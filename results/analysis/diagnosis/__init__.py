"""Finds what went wrong or well in a trial, each finding with its evidence in numbers."""
