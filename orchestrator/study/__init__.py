"""One study in its database: asking for trials, storing them, locking and checking."""
