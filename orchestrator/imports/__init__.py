"""Adopts what was run by hand: a log becomes completed tries of a study.

sources.py reads lines, blocks.py puts them together, parameters.py finds what each run was given,
mapping.py writes that down for the person and reads it back, trials.py makes trials of it, and
adopting.py is the verb.
"""
