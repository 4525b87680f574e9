"""Formats and escapes text, and holds the sentences of reports in each language."""
