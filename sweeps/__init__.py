"""What to try: a named sweep is one YAML file."""
