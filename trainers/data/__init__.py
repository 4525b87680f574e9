"""Reads texts and labels, tokenises them and makes batches."""
