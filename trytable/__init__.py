"""The public Python API of Trytable."""

import logging

__version__ = "0.2.0"
"""The only place that states the version; pyproject.toml reads it."""

# A library stays silent unless its user configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())
