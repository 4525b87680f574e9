"""Where everything lies: the one place that knows the paths under runs/."""

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
        storage: SQLAlchemy's URL of a PostgreSQL database that takes the SQLite file's place.
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
        """SQLAlchemy's URL of the SQLite file."""
        return sa.URL.create("sqlite", database=str(self.database)).render_as_string()

    @property
    def database_label(self) -> str:
        """The study database in words for people, without a password."""
        return redacted_url(self.storage) if self.storage else str(self.database)

    @property
    def database(self) -> Path:
        """The SQLite file, also where another database takes its place."""
        return self.runs / "studies.db"

    @property
    def backups(self) -> Path:
        """Copies of the database, which a person asked for."""
        return self.runs / "backups"

    @property
    def database_lock(self) -> Path:
        return self.runs / ".studies.lock"

    @property
    def cache(self) -> Path:
        """Tokenised data, shared by all studies; may be deleted at any time."""
        return self.runs / ".cache"

    @property
    def home(self) -> Path:
        return self.runs / self.study

    @property
    def lock(self) -> Path:
        return self.home / ".lock"

    @property
    def forkserver_log(self) -> Path:
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
        """Make a folder for one more repetition of a trial."""
        for count in itertools.count(1):
            folder = self.home / "reruns" / f"{number:04d}-{count}"
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
        raise AssertionError("there always is a next number")

    def reruns(self, number: int) -> list[Path]:
        """The folders of a trial's repetitions, the newest first."""
        found = (self.home / "reruns").glob(f"{number:04d}-*")
        return sorted(found, key=lambda path: (len(path.name), path.name), reverse=True)

    def checkpoints(self, number: int) -> Path:
        return self.trial(number) / "checkpoints"

    def events(self, number: int, attempt: int) -> list[AnyEvent]:
        """What an attempt wrote down; a line cut short by its end is left out."""
        path = self.trial(number) / "events.jsonl"
        if not path.exists():
            return []
        events = [_event(line) for line in path.read_bytes().splitlines()]
        return [event for event in events if event is not None and event.attempt == attempt]

    def claim(self, number: int, uid: str) -> None:
        """Set aside a trial folder that another trial of that number has left.

        Where a study or its database was deleted, new trials get old numbers, and must find
        neither their events nor their checkpoints.
        """
        folder = self.trial(number)
        if _owner(folder) in (None, uid):
            return
        names = (folder.with_name(f"{folder.name}.old-{n}") for n in itertools.count(1))
        folder.rename(next(name for name in names if not name.exists()))

    def keep_checkpoints(self, keep: Collection[int], ended: Collection[int]) -> None:
        """Delete the checkpoints of ended trials, by number, but for those to keep."""
        for number in set(ended) - set(keep):
            shutil.rmtree(self.checkpoints(number), ignore_errors=True)

    def discard_if_unused(self) -> None:
        """Remove a study's folder without trial or import: nothing half-written stays behind."""
        used = (self.trials, self.tables, self.imports)
        if self.home.is_dir() and not any(path.exists() for path in used):
            shutil.rmtree(self.home)


def _owner(folder: Path) -> str | None:
    """The UUID of the trial that was last started there."""
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
    """A path as people in this folder would write it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
