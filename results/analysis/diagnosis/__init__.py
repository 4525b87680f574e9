"""Diagnoses what went wrong or well in a trial; each finding has its evidence in numbers."""
