"""Verbs that copy a study, move it, or export a model from it."""
