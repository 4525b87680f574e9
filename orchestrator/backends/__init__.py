"""Where workers run: one small interface and what stands behind it."""
