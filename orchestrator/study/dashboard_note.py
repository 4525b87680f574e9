"""The study's note in the Optuna dashboard: its Try table, never over a person's own words."""

import hashlib
import math
import time
from collections.abc import Callable

import optuna

from trytable.results.storage.engine import Caller, call_once
from trytable.results.storage.reader import read_study
from trytable.results.tables.formats import note
from trytable.results.tables.trials import try_table

NOTE_HASHES = "trytable:note_sha256"
"""Attribute of a study: hashes of the notes that are ours, the last written and the one before."""

_PAUSE_SECONDS = 20.0
_PAUSE_PER_COST = 20.0
"""A note may cost a twentieth of the time at most."""

_LONGEST_SECONDS = 1.0
"""No slot waits longer for a note: after one that took longer, the next is the sweep's last."""


class DashboardNoteWriter:
    """Keeps a study's note up to date.

    Args:
        study: the study, held by this process.
        url: its database.
        patience: makes the calls that use the database.
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
        """Write the note if the last one is some time ago."""
        if self._now() >= self._not_before:
            self.write()

    def write(self) -> None:
        """Write the note now, unless a person has written one."""
        began = self._now()
        self._retry(self._write)
        cost = self._now() - began
        pause = max(_PAUSE_SECONDS, _PAUSE_PER_COST * cost)
        self._not_before = math.inf if cost > _LONGEST_SECONDS else self._now() + pause

    def _write(self) -> None:
        save_note(self._study, note(try_table(read_study(self._url, self._study.study_name))))


def save_note(study: optuna.Study, text: str) -> bool:
    """Save a note, and tell whether it was: a note that is not ours is left as it is."""
    # Here, not at the top: it takes two seconds, which no sweep should wait for at its start.
    import optuna_dashboard  # noqa: PLC0415 - see above

    current = optuna_dashboard.get_note(study)
    ours = study.user_attrs.get(NOTE_HASHES, [])
    if current and _hash(current) not in ours:
        return False
    if current != text:
        # Both hashes first: killed between the two writes, either note is known as ours.
        study.set_user_attr(NOTE_HASHES, [_hash(current), _hash(text)])
        optuna_dashboard.save_note(study, text)
    return True


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
