"""The paths under runs/, which no other module spells out."""

import itertools
import json
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from trytable.results.storage.engine import redacted_url
from trytable.trainers.protocol.messages import AnyEvent, parse_event


@dataclass(frozen=True)
class Folders:
    """The paths of one study.

    Args:
        runs: the folder of all studies, absolute.
        study: the study's name.
        storage: SQLAlchemy's URL of a PostgreSQL database to use instead of the SQLite file.
    """

    runs: Path
    study: str
    storage: str = ""

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the study database."""
        return self.storage or self.file_url

    @property
    def file_url(self) -> str:
        """SQLAlchemy's URL of the SQLite file, whether it is used or not."""
        return sa.URL.create("sqlite", database=str(self.database)).render_as_string()

    @property
    def database_label(self) -> str:
        """The study database as messages name it, without a password."""
        return redacted_url(self.storage) if self.storage else str(self.database)

    @property
    def database(self) -> Path:
        """The SQLite file, whether it is used or not."""
        return self.runs / "studies.db"

    @property
    def backups(self) -> Path:
        """Copies of the database that the user asked for."""
        return self.runs / "backups"

    @property
    def database_lock(self) -> Path:
        """Locked while a process opens the SQLite file and makes its tables."""
        return self.runs / ".studies.lock"

    @property
    def cache(self) -> Path:
        """Tokenised data, shared by all studies; may be deleted at any time."""
        return self.runs / ".cache"

    @property
    def home(self) -> Path:
        """The folder of the study."""
        return self.runs / self.study

    @property
    def lock(self) -> Path:
        return self.home / ".lock"

    def identity_lock(self, uid: str) -> Path:
        """Locked while a process owns the study with this UUID; it outlives the study's folder."""
        return self.runs / ".locks" / f"{uid}.lock"

    @property
    def log(self) -> Path:
        """What happened in the runs of the study; older parts are beside it, with a number."""
        return self.home / "orchestrator.log"

    @property
    def forkserver_log(self) -> Path:
        """The output of the study's fork servers."""
        return self.cache / f"{self.study}.warm.log"

    @property
    def tables(self) -> Path:
        return self.home / "tables"

    @property
    def imports(self) -> Path:
        """Mapping files of imported logs."""
        return self.home / "imports"

    @property
    def trials(self) -> Path:
        return self.home / "trials"

    def trial(self, number: int) -> Path:
        return self.trials / f"{number:04d}"

    def new_rerun(self, number: int) -> Path:
        """Make and return a folder for one more rerun of a trial."""
        for count in itertools.count(1):
            folder = self.home / "reruns" / f"{number:04d}-{count}"
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
        raise AssertionError("itertools.count never ends")

    def reruns(self, number: int) -> list[Path]:
        """Return the folders of a trial's reruns, the newest first."""
        folders = (self.home / "reruns").glob(f"{number:04d}-*")
        return sorted(folders, key=lambda path: (len(path.name), path.name), reverse=True)

    def checkpoints(self, number: int) -> Path:
        return self.trial(number) / "checkpoints"

    def events(self, number: int, attempt: int) -> list[AnyEvent]:
        """Return the events that an attempt wrote, without a line that a kill cut short."""
        path = self.trial(number) / "events.jsonl"
        if not path.exists():
            return []
        events = [_event(line) for line in path.read_bytes().splitlines()]
        return [event for event in events if event is not None and event.attempt == attempt]

    def claim(self, number: int, uid: str) -> None:
        """Rename a trial's folder that a trial of a deleted study left under the same number.

        New trials get the old numbers after a study or its database was deleted, and must not
        take over the old events and checkpoints. Nothing is deleted: the folder becomes
        `NUMBER.old-1`, or the next free name.
        """
        folder = self.trial(number)
        if _owner(folder) in (None, uid):
            return
        names = (folder.with_name(f"{folder.name}.old-{n}") for n in itertools.count(1))
        folder.rename(next(name for name in names if not name.exists()))

    def keep_checkpoints(self, keep: Collection[int], candidates: Collection[int]) -> None:
        """Delete the checkpoints of the candidates (trial numbers) except those to keep."""
        for number in set(candidates) - set(keep):
            shutil.rmtree(self.checkpoints(number), ignore_errors=True)

    def discard_if_unused(self) -> None:
        """Delete the study's folder if it holds no trial, table or import."""
        used = (self.trials, self.tables, self.imports)
        if self.home.is_dir() and not any(path.exists() for path in used):
            shutil.rmtree(self.home)


def _owner(folder: Path) -> str | None:
    """Return the UUID of the trial that was last started in a folder."""
    try:
        return str(json.loads((folder / "job.json").read_text())["trial_uid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _event(line: bytes) -> AnyEvent | None:
    try:
        return parse_event(line)
    except ValueError:
        return None


def display_path(path: Path) -> str:
    """Return a path for messages: relative if it is below the working folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
