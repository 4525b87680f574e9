"""Imports the logs of runs made by hand as completed trials of a study."""
