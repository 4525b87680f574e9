"""The verbs of the command line, one file each, grouped by what they do to a study."""
