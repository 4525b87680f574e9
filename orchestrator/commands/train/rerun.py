"""`trytable rerun`: retrains a trial from its record and compares the two to the last bit."""

import json
import logging
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from trytable.files import write_atomic
from trytable.orchestrator.backends.base import Backend, BackendError, Slot, WorkerExit
from trytable.orchestrator.backends.local import LocalBackend
from trytable.orchestrator.commands import trial_record
from trytable.orchestrator.commands.terminal import print_line
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.log.facts import log_start
from trytable.orchestrator.log.run_log import RunLog, logged_errors
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.recorder import event_rows
from trytable.orchestrator.run.signals import SignalCounter
from trytable.results.analysis import reproducibility
from trytable.results.analysis.reproducibility import Measurements, Reproduction, TrainingConditions
from trytable.results.storage.rows import EpochRow, FindingRow, PredictionRow, StepRow
from trytable.results.text.format import format_value
from trytable.trainers.protocol import messages

_LOGGER = logging.getLogger(__name__)
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class RerunOutcome:
    """How a rerun ended: interrupted by the user, or compared.

    `as_expected` is False if the rerun failed and the trial had not, or if the same bits were
    expected and did not come.
    """

    interrupted: bool
    as_expected: bool = True


@dataclass(frozen=True)
class _Training:
    """The worker's events, how its process exited, and whether it was stopped on purpose."""

    events: tuple[messages.AnyEvent, ...]
    exit_text: str
    stopped: bool

    @property
    def result(self) -> messages.Finished | messages.Failed | None:
        return next(
            (e for e in self.events if isinstance(e, messages.Finished | messages.Failed)), None
        )

    @property
    def failed(self) -> bool:
        return not self.stopped if self.result is None else isinstance(self.result, messages.Failed)

    @property
    def end(self) -> str:
        """The end in words, starting with the status that a trial of a sweep would have."""
        match self.result:
            case messages.Finished():
                return "completed"
            case messages.Failed(message=message):
                return f"failed: {message}"
        if self.stopped:
            return "stopped at the same point"
        return f"failed: the worker exited without reporting a result ({self.exit_text})"


def rerun_trial(folders: Folders, number: int | None, console: Console) -> RerunOutcome:
    """Retrain a trial in a folder of its own, with its threads and precision, and compare.

    Ctrl-C leaves nothing behind. Raises UserError if the trial has no usable record, or if its
    data or model is missing or has changed.
    """
    record = trial_record.read_record(folders, number)
    log = RunLog(partial(print_line, console))
    with log, logged_errors(log, partial(log.attach, folders.log)), SignalCounter() as signals:
        try:
            return _rerun(record, folders, console, signals, log)
        except BackendError as error:
            raise UserError(str(error)) from error
        except UserError:
            # Ctrl-C also reaches the process that reads data and model, which then fails.
            if signals.count:
                return RerunOutcome(interrupted=True)
            raise


def _rerun(
    record: trial_record.TrialRecord,
    folders: Folders,
    console: Console,
    signals: SignalCounter,
    log: RunLog,
) -> RerunOutcome:
    slot = trial_record.slot_of(record)
    folder = folders.new_rerun(record.trial.number)
    with ExitStack() as discard:
        discard.callback(shutil.rmtree, folder, ignore_errors=True)
        with ExitStack() as stack:
            with console.status("Reading data and model"):
                backend = _start_backend(record, folders, folder, slot, stack)
            job = trial_record.job_of(record, folders, folder, slot)
            title = f"{record.study.name}: {record.trial.label} again on {slot.device}"
            log.attach(folders.log)
            log_start(f"Rerun of {title}", [slot], {"Seed": job.seed, "Folder": folder})
            print_line(console, f"{title}, CPU threads: {slot.threads}")
            training = _train(backend, job, slot, signals, _Listener(record, console))
            _LOGGER.info("Rerun ended (%s)", training.exit_text)
        if signals.count:
            return RerunOutcome(interrupted=True)
        comparison = _compare(record, training)
        paths = _write(comparison, folder)
        discard.pop_all()
    print_line(console, reproducibility.verdict(comparison))
    for path in paths:
        print_line(console, str(path))
    return RerunOutcome(
        interrupted=False, as_expected=_is_as_expected(record, training, comparison)
    )


def _start_backend(
    record: trial_record.TrialRecord, folders: Folders, folder: Path, slot: Slot, stack: ExitStack
) -> Backend:
    """Return a backend with one slot, after checking that data and model are unchanged.

    Data are read while the fork server loads the model.
    """
    preparation = trial_record.record_preparation(record, folders)
    if preparation is not None:
        stack.enter_context(preparation)
    trainer = record.study.sweep["trainer"]
    backend = LocalBackend([slot], trainer, record.model, folder / "warm.log")
    stack.callback(backend.close)
    if preparation is not None:
        trial_record.check_unchanged(record, preparation.result())
    return backend


