"""Runs a sweep from start to end: opens its study, takes over unfinished trials, runs the loop."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from rich.console import Console
from rich.text import Text

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.errors import StudyLocked, UserError
from trytable.orchestrator.log.attempts import AttemptLog
from trytable.orchestrator.log.facts import log_start, sweep_hash
from trytable.orchestrator.log.run_log import RunLog, logged_errors
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.display import Display, introduction
from trytable.orchestrator.run.early_stopping import EarlyStopping, open_early_stopping
from trytable.orchestrator.run.error_messages import as_user_errors, detect_deleted_study
from trytable.orchestrator.run.jobs import (
    BackendStarter,
    knob_defaults,
    make_job,
    reports_memory,
    start_local,
    start_prepared,
)
from trytable.orchestrator.run.loop import Listeners, SweepLoop, best_completed
from trytable.orchestrator.run.progress import Progress, describe
from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.run.recovery import reconcile
from trytable.orchestrator.run.signals import SignalCounter
from trytable.orchestrator.scheduler.machine import StateMachine
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.orchestrator.study.carry_over import carry_over, find_sources
from trytable.orchestrator.study.compatibility import (
    changes_since,
    matching_study_name,
    sweep_changed_error,
)
from trytable.orchestrator.study.dashboard_note import DashboardNoteWriter
from trytable.orchestrator.study.database import DatabaseRetry, open_database
from trytable.orchestrator.study.locks import file_lock, identity_lock, study_lock
from trytable.orchestrator.study.study import OptunaStudy
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import SEED, TERMINAL, GoldRow, StudyLedger, StudyRow, TrialRow
from trytable.sweeps.config.schema import Sweep
from trytable.trainers.protocol.messages import memory_shape

_LOGGER = logging.getLogger(__name__)
_SEED_BITS = 31
"""Short enough for a user to type."""

_DRAINING = "Saving the running trials. The same command resumes them. Ctrl-C again stops now."

DatabaseOpener = Callable[[Folders], AbstractContextManager[tuple[BaseStorage, Ledger]]]


@dataclass(frozen=True)
class SweepOutcome:
    """How a run of a sweep ended. `completed` and `failed` count all trials of its study."""

    study: str
    interrupted: bool
    completed: int
    failed: int


def run_sweep(
    sweep: Sweep,
    folders: Folders,
    slots: Sequence[Slot],
    console: Console,
    *,
    retry_failed: bool = True,
    any_study: bool = True,
    as_new: bool = False,
    check_facts: Callable[[dict[str, Any]], None] = lambda _: None,
    start_backend: BackendStarter | None = None,
    open_database: DatabaseOpener = open_database,
) -> SweepOutcome:
    """Run a sweep, or what an earlier run left of it.

    A study has one data set and one model. With `any_study` the sweep goes on in its study with
    this data and model, or starts a new one beside the others; without, it goes on in the study
    that `folders` names.

    Args:
        sweep: what to try.
        folders: the folders and the database of the study.
        slots: where workers run.
        console: where to print.
        retry_failed: whether points that failed in earlier runs are tried again.
        any_study: whether another study of the sweep may be used.
        as_new: whether to carry over tries of the sweep's earlier studies.
        check_facts: raises UserError for data or a model that the caller does not accept.
        start_backend: starts the workers' backend; processes of this machine by default.
        open_database: opens Optuna's storage and the ledger.

    Raises UserError for what the user can fix. The folder of a study without trials is removed.
    """
    with ExitStack() as stack:
        log = stack.enter_context(RunLog(lambda text: console.print(Text(text), soft_wrap=True)))
        stack.enter_context(logged_errors(log, partial(_attach_early, log, folders)))
        stack.enter_context(as_user_errors(folders, log))
        start = partial(start_backend or start_local, sweep, folders, slots)
        with console.status("Reading data and model"):
            backend, facts, gold = start_prepared(sweep, folders, start, stack)
        check_facts(facts)
        storage, ledger = stack.enter_context(open_database(folders))
        if any_study:
            name = matching_study_name(sweep.name, facts, ledger.studies())
            folders = replace(folders, study=name)
        retry = DatabaseRetry(folders.url, stack.enter_context(study_lock(folders)))
        ledger.retry = retry
        stack.enter_context(_log_in_folder(log, folders))
        studies = ledger.studies()
        sources = find_sources(sweep.to_json(), facts, studies) if as_new else ()
        seed = _seed(sweep, sources, folders.study, studies)
        sweep = sweep.model_copy(update={"seed": seed})
        hashes = {"Seed": seed, "Sweep hash": sweep_hash(sweep.to_json())}
        log_start(f"Sweep {sweep.name} in study {folders.study}", slots, hashes)
        study = OptunaStudy(storage, sweep, folders.study, retry_failed, retry=retry)
        stack.enter_context(identity_lock(folders, study.uid))
        facts = {**facts, "defaults": knob_defaults(sweep.trainer)}
        open_sweep = _OpenSweep(sweep, folders, storage, study, ledger, retry)
        start_lines = open_sweep.write(facts, gold, sources)
        for line in start_lines:
            _LOGGER.info("%s", line)
        for line in (*introduction(sweep, folders.study, slots, facts), *start_lines):
            console.print(Text(line), soft_wrap=True)
        return _run(open_sweep, backend, console)


def _attach_early(log: RunLog, folders: Folders) -> None:
    """Attach the log for an error before the study's lock was taken, unless another run has it."""
    with suppress(StudyLocked, OSError), file_lock(folders.lock):
        log.attach(folders.log)


