"""The steps of `make gpu-check`; each runs in a process of its own and writes into its notes."""
