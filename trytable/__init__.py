"""The public Python API of Trytable."""

__version__ = "0.2.0"
"""The only place that states the version; pyproject.toml reads it."""
