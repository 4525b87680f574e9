"""Sweep files: each YAML file beside this module is one sweep; `config` reads and checks them."""

from trytable.sweeps.config.loader import Sweep, SweepError, read_sweep

__all__ = ["Sweep", "SweepError", "read_sweep"]
