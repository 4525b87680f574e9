"""The public Python API of Trytable: `open_study` reads a study as pandas DataFrames.

LookupError
 +-- StudyNotFound        no study has that name; the message lists the existing ones
Exception
 +-- DatabaseUnreadable   there is no database, or it cannot be read as a study database
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trytable.results.storage.engine import DatabaseUnreadable, StudyNotFound
    from trytable.study import Study, open_study

__all__ = ["DatabaseUnreadable", "Study", "StudyNotFound", "__version__", "open_study"]

__version__ = "0.2.0"
"""The only place that states the version; pyproject.toml reads it."""

# A library stays silent unless its user configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_MODULES = {
    "open_study": "trytable.study",
    "Study": "trytable.study",
    "StudyNotFound": "trytable.results.storage.engine",
    "DatabaseUnreadable": "trytable.results.storage.engine",
}
"""Imported when they are first used: every worker imports this package, and none needs pandas."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
