"""Runs a sweep from its file to the end of its last trial: puts the parts together."""

import importlib.metadata
import secrets
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from rich.console import Console
from rich.text import Text

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.display import Display, introduction
from trytable.orchestrator.run.early_stopping import EarlyStopping
from trytable.orchestrator.run.engine import BackendStarter, start_local
from trytable.orchestrator.run.error_messages import as_user_errors, detect_deleted_study
from trytable.orchestrator.run.jobs import check_script, settings_of, tells_memory
from trytable.orchestrator.run.loop import SweepLoop, best_first
from trytable.orchestrator.run.progress import Progress, describe
from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.run.recovery import reconcile
from trytable.orchestrator.run.signals import SignalCounter
from trytable.orchestrator.run.subprocesses import start_preparation
from trytable.orchestrator.scheduler.events import StartAttempt
from trytable.orchestrator.scheduler.machine import StateMachine
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.orchestrator.study.carry_over import carry_over, find_sources, with_seed_from
from trytable.orchestrator.study.compatibility import (
    changes_since,
    matching_study_name,
    sweep_changed_error,
)
from trytable.orchestrator.study.dashboard_note import DashboardNoteWriter
from trytable.orchestrator.study.database import DatabaseRetry, open_database
from trytable.orchestrator.study.locks import study_lock
from trytable.orchestrator.study.study import OptunaStudy
from trytable.records import Objective
from trytable.results.analysis.diagnosis.api import make_task, thresholds_of
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import SEED, TERMINAL, GoldRow, StudyLedger, StudyRow, TrialRow
from trytable.sweeps.config.loader import Sweep
from trytable.trainers.protocol.messages import TRAINERS, DataSource, Job, memory_shape

PINNED_PACKAGES = ("torch", "transformers", "optuna")
"""The packages whose versions are kept with a study."""

_SEED_BITS = 31
"""Short enough to be typed again."""

_DRAINING = "Saving the running trials; the same command goes on later. Ctrl-C again stops now."


DatabaseOpener = Callable[[Folders], AbstractContextManager[tuple[BaseStorage, Ledger]]]


@dataclass(frozen=True)
class SweepOutcome:
    """How a run of a study ended. `failed` and `completed` count the study's trials."""

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
    """Run what is missing of a sweep, or all of it; on this machine unless told otherwise.

    The study lies in the database of `folders`, or in what `open_database` opens.

    A study is of one data set and one model: with `any_study` the sweep goes on in the one that
    fits, or in a new one beside it; else in the study that `folders` names, if that fits. `as_new`
    gives that one the tries of this sweep's other studies that are still its own.
    `check_facts` may refuse what was found of data and model.

    Raises UserError for all that the person can mend; then nothing half-written stays behind.
    """
    with ExitStack() as stack:
        stack.enter_context(as_user_errors(folders))
        begin = partial(start_backend or start_local, sweep, folders, slots)
        with console.status("Reading data and model"):
            backend, facts, gold = _prepared(sweep, folders, begin, stack)
        check_facts(facts)
        storage, ledger = stack.enter_context(open_database(folders))
        if any_study:
            name = matching_study_name(sweep.name, facts, ledger.studies())
            folders = replace(folders, study=name)
        retry = DatabaseRetry(folders.url, stack.enter_context(study_lock(folders)))
        ledger.retry = retry
        stack.callback(folders.discard_if_unused)
        known = ledger.studies()
        sources = find_sources(sweep.to_json(), facts, known) if as_new else ()
        sweep = _seeded(with_seed_from(sweep, sources), folders.study, known)
        study = OptunaStudy(storage, sweep, folders.study, retry_failed, retry=retry)
        facts = {**facts, "defaults": knob_defaults(sweep.trainer)}
        start = study.imported_start()
        _write_study(ledger, study.uid, folders.study, sweep, facts=facts, gold=gold)
        work = _Open(sweep, folders, storage, study, ledger, retry)
        carried = carry_over(
            study.study,
            ledger,
            folders,
            sweep,
            sources=sources,
            full_settings=work.full_settings,
            defaults=facts["defaults"],
        )
        lines = (*introduction(sweep, folders.study, slots, facts), *start.lines(), *carried)
        for line in lines:
            console.print(Text(line), soft_wrap=True)
        return _run(work, backend, console)


