"""What is wrong with a sweep file, in words for the person who wrote it."""


class SweepError(Exception):
    """All mistakes of a file or a setting, a line each: where, what, and what is allowed."""
