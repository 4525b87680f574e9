"""Reads metrics from what programs print and from the files that they write."""
