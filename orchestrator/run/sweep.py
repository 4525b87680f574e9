"""Runs a sweep from start to end: opens its study, takes over unfinished trials, runs the loop."""

import importlib.metadata
import logging
import secrets
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
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
from trytable.orchestrator.run.early_stopping import EarlyStopping
from trytable.orchestrator.run.error_messages import as_user_errors, detect_deleted_study
from trytable.orchestrator.run.jobs import (
    BackendStarter,
    check_script,
    reports_memory,
    settings_of,
    start_local,
)
from trytable.orchestrator.run.loop import Listeners, SweepLoop, best_first
from trytable.orchestrator.run.progress import Progress, describe
from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.run.recovery import reconcile
from trytable.orchestrator.run.signals import SignalCounter
from trytable.orchestrator.run.subprocesses import start_preparation
from trytable.orchestrator.scheduler.events import StartAttempt
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
from trytable.orchestrator.study.sampling.kinds import plugin_facts
from trytable.orchestrator.study.study import OptunaStudy
from trytable.records import Objective
from trytable.results.analysis.diagnosis.api import make_task, thresholds_of
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import SEED, TERMINAL, GoldRow, StudyLedger, StudyRow, TrialRow
from trytable.sweeps.config.schema import Sweep
from trytable.trainers.protocol.messages import TRAINERS, Job, memory_shape

PINNED_PACKAGES = ("torch", "transformers", "optuna")
"""The packages whose versions are stored with a study."""

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
            backend, facts, gold = _prepare(sweep, folders, start, stack)
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
        imported_start = study.imported_start()
        _write_study(ledger, study.uid, folders.study, sweep, facts=facts, gold=gold)
        open_sweep = _OpenSweep(sweep, folders, storage, study, ledger, retry)
        carry_over_lines = carry_over(
            study.study,
            ledger,
            folders,
            sweep,
            sources=sources,
            full_settings=open_sweep.full_settings,
            defaults=facts["defaults"],
        )
        lines = (
            *introduction(sweep, folders.study, slots, facts),
            *imported_start.lines(),
            *carry_over_lines,
        )
        for line in (*imported_start.lines(), *carry_over_lines):
            _LOGGER.info("%s", line)
        for line in lines:
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


def _prepare(
    sweep: Sweep, folders: Folders, start: Callable[[], Backend], stack: ExitStack
) -> tuple[Backend, dict[str, Any], dict[str, tuple[int, ...]]]:
    """Start the backend; return it with the facts about data and model, and gold labels by split.

    The data are checked and tokenized while the fork server loads the model.
    """
    pins = {name: importlib.metadata.version(name) for name in PINNED_PACKAGES}
    plugins = plugin_facts(sweep)
    pins |= {plugin["package"]: plugin["version"] for plugin in plugins.values()}
    facts = {"pins": pins, **({"plugins": plugins} if plugins else {})}
    if sweep.trainer == "script":
        check_script(sweep, folders.trial(0))
    if sweep.trainer != "finetune":
        return stack.enter_context(closing(start())), facts, {}
    length = int(sweep.baseline["max_length"])
    preparation = stack.enter_context(
        start_preparation(sweep.model, sweep.data, length, folders.cache)
    )
    backend = stack.enter_context(closing(start()))
    prepared = preparation.result()
    check_batch_sizes(sweep, prepared.sizes["train"])
    return backend, {**prepared.model_dump(exclude={"gold"}), **facts}, prepared.gold


def check_batch_sizes(sweep: Sweep, train_size: int) -> None:
    """Raise UserError if a batch would be larger than the training data."""
    parameter = sweep.parameters.get("batch_size")
    sizes = [sweep.baseline["batch_size"], *(p.get("batch_size", 0) for p in sweep.enqueue)]
    if parameter is not None:
        sizes.append(parameter.largest)
    if max(sizes) > train_size:
        raise UserError(
            f"{sweep.path}: batch_size {max(sizes)} is larger than the training data, which have "
            f"{train_size} sentences. Allowed: 1 to {train_size}."
        )


def _write_study(
    ledger: Ledger,
    uid: str,
    name: str,
    sweep: Sweep,
    *,
    facts: dict[str, Any],
    gold: dict[str, tuple[int, ...]],
) -> None:
    """Write the study into the ledger. Raises SweepChanged if it was made with another sweep."""
    now = sweep.to_json()
    created_at = time.time()
    if uid in {row.uid for row in ledger.studies()}:
        then = ledger.read(uid).study
        changes = changes_since(then, now, facts, knob_defaults(sweep.trainer))
        if changes:
            raise sweep_changed_error(name, changes)
        created_at = then.created_at
    rows = [GoldRow(uid, split, list(labels)) for split, labels in gold.items()]
    ledger.write(StudyRow(uid, name, now, facts, created_at), *rows)


