"""A trial of each family on the device, forked by the fork server."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from benchmarks.gpu import trials
from benchmarks.gpu.card import CPU, Meter
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space
from trytable.trainers.protocol.messages import Started

LR = 1e-3
FAMILIES: Mapping[str, tuple[Mapping[str, Sequence[Any]], Mapping[str, Any]]] = {
    "minilm": ({"lr": [LR]}, {}),
    "bert": ({"lr": [LR]}, {"pooling": "cls"}),
    "llama": ({"lora_rank": [0, 8]}, {"lr": LR, "pooling": "last"}),
}
"""The parameters and the baseline of each family's study; LLaMA once with LoRA."""

_FORK_SERVER = "forkserver"


class ForkServerWatch:
    """Collects the process ids of this process's fork servers while a block runs."""

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self._end = threading.Event()

    def __enter__(self) -> "ForkServerWatch":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            for child in psutil.Process().children():
                try:
                    if any(_FORK_SERVER in word for word in child.cmdline()):
                        self.pids.add(child.pid)
                except psutil.Error:
                    continue  # it has ended


def run(space: Space, notes: Notes) -> None:
    """Run every family's study, then look at a live optimizer."""
    if space.card is None:
        notes.skip("bf16, the card's UUID, no context in the fork server", "a CPU has none of them")
    for family in FAMILIES:
        _run_family(space, family, notes)
    _check_fused(space, notes)


def _run_family(space: Space, family: str, notes: Notes) -> None:
    parameters, baseline = FAMILIES[family]
    fixed = {"epochs": 1, "batch_size": space.sizes.batch, **baseline}
    with ForkServerWatch() as watch, Meter(space.card) as meter:
        study = trials.run_study(space, f"family-{family}", parameters, fixed, family=family)
    notes.require(study.all_completed, f"{family}: {[t.reason for t in study.trials]}")
    worker_pids = set()
    for trial in study.trials:
        event = trials.started(study.events(trial.number))
        notes.require(event is not None, f"{family}: Try {trial.number + 1} never started")
        if event is None:
            continue
        worker_pids.add(event.pid)
        for problem in start_problems(event, space.device, fixed.get("lr", LR)):
            notes.require(False, f"{family}: {problem}")
        notes.figure(f"{family} {dict(trial.requested)[next(iter(parameters))]}", event.precision)
    notes.require("mismatch" not in study.finding_kinds, f"{family}: a parameter is not effective")
    if space.card is not None:
        notes.figure(f"{family} peak GiB on the card", meter.peak_bytes / 2**30)
        notes.figure(f"{family} workers that the driver lists", len(meter.pids & worker_pids))
        intruders = meter.pids & watch.pids
        notes.require(not intruders, f"{family}: the fork server had a context ({intruders})")
    notes.require(bool(watch.pids), f"{family}: no fork server was seen")


def start_problems(event: Started, device: str, lr: float) -> list[str]:
    """Return what is wrong with a start: the device, the precision, or the learning rate."""
    problems = []
    if event.device != device:
        problems.append(f"it ran on {event.device}, not on {device}")
    if device != CPU and event.precision != "bf16":
        problems.append(f"it trained in {event.precision}, not in bf16")
    rates = [v for name, v in event.effective.items() if name.startswith("lr.peak.")]
    if not rates or any(rate != lr for rate in rates):
        problems.append(f"the peak learning rates are {rates}, not {lr}")
    return problems


def _check_fused(space: Space, notes: Notes) -> None:
    from trytable.trainers.models.backbone import load_model  # noqa: PLC0415 - imports torch

    job = trials.prepared_job(space, "minilm", "fused", epochs=1)
    training = trials.training_run(space, job, load_model(str(space.model("minilm"))))
    fused = bool(training.optimizer.defaults["fused"])
    notes.figure("fused AdamW", fused)
    notes.require(fused == (space.card is not None), f"fused AdamW is {fused} on {space.device}")
