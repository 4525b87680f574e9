"""Verbs that read a study or a sweep and print what they find."""