def knob_defaults(trainer: str) -> dict[str, Any]:
    """Return the defaults of a trainer's knobs."""
    fields = TRAINERS[trainer].model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required()}


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


def _run(open_sweep: _OpenSweep, backend: Backend, console: Console) -> SweepOutcome:
    """Take over the unfinished trials of earlier runs, then run the loop to its end."""
    study, ledger = open_sweep.study, open_sweep.ledger
    recorder = Recorder(ledger, study.uid)
    unfinished = reconcile(
        study, recorder, ledger.read(study.uid), open_sweep.full_settings, open_sweep.memory_shape
    )
    live_trials = [*unfinished.waiting, *unfinished.interrupted]
    machine = _machine(open_sweep.sweep, study.trials_to_ask(), live_trials)
    earlier = ledger.read(study.uid)
    progress = _progress(open_sweep, machine, earlier)
    note_writer = _note_writer(open_sweep)
    early_stopping = _early_stopping(open_sweep.sweep, earlier, machine.trials)
    with SignalCounter() as signals, Display(progress, console) as display:
        signals.on_first = partial(display.print_line, _DRAINING)
        open_sweep.retry.notify = display.print_line
        loop = SweepLoop(
            machine=machine,
            study=study,
            recorder=recorder,
            backend=backend,
            folders=open_sweep.folders,
            listener=Listeners(display, _attempt_log(open_sweep.sweep)),
            full_settings=open_sweep.full_settings,
            make_job=partial(_job, open_sweep, earlier.study.facts.get("data_hash", "")),
            interrupt_count=signals.read,
            objective=open_sweep.sweep.objective,
            best=_best(earlier, open_sweep.sweep.objective),
            after_end=partial(_after_end, early_stopping, note_writer),
            check_early_stopping=early_stopping.check,
            memory_shape=open_sweep.memory_shape,
        )
        with detect_deleted_study(open_sweep.folders, open_sweep.storage):
            for trial in unfinished.interrupted:
                loop.replay(trial)
            loop.run()
            if note_writer:
                note_writer.write()
    counts = progress.counts
    _LOGGER.info("Sweep ended: %s of %d trials %s", progress.ended_count, progress.total, counts)
    return SweepOutcome(
        study=open_sweep.folders.study,
        interrupted=signals.count > 0,
        completed=counts.get("completed", 0),
        failed=counts.get("failed", 0),
    )


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


def _early_stopping(sweep: Sweep, earlier: StudyLedger, live_uids: Container[str]) -> EarlyStopping:
    """Return a sweep's early stopping, with what its unfinished trials have reported so far."""
    gold = {row.split: tuple(row.labels) for row in earlier.gold}
    return EarlyStopping(
        make_task(earlier.study.facts, gold.get("dev", ())),
        thresholds_of(sweep.to_json()),
        (row for row in earlier.steps if row.trial_uid in live_uids),
        (row for row in earlier.epochs if row.trial_uid in live_uids),
    )


def _job(open_sweep: _OpenSweep, data_hash: str, trial: TrialRow, start: StartAttempt) -> Job:
    sweep, folders = open_sweep.sweep, open_sweep.folders
    seed = sweep.seed if trial.seed is None else trial.seed
    assert seed is not None, "run_sweep gives each sweep a seed"
    return Job(
        study=folders.study,
        trial_uid=trial.uid,
        number=trial.number,
        attempt=start.attempt,
        folder=str(folders.trial(trial.number)),
        cache_folder=str(folders.cache),
        model=sweep.model,
        data=sweep.data,
        data_hash=data_hash,
        settings=settings_of(sweep, trial.requested),
        seed=seed,
        device=start.slot.device,
        shared_device=start.shared,
        threads=start.slot.threads,
        objective=open_sweep.sweep.objective,
    )


def _progress(open_sweep: _OpenSweep, machine: StateMachine, earlier: StudyLedger) -> Progress:
    parameters = tuple(open_sweep.sweep.parameters)
    progress = Progress(0, parameters, open_sweep.sweep.objective)
    for trial in earlier.trials:
        if trial.status in TERMINAL:
            progress.counts[trial.status] = progress.counts.get(trial.status, 0) + 1
    progress.total = progress.ended_count + len(machine.trials) + machine.trials_left
    for value, number in _best(earlier, open_sweep.sweep.objective)[:1]:
        row = next(trial for trial in earlier.trials if trial.number == number)
        progress.best = (value, number, describe(row, parameters))
    return progress


def _best(earlier: StudyLedger, objective: Objective) -> list[tuple[float, int]]:
    """Return value and number of the completed trials that were not imported, best first."""
    completed = (
        (trial.best_value, trial.number)
        for trial in earlier.trials
        if trial.status == "completed" and trial.best_value is not None and not trial.origin
    )
    return best_first(completed, objective)
