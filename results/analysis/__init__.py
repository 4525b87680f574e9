"""Statistics over a study: comparison, confirmation, cost and importance."""
