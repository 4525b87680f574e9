"""Verbs that train trials or decide what to train next."""