@contextmanager
def _log_in_folder(log: RunLog, folders: Folders) -> Iterator[None]:
    """Log in the study's folder; delete it at the end if it holds no trial.

    After an error that is not the user's it stays, because of the log in it.
    """
    log.attach(folders.log)
    is_needed = False
    try:
        yield
    except Exception as error:
        is_needed = not isinstance(error, UserError)
        raise
    finally:
        if not is_needed:
            folders.discard_if_unused()
        if not folders.home.exists():
            log.detach()  # the next record would create the folder again


def _seed(
    sweep: Sweep, sources: Sequence[StudyRow], study: str, studies: Iterable[StudyRow]
) -> int:
    """Return the seed that the sweep names, else its newest source's, its study's, or a new one."""
    stored = [*sources[-1:], *(row for row in studies if row.name == study)]
    # A study of imported logs has none.
    seeds = [sweep.seed, *(row.sweep.get("seed") for row in stored)]
    return next((seed for seed in seeds if seed is not None), secrets.randbits(_SEED_BITS))


@dataclass(frozen=True)
class _OpenSweep:
    """A sweep with its study and ledger, whose lock this process holds."""

    sweep: Sweep
    folders: Folders
    storage: BaseStorage
    study: OptunaStudy
    ledger: Ledger
    retry: DatabaseRetry

    def full_settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the full settings of a trial from its point."""
        settings = {**self.sweep.baseline, **params}
        settings.pop(SEED, None)  # a seed is not a knob of the trainer
        return settings

    def memory_shape(self, settings: dict[str, Any]) -> str:
        """Name the settings that decide a trial's memory; empty if the trainer reports none."""
        return memory_shape(settings) if reports_memory(self.sweep.trainer) else ""

    def write(
        self,
        facts: dict[str, Any],
        gold: Mapping[str, Sequence[int]],
        sources: Sequence[StudyRow],
    ) -> tuple[str, ...]:
        """Write the study, and the tries of its sources into it; return lines about the start.

        Raises SweepChanged if the study was made with another sweep.
        """
        imported_start = self.study.imported_start()
        self._write_row(facts, gold)
        carry_over_lines = carry_over(
            self.study.study,
            self.ledger,
            self.folders,
            self.sweep,
            sources=sources,
            full_settings=self.full_settings,
            defaults=facts["defaults"],
        )
        return (*imported_start.lines(), *carry_over_lines)

    def _write_row(self, facts: dict[str, Any], gold: Mapping[str, Sequence[int]]) -> None:
        uid, name, now = self.study.uid, self.folders.study, self.sweep.to_json()
        created_at = time.time()
        if uid in {row.uid for row in self.ledger.studies()}:
            then = self.ledger.read(uid).study
            changes = changes_since(then, now, facts, facts["defaults"])
            if changes:
                raise sweep_changed_error(name, changes)
            created_at = then.created_at
        rows = [GoldRow(uid, split, list(labels)) for split, labels in gold.items()]
        self.ledger.write(StudyRow(uid, name, now, facts, created_at), *rows)


