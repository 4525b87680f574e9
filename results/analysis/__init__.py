"""Statistics of a study: comparison, confirmation, cost and importance."""
