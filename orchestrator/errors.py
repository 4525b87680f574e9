"""Errors that the user can fix: one readable paragraph and exit code 2, never a traceback.

UnexpectedError      a fault of Trytable
UserError
 +-- StudyLocked      another orchestrator works on the study
 +-- SweepChanged     the sweep is not the one that the study was made with
 +-- DatabaseDamaged  the study database is damaged
 +-- StudyDeleted     the study was deleted while its sweep ran
 +-- PluginError      a sampler, pruner or backend of another package cannot be used
"""

from collections.abc import Iterator
from contextlib import contextmanager

from trytable.records import Refused


class UnexpectedError(Exception):
    """A fault of Trytable; the message names the log that has the traceback. Exit code 1."""


class UserError(Exception):
    """A mistake or a situation that the user can fix; the message is all that they see."""


class StudyLocked(UserError):
    """Another orchestrator works on this study; the message names it."""


class SweepChanged(UserError):
    """The study was made with other settings; the message lists every difference."""


class DatabaseDamaged(UserError):
    """The study database is damaged; the message has SQLite's findings and what to do."""


class StudyDeleted(UserError):
    """The study, its folder or its database was deleted while its sweep ran."""


class PluginError(UserError, Refused):
    """A sampler, pruner or backend of another package cannot be used; the message names it."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn errors that the user can fix, from whichever room, into UserError."""
    try:
        yield
    except Refused as error:
        raise UserError(str(error)) from error
    except OSError as error:
        if error.errno is None:
            raise
        place = error.filename or "A file could not be written"
        raise UserError(f"{place}: {error.strerror}.") from error