def _seeded(sweep: Sweep, study: str, studies: Iterable[StudyRow]) -> Sweep:
    """The sweep with the seed that its study has drawn, or draws now, where it names none."""
    if sweep.seed is not None:
        return sweep
    kept = (row.sweep["seed"] for row in studies if row.name == study)
    return replace(sweep, seed=next(kept, secrets.randbits(_SEED_BITS)))


def _prepared(
    sweep: Sweep, folders: Folders, start: Callable[[], Backend], stack: ExitStack
) -> tuple[Backend, dict[str, Any], dict[str, tuple[int, ...]]]:
    """The backend, what is known of data and model, and the gold labels by split.

    Data are checked and tokenised while the fork server reads the model.
    """
    pins = {name: importlib.metadata.version(name) for name in PINNED_PACKAGES}
    if sweep.trainer == "script":
        check_script(sweep.to_json(), folders.trial(0))
    if sweep.trainer != "finetune":
        return _closed_after(stack, start()), {"pins": pins}, {}
    data = DataSource.model_validate(sweep.data)
    length = int(sweep.baseline["max_length"])
    preparation = stack.enter_context(start_preparation(sweep.model, data, length, folders.cache))
    backend = _closed_after(stack, start())
    found = preparation.result()
    check_batch_sizes(sweep, found.sizes["train"])
    return backend, {**found.model_dump(exclude={"gold"}), "pins": pins}, found.gold


def _closed_after(stack: ExitStack, backend: Backend) -> Backend:
    stack.callback(backend.close)
    return backend


def check_batch_sizes(sweep: Sweep, train_size: int) -> None:
    """Raise UserError where a batch would be larger than the training data."""
    parameter = sweep.parameters.get("batch_size")
    asked = [sweep.baseline["batch_size"], *(p.get("batch_size", 0) for p in sweep.enqueue)]
    if parameter is not None:
        asked.append(parameter.largest)
    if max(asked) > train_size:
        raise UserError(
            f"{sweep.path}: batch_size {max(asked)} is larger than the training data, which hold "
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
    """Enter the study, or check that it is still the same. Raises SweepChanged."""
    now = sweep.to_json()
    created_at = time.time()
    if uid in {row.uid for row in ledger.studies()}:
        then = ledger.read(uid).study
        found = changes_since(then, now, facts, knob_defaults(sweep.trainer))
        if found:
            raise sweep_changed_error(name, found)
        created_at = then.created_at
    rows = [GoldRow(uid, split, list(labels)) for split, labels in gold.items()]
    ledger.write(StudyRow(uid, name, now, facts, created_at), *rows)


def knob_defaults(trainer: str) -> dict[str, Any]:
    """The values that a trainer's knobs have where nobody sets them."""
    fields = TRAINERS[trainer].model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required()}


@dataclass(frozen=True)
class _Open:
    """A sweep whose study and ledger are open and ours."""

    sweep: Sweep
    folders: Folders
    storage: BaseStorage
    study: OptunaStudy
    ledger: Ledger
    retry: DatabaseRetry

    def full_settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """The full settings of a trial."""
        settings = {**self.sweep.baseline, **params}
        settings.pop(SEED, None)  # a trial's own seed is no knob
        return TRAINERS[self.sweep.trainer].model_validate(settings).model_dump()

    def memory_shape(self, requested: dict[str, Any]) -> str:
        """What of a trial's full settings decides its memory; nothing where no trial tells it."""
        return memory_shape(requested) if tells_memory(self.sweep.trainer) else ""