class _Listener:
    """Collects the worker's events and prints each epoch beside the recorded one.

    A trial that was cut short is stopped once all that was recorded of it has come again.
    """

    def __init__(self, record: trial_record.TrialRecord, console: Console) -> None:
        self.events: list[messages.AnyEvent] = []
        self._record = record
        self._console = console
        self._missing_steps = set(record.measurements.steps)
        self._missing_epochs = set(record.measurements.epochs)

    @property
    def has_enough(self) -> bool:
        """Whether a trial that was cut short has been repeated as far as it was trained."""
        return self._record.was_cut_short and not (self._missing_steps or self._missing_epochs)

    def on_event(self, event: messages.AnyEvent) -> None:
        """Store an event; print a line for an epoch."""
        self.events.append(event)
        if isinstance(event, messages.Step):
            self._missing_steps.discard(event.step)
        if isinstance(event, messages.Epoch):
            self._missing_epochs.discard(event.epoch)
            print_line(self._console, self._epoch_line(event))

    def _epoch_line(self, event: messages.Epoch) -> str:
        title = self._record.study.objective_title
        recorded = self._record.measurements.epochs.get(event.epoch)
        line = f"epoch {event.epoch}: {title} {_value_text(event.value)}"
        if recorded is None:
            return line
        recorded_epoch = Measurements({}, {event.epoch: recorded}, {})
        if reproducibility.first_difference(recorded_epoch, _measurements([event])) is None:
            return f"{line}, the same to the last bit"
        return f"{line}, {_value_text(recorded['value'])} then"


def _value_text(value: float | None) -> str:
    return format_value(value, "accuracy")


def _train(
    backend: Backend, job: messages.Job, slot: Slot, signals: SignalCounter, listener: _Listener
) -> _Training:
    """Train to the end, or as far as the recorded trial was trained."""
    backend.start(job, slot)
    while signals.read() < 2:  # noqa: PLR2004 - the second Ctrl-C does not wait for the worker
        if signals.count or listener.has_enough:
            backend.stop(job.trial_uid, "prune")
        for message in backend.poll(POLL_SECONDS):
            if isinstance(message, WorkerExit):
                return _Training(tuple(listener.events), message.cause, listener.has_enough)
            listener.on_event(message.event)
    return _Training(tuple(listener.events), "stopped", listener.has_enough)


def _measurements(events: Iterable[messages.AnyEvent]) -> Measurements:
    rows = [row for event in events for row in event_rows("", event)]
    return reproducibility.collect_measurements(
        [row for row in rows if isinstance(row, StepRow)],
        [row for row in rows if isinstance(row, EpochRow)],
        {row.split: row.labels for row in rows if isinstance(row, PredictionRow)},
    )


def _compare(record: trial_record.TrialRecord, training: _Training) -> Reproduction:
    repeated = _measurements(training.events)
    trial = record.trial
    return Reproduction(
        study=record.study.name,
        label=trial.label,
        recorded_end=f"{trial.status}: {trial.reason}" if trial.reason else trial.status,
        repeated_end=training.end,
        recorded=record.measurements,
        repeated=repeated,
        reasons=_obstacles(record.conditions, training.events),
        difference=reproducibility.first_difference(record.measurements, repeated),
    )


def _obstacles(then: TrainingConditions, events: Iterable[messages.AnyEvent]) -> tuple[str, ...]:
    """Return why the same bits were not to be expected."""
    started = next((event for event in events if isinstance(event, messages.Started)), None)
    if started is None:
        return ()
    findings = [
        FindingRow("", 1, e.kind, e.severity, "", {})
        for e in events
        if isinstance(e, messages.Finding)
    ]
    now = TrainingConditions(
        threads=(started.threads,),
        devices=(started.device,),
        precisions=(started.precision,),
        code_hashes=(started.code_hash,),
        versions=trial_record.installed_versions(then.versions),
        ran_out_of_memory=reproducibility.ran_out_of_memory(findings),
    )
    return reproducibility.reasons_to_differ(then, now)


def _write(comparison: Reproduction, folder: Path) -> list[Path]:
    document = json.dumps(reproducibility.to_document(comparison), indent=1, ensure_ascii=False)
    contents = {
        "rerun.json": f"{document}\n",
        "rerun.md": reproducibility.to_markdown(comparison),
    }
    for name, content in contents.items():
        write_atomic(folder / name, content.encode())
    return [folder / name for name in contents]


def _is_as_expected(
    record: trial_record.TrialRecord, training: _Training, comparison: Reproduction
) -> bool:
    if training.failed and record.trial.status != "failed":
        return False
    return (
        comparison.is_identical or not comparison.identity_expected or comparison.recorded.is_empty
    )
