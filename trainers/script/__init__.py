"""The script trainer: runs somebody else's program and observes what it does."""
