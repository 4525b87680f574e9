"""`trytable rerun`: trains a try again from its record and says whether the same bits came."""

import importlib.metadata
import json
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from trytable.files import write_atomic
from trytable.orchestrator.backends.base import Backend, BackendError, Slot, WorkerExit
from trytable.orchestrator.backends.local import LocalBackend
from trytable.orchestrator.commands.trial_record import (
    Recorded,
    begin_preparing,
    check_same,
    job_of,
    read_record,
    slot_of,
)
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.recorder import event_rows
from trytable.orchestrator.run.signals import SignalCounter
from trytable.results.analysis import reproducibility
from trytable.results.analysis.reproducibility import Measurements, Reproduction, TrainingConditions
from trytable.results.storage.rows import EpochRow, FindingRow, PredictionRow, StepRow
from trytable.results.text.format import format_value
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Failed,
    Finding,
    Finished,
    Job,
    Started,
    Step,
)

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a rerun ended: stopped by the person, or compared.

    `as_expected` is False where it failed and the try had not, or where the same bits were to be
    expected and did not come.
    """

    interrupted: bool
    as_expected: bool = True


@dataclass(frozen=True)
class _Trained:
    """What the worker said, and how it ended."""

    events: tuple[AnyEvent, ...]
    how: str
    stopped: bool

    @property
    def end(self) -> str:
        """The end in words, beginning with the status that a try of a sweep would have."""
        last = next((e for e in self.events if isinstance(e, Finished | Failed)), None)
        if isinstance(last, Finished):
            return "completed"
        if isinstance(last, Failed):
            return f"failed: {last.message}"
        return "stopped there, too" if self.stopped else f"died without a word: {self.how}"


def rerun(folders: Folders, number: str, console: Console) -> Outcome:
    """Train a try again in a folder of its own, with its threads and precision, and compare.

    Ctrl-C leaves nothing behind. Raises UserError for a try without a record, and where data or
    model have gone or changed.
    """
    record = read_record(folders, number)
    with SignalCounter() as signals:
        try:
            return _rerun(record, folders, console, signals)
        except BackendError as error:
            raise UserError(str(error)) from error
        except UserError:
            if signals.count:  # Ctrl-C ends the preparation, too
                return Outcome(interrupted=True)
            raise


def _rerun(record: Recorded, folders: Folders, console: Console, signals: SignalCounter) -> Outcome:
    slot = slot_of(record)
    folder = folders.new_rerun(record.one.number)
    with ExitStack() as discard:
        discard.callback(shutil.rmtree, folder, ignore_errors=True)
        with ExitStack() as stack:
            with console.status("Reading data and model"):
                backend = _ready(record, folders, folder, slot, stack)
            job = job_of(record, folders, folder, slot)
            told = f"{record.study.name}: {record.one.label} again on {slot.device}"
            console.print(Text(f"{told}, CPU threads: {slot.threads}"), soft_wrap=True)
            trained = _train(backend, job, slot, signals, _Listener(record, console))
        if signals.count:
            return Outcome(interrupted=True)
        found = _compare(record, trained)
        paths = _write(found, folder)
        discard.pop_all()
    console.print(Text(reproducibility.verdict(found)), soft_wrap=True)
    for path in paths:
        console.print(Text(str(path)), soft_wrap=True)
    return Outcome(interrupted=False, as_expected=_is_as_expected(record, trained, found))


def _ready(
    record: Recorded, folders: Folders, folder: Path, slot: Slot, stack: ExitStack
) -> Backend:
    """A backend with one slot, once data and model are known to be the recorded ones."""
    preparation = begin_preparing(record, folders)
    if preparation is not None:
        stack.enter_context(preparation)
    trainer = record.study.sweep["trainer"]
    backend = LocalBackend([slot], trainer, record.model, folder / "warm.log")
    stack.callback(backend.close)
    if preparation is not None:
        check_same(record, preparation.result())
    return backend


class _Listener:
    """Hears the worker, tells each epoch beside the recorded one, and knows when it is enough."""

    def __init__(self, record: Recorded, console: Console) -> None:
        self.events: list[AnyEvent] = []
        self._record = record
        self._console = console
        self._steps_left = set(record.measured.steps)
        self._epochs_left = set(record.measured.epochs)

    @property
    def has_enough(self) -> bool:
        """Whether a try that was cut short has been repeated as far as it came."""
        return self._record.was_cut_short and not (self._steps_left or self._epochs_left)

    def hear(self, event: AnyEvent) -> None:
        """Take in what the worker says; print an epoch's line."""
        self.events.append(event)
        if isinstance(event, Step):
            self._steps_left.discard(event.step)
        if isinstance(event, Epoch):
            self._epochs_left.discard(event.epoch)
            self._console.print(Text(self._line(event)), soft_wrap=True)

    def _line(self, event: Epoch) -> str:
        title = self._record.study.objective_title
        recorded = self._record.measured.epochs.get(event.epoch)
        line = f"epoch {event.epoch}: {title} {_told(event.value)}"
        if recorded is None:
            return line
        only = Measurements({}, {event.epoch: recorded}, {})
        if reproducibility.first_difference(only, _measured([event])) is None:
            return f"{line}, the same to the last bit"
        return f"{line}, {_told(recorded['value'])} then"


