"""What crosses the process border: jobs, events and knobs. Nothing here imports torch."""