def _run(open_sweep: _OpenSweep, backend: Backend, console: Console) -> SweepOutcome:
    """Take over the unfinished trials of earlier runs, then run the loop to its end."""
    sweep, folders, study = open_sweep.sweep, open_sweep.folders, open_sweep.study
    recorder = Recorder(open_sweep.ledger, study.uid)
    stored = open_sweep.ledger.read(study.uid)
    unfinished = reconcile(
        study, recorder, stored, open_sweep.full_settings, open_sweep.memory_shape
    )
    live_trials = [*unfinished.waiting, *unfinished.interrupted]
    machine = _machine(sweep, study.trials_to_ask(), live_trials)
    earlier = open_sweep.ledger.read(study.uid)
    data_hash = earlier.study.facts.get("data_hash", "")
    progress = _progress(sweep, machine, earlier)
    note_writer = _note_writer(open_sweep)
    early_stopping = open_early_stopping(sweep, earlier, machine.trials)
    with SignalCounter() as signals, Display(progress, console) as display:
        signals.on_first = partial(display.print_line, _DRAINING)
        open_sweep.retry.notify = display.print_line
        loop = SweepLoop(
            machine=machine,
            study=study,
            recorder=recorder,
            backend=backend,
            folders=folders,
            listener=Listeners(display, _attempt_log(sweep)),
            full_settings=open_sweep.full_settings,
            make_job=partial(make_job, sweep, folders, data_hash),
            interrupt_count=signals.read,
            objective=sweep.objective,
            best=best_completed(earlier.trials, sweep.objective),
            after_end=partial(_after_end, early_stopping, note_writer),
            check_early_stopping=early_stopping.check,
            memory_shape=open_sweep.memory_shape,
        )
        with detect_deleted_study(folders, open_sweep.storage):
            for trial in unfinished.interrupted:
                loop.replay(trial)
            loop.run()
            if note_writer:
                note_writer.write()
    counts = progress.counts
    _LOGGER.info("Sweep ended: %s of %d trials %s", progress.ended_count, progress.total, counts)
    completed, failed = (counts.get(status, 0) for status in ("completed", "failed"))
    return SweepOutcome(folders.study, signals.count > 0, completed, failed)


def _attempt_log(sweep: Sweep) -> AttemptLog:
    parameters = tuple(sweep.parameters)
    is_script = sweep.trainer == "script"
    return AttemptLog(lambda trial: describe(trial, parameters), quotes_output=is_script)


def _note_writer(open_sweep: _OpenSweep) -> DashboardNoteWriter | None:
    """Return a writer for the dashboard's note; None for a study in memory, which has none."""
    if not isinstance(open_sweep.storage, RDBStorage):
        return None
    return DashboardNoteWriter(open_sweep.study.study, open_sweep.folders.url, open_sweep.retry)


def _after_end(
    early_stopping: EarlyStopping, note_writer: DashboardNoteWriter | None, trial: TrialRow
) -> None:
    early_stopping.forget(trial.uid)
    if note_writer:
        note_writer.refresh()


def _machine(sweep: Sweep, to_ask: int, unfinished: Sequence[LiveTrial]) -> StateMachine:
    deadline = time.monotonic() + sweep.hours * 3600 if sweep.hours else None
    memory_reported = reports_memory(sweep.trainer)
    return StateMachine(
        to_ask,
        sweep.attempts,
        deadline,
        unfinished,
        sweep.gpu_failures,
        memory_reported=memory_reported,
    )


def _progress(sweep: Sweep, machine: StateMachine, earlier: StudyLedger) -> Progress:
    parameters = tuple(sweep.parameters)
    progress = Progress(0, parameters, sweep.objective)
    for trial in earlier.trials:
        if trial.status in TERMINAL:
            progress.counts[trial.status] = progress.counts.get(trial.status, 0) + 1
    progress.total = progress.ended_count + len(machine.trials) + machine.trials_left
    for value, number in best_completed(earlier.trials, sweep.objective)[:1]:
        row = next(trial for trial in earlier.trials if trial.number == number)
        progress.best = (value, number, describe(row, parameters))
    return progress
