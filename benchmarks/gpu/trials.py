"""Runs sweeps and single trials by Trytable's own code, and reads what became of them."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.gpu.card import CPU
from benchmarks.gpu.space import Space
from benchmarks.work import Silent
from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import SweepOutcome, run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.records import DataSource
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import StudyLedger, TrialRow
from trytable.sweeps.config.loader import read_sweep
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Finding,
    FinetuneSettings,
    Finished,
    Job,
    Started,
)

SEED = 42


@dataclass(frozen=True)
class StudyRun:
    """A run of a sweep: its folders, what it printed, how it ended, and its ledger."""

    folders: Folders
    printed: str
    outcome: SweepOutcome
    ledger: StudyLedger

    @property
    def trials(self) -> Sequence[TrialRow]:
        return self.ledger.trials

    @property
    def all_completed(self) -> bool:
        return all(trial.status == "completed" for trial in self.trials)

    @property
    def finding_kinds(self) -> list[str]:
        return [finding.kind for finding in self.ledger.findings]

    def events(self, number: int, attempt: int = 1) -> list[AnyEvent]:
        """Return what an attempt wrote."""
        return self.folders.events(number, attempt)


def run_study(
    space: Space,
    name: str,
    parameters: Mapping[str, Sequence[Any]],
    baseline: Mapping[str, Any],
    *,
    family: str = "bert",
    together: int = 1,
) -> StudyRun:
    """Run a grid over the texts with a family's model; `together` trials at once on the device.

    The baseline has each parameter's first value, so that it is a point of the grid. The same call
    again continues what was interrupted.
    """
    sweep = {
        "model": str(space.model(family)),
        "data": {"name": str(space.texts)},
        "seed": SEED,
        "baseline": {**_fixed(space), **{k: v[0] for k, v in parameters.items()}, **baseline},
        "parameters": {key: list(values) for key, values in parameters.items()},
        "gate": {"kinds": []},
        "max_per_gpu": together,
    }
    path = space.folder / "sweeps" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sweep))
    folders = Folders(space.runs, name)
    printed = io.StringIO()
    outcome = run_sweep(
        read_sweep(path, KINDS),
        folders,
        slots(space, together),
        Console(file=printed, width=200),
    )
    print(printed.getvalue())
    return StudyRun(folders, printed.getvalue(), outcome, _read(folders))


def _fixed(space: Space) -> dict[str, Any]:
    """Return the knobs that every trial has: on a CPU fp32, since small bf16 products are slow."""
    precision = "fp32" if space.device == CPU else "auto"
    return {"max_length": space.sizes.tokens, "precision": precision}


def slots(space: Space, count: int) -> tuple[Slot, ...]:
    """Return so many slots on the device; together they have no more threads than cores.

    A CPU's have one each: small models gain nothing from more, and wait long on a busy machine.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // count) if space.device != CPU else 1
    return tuple(Slot(str(i + 1), space.device, threads) for i in range(count))


def _read(folders: Folders) -> StudyLedger:
    ledger = Ledger(folders.url)
    try:
        uid = next(row.uid for row in ledger.studies() if row.name == folders.study)
        return ledger.read(uid)
    finally:
        ledger.close()


def prepared_job(
    space: Space, family: str, uid: str, *, shared: bool = False, threads: int = 1, **knobs: Any
) -> Job:
    """Return a job over the texts, which are prepared in the cache that the studies use, too."""
    # Here, not at the top: a step that runs studies alone needs no transformers.
    from trytable.trainers.entrypoints.prepare import prepare  # noqa: PLC0415 - see above

    settings = FinetuneSettings.model_validate(
        {**_fixed(space), "batch_size": space.sizes.batch, **knobs}
    )
    source, model = DataSource(name=str(space.texts)), str(space.model(family))
    cache = Folders(space.runs, "").cache
    prepared = prepare(model, source, settings.max_length, cache)
    folder = space.folder / "jobs" / uid
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        study="gpu-check",
        trial_uid=uid,
        number=0,
        attempt=1,
        folder=str(folder),
        cache_folder=str(cache),
        model=model,
        data=source,
        data_hash=prepared.data_hash,
        settings=settings,
        seed=SEED,
        device=space.device,
        shared_device=shared,
        threads=threads,
    )


def training_run(space: Space, job: Job, loaded: Any) -> Any:
    """Return a `TrainingRun` of a job in this process, which then has a context of its own."""
    if space.device != CPU:
        os.environ["CUDA_VISIBLE_DEVICES"] = space.device
    import torch  # noqa: PLC0415 - a step that runs studies alone needs no torch

    from trytable.trainers.finetune.trainer import TrainingRun  # noqa: PLC0415 - see above

    torch.set_num_threads(job.threads)  # as a worker does
    assert isinstance(job.settings, FinetuneSettings), "the settings are ours"
    return TrainingRun(job, job.settings, Silent(), loaded)


def started(events: Sequence[AnyEvent]) -> Started | None:
    """Return the event with the effective parameters."""
    return next((event for event in events if isinstance(event, Started)), None)


def finished(events: Sequence[AnyEvent]) -> Finished | None:
    """Return the event with the result."""
    return next((event for event in events if isinstance(event, Finished)), None)


def findings(events: Sequence[AnyEvent], kind: str) -> list[Finding]:
    """Return the findings of a kind."""
    return [event for event in events if isinstance(event, Finding) and event.kind == kind]


def weights(folders: Folders, number: int) -> Path:
    """Return the file of a completed trial's weights."""
    return folders.checkpoints(number) / "best" / "model.safetensors"
