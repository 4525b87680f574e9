"""Reads text and labels, tokenizes them and makes batches."""
