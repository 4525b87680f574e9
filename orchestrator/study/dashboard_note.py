"""Writes a study's Try table as its note in the Optuna dashboard; never over a user's own note."""

import hashlib
import math
import time
from collections.abc import Callable

import optuna

from trytable.results.analysis.analysis import analyze
from trytable.results.storage.engine import Caller, call_once
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult

NOTE_HASHES = "trytable:note_sha256"
"""Study attribute: the hashes of the last two notes that Trytable has written."""

_PAUSE_SECONDS = 20.0
_PAUSE_PER_COST = 20.0
"""Writing notes may take a twentieth of the time at most."""

_MAX_SECONDS = 1.0
"""Slots wait while a note is written. After one that took longer, only the last one follows."""


class DashboardNoteWriter:
    """Keeps a study's note up to date.

    Args:
        study: the study, held by this process.
        url: its database.
        retry: makes the calls that use the database.
        now: monotonic seconds.
    """

    def __init__(
        self,
        study: optuna.Study,
        url: str,
        retry: Caller = call_once,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study = study
        self._url = url
        self._retry = retry
        self._now = now
        self._not_before = now() + _PAUSE_SECONDS

    def refresh(self) -> None:
        """Write the note if the pause after the last one is over."""
        if self._now() >= self._not_before:
            self.write()

    def write(self) -> None:
        """Write the note now, unless the user has written one."""
        start = self._now()
        study = self._retry(lambda: read_study(self._url, self._study.study_name))
        text = _table_text(study)
        self._retry(lambda: save_note(self._study, text))
        cost = self._now() - start
        pause = max(_PAUSE_SECONDS, _PAUSE_PER_COST * cost)
        self._not_before = math.inf if cost > _MAX_SECONDS else self._now() + pause


def _table_text(study: StudyResult) -> str:
    # Not at the top of the module: they import pandas, and no sweep should start later.
    from trytable.results.frames.frames import StudyFrames  # noqa: PLC0415 - see above
    from trytable.results.tables.formats import note_markdown  # noqa: PLC0415 - see above
    from trytable.results.tables.trials import try_table  # noqa: PLC0415 - see above

    return note_markdown(try_table(StudyFrames(study, analyze(study))))


def save_note(study: optuna.Study, text: str) -> bool:
    """Save a note unless the user has written one; return whether it was saved."""
    # Not at the top of the module: the import takes two seconds, and no sweep should start later.
    import optuna_dashboard  # noqa: PLC0415 - see above

    current = optuna_dashboard.get_note(study)
    own_hashes = study.user_attrs.get(NOTE_HASHES, [])
    if current and _hash(current) not in own_hashes:
        return False
    if current != text:
        # Both hashes first: if the process is killed before the next write, the old note is known.
        study.set_user_attr(NOTE_HASHES, [_hash(current), _hash(text)])
        optuna_dashboard.save_note(study, text)
    return True


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
