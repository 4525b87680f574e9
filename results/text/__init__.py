"""Formats and escapes text; the catalogs of sentences in each language."""