def _run(work: _Open, backend: Backend, console: Console) -> SweepOutcome:
    """Take up what an earlier run left, then go on to the end."""
    study, ledger = work.study, work.ledger
    recorder = Recorder(ledger, study.uid)
    left = reconcile(study, recorder, ledger.read(study.uid), work.full_settings, work.memory_shape)
    unfinished = [*left.waiting, *left.interrupted]
    machine = _machine(work.sweep, study.trials_to_ask(), unfinished)
    earlier = ledger.read(study.uid)
    progress = _progress(work, machine, earlier)
    note_writer = _note_writer(work)
    early_stopping = _early_stopping(work.sweep, earlier, machine.trials)
    with SignalCounter() as signals, Display(progress, console) as display:
        signals.on_first = partial(display.print_line, _DRAINING)
        work.retry.notify = display.print_line
        loop = SweepLoop(
            machine=machine,
            study=study,
            recorder=recorder,
            backend=backend,
            folders=work.folders,
            listener=display,
            full_settings=work.full_settings,
            make_job=partial(_job, work, earlier.study.facts.get("data_hash", "")),
            interrupt_count=lambda: signals.count,
            objective=work.sweep.objective,
            best=_best(earlier, work.sweep.objective),
            after_end=partial(_after_end, early_stopping, note_writer),
            check_early_stopping=early_stopping.check,
            memory_shape=work.memory_shape,
        )
        with detect_deleted_study(work.folders, work.storage):
            for trial in left.interrupted:
                loop.replay(trial)
            loop.run()
            if note_writer:
                note_writer.write()
    counts = progress.counts
    return SweepOutcome(
        study=work.folders.study,
        interrupted=signals.count > 0,
        completed=counts.get("completed", 0),
        failed=counts.get("failed", 0),
    )


def _note_writer(work: _Open) -> DashboardNoteWriter | None:
    """Keeps the note in the dashboard; a study that lies in memory is shown in none."""
    if not isinstance(work.storage, RDBStorage):
        return None
    return DashboardNoteWriter(work.study.study, work.folders.url, work.retry)


def _after_end(
    early_stopping: EarlyStopping, note_writer: DashboardNoteWriter | None, trial: TrialRow
) -> None:
    early_stopping.forget(trial.uid)
    if note_writer:
        note_writer.refresh()


def _machine(sweep: Sweep, to_ask: int, unfinished: Sequence[LiveTrial]) -> StateMachine:
    deadline = time.monotonic() + sweep.hours * 3600 if sweep.hours else None
    memory_reported = tells_memory(sweep.trainer)
    return StateMachine(
        to_ask,
        sweep.attempts,
        deadline,
        unfinished,
        sweep.gpu_failures,
        memory_reported=memory_reported,
    )


def _early_stopping(sweep: Sweep, earlier: StudyLedger, going_on: Container[str]) -> EarlyStopping:
    """The gate of a sweep, which knows what the trials that go on have said so far."""
    gold = {row.split: tuple(row.labels) for row in earlier.gold}
    return EarlyStopping(
        make_task(earlier.study.facts, gold.get("dev", ())),
        thresholds_of(sweep.to_json()),
        (row for row in earlier.steps if row.trial_uid in going_on),
        (row for row in earlier.epochs if row.trial_uid in going_on),
    )


def _job(work: _Open, data_hash: str, trial: TrialRow, start: StartAttempt) -> Job:
    sweep, folders = work.sweep, work.folders
    seed = sweep.seed if trial.seed is None else trial.seed
    assert seed is not None, "a study draws its seed before it asks"
    return Job(
        study=folders.study,
        trial_uid=trial.uid,
        number=trial.number,
        attempt=start.attempt,
        folder=str(folders.trial(trial.number)),
        cache_folder=str(folders.cache),
        model=sweep.model,
        data=DataSource.model_validate(sweep.data),
        data_hash=data_hash,
        settings=settings_of(sweep.to_json(), trial.requested),
        seed=seed,
        device=start.slot.device,
        shared_device=start.shared,
        threads=start.slot.threads,
        objective=work.sweep.objective,
    )


def _progress(work: _Open, machine: StateMachine, earlier: StudyLedger) -> Progress:
    varied = tuple(work.sweep.parameters)
    progress = Progress(0, varied, work.sweep.objective)
    for trial in earlier.trials:
        if trial.status in TERMINAL:
            progress.counts[trial.status] = progress.counts.get(trial.status, 0) + 1
    progress.total = progress.ended_count + len(machine.trials) + machine.trials_left
    for value, number in _best(earlier, work.sweep.objective)[:1]:
        row = next(trial for trial in earlier.trials if trial.number == number)
        progress.best = (value, number, describe(row, varied))
    return progress


def _best(earlier: StudyLedger, objective: Objective) -> list[tuple[float, int]]:
    """Completed trials that were trained here, as (value, number), best first."""
    completed = (
        (trial.best_value, trial.number)
        for trial in earlier.trials
        if trial.status == "completed" and trial.best_value is not None and not trial.origin
    )
    return best_first(completed, objective)