def _told(value: float | None) -> str:
    return format_value(value, "accuracy")


def _train(
    backend: Backend, job: Job, slot: Slot, signals: SignalCounter, listener: _Listener
) -> _Trained:
    """Train to the end, or as far as the try was trained."""
    backend.start(job, slot)
    while signals.count < 2:  # noqa: PLR2004 - the second Ctrl-C does not wait any more
        if signals.count or listener.has_enough:
            backend.stop(job.trial_uid, "prune")
        for message in backend.poll(POLL_SECONDS):
            if isinstance(message, WorkerExit):
                return _Trained(tuple(listener.events), message.cause, listener.has_enough)
            listener.hear(message.event)
    return _Trained(tuple(listener.events), "stopped", listener.has_enough)


def _measured(events: Iterable[AnyEvent]) -> Measurements:
    rows = [row for event in events for row in event_rows("", event)]
    return reproducibility.collect_measurements(
        [row for row in rows if isinstance(row, StepRow)],
        [row for row in rows if isinstance(row, EpochRow)],
        {row.split: row.labels for row in rows if isinstance(row, PredictionRow)},
    )


def _compare(record: Recorded, trained: _Trained) -> Reproduction:
    again = _measured(trained.events)
    one = record.one
    return Reproduction(
        study=record.study.name,
        label=one.label,
        recorded_end=f"{one.status}: {one.reason}" if one.reason else one.status,
        repeated_end=trained.end,
        recorded=record.measured,
        repeated=again,
        reasons=_obstacles(record.circumstances, trained.events),
        difference=reproducibility.first_difference(record.measured, again),
    )


def _obstacles(then: TrainingConditions, events: Iterable[AnyEvent]) -> tuple[str, ...]:
    started = next((event for event in events if isinstance(event, Started)), None)
    if started is None:
        return ()
    kinds = [
        FindingRow("", 1, e.kind, e.severity, "", {}) for e in events if isinstance(e, Finding)
    ]
    now = TrainingConditions(
        threads=(started.threads,),
        devices=(started.device,),
        precisions=(started.precision,),
        code_hashes=(started.code_hash,),
        versions=_versions(then.versions),
        ran_out_of_memory=reproducibility.ran_out_of_memory(kinds),
    )
    return reproducibility.reasons_to_differ(then, now)


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _write(found: Reproduction, folder: Path) -> list[Path]:
    document = json.dumps(reproducibility.to_document(found), indent=1, ensure_ascii=False)
    contents = {"rerun.json": f"{document}\n", "rerun.md": reproducibility.to_markdown(found)}
    for name, content in contents.items():
        write_atomic(folder / name, content.encode())
    return [folder / name for name in contents]


def _is_as_expected(record: Recorded, trained: _Trained, found: Reproduction) -> bool:
    has_failed = trained.end.startswith(("failed", "died"))
    if has_failed and record.one.status != "failed":
        return False
    return found.is_identical or not found.identity_expected or found.recorded.is_empty
