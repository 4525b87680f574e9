"""What a trial costs besides its training, against Ray Tune, on two slots of one thread each.

(a) 40 trials that do nothing but report ten times. Tune's trainable is a function that calls
`tune.report` ten times. Ours is the scripted trainer, which starts a process, says ten epochs and
a result, and whose every word is stored in the database before the next trial starts.

(b) 12 trials that load `minilm` and end. Tune's trainable reads the model by our own
`load_model`, builds our classifier and reports once. Ours is a sweep of the built-in trainer over
eight sentences: it builds the same classifier from the model that the fork server has read, reads
back what it will train with, takes one training step, evaluates, keeps its best weights on disk
(90 MB), and says its result and predictions. So ours does more than Tune's, but for reading the
model's file, which it does once for all trials: that is what a fork server is for.

A trial's cost is the time from the order to start the first to the end of the last, by their
number; for Tune that of `Tuner.fit()`, with Ray running already. What either takes to get there is
told apart. Both run by turns on the same two cores; Tune in a process of its own, with its
defaults, and again with `reuse_actors=True`.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.measure import Result
from trytable.orchestrator.backends.base import Backend, Slot, WorkerExit, WorkerMessage
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.engine import (
    EngineOptions,
    open_engine,
)
from trytable.orchestrator.run.jobs import BackendStarter, start_local
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.protocol.messages import Job, StopReason

REPEATS = 2
AIM = 10.0
SLOTS = (Slot("1"), Slot("2"))
REPORTS, NOTHING_TRIALS, LOADING_TRIALS = 10, 40, 12
_TOP = Path(__file__).resolve().parents[1]


@contextmanager
def _on_ray() -> Iterator[BackendStarter]:
    with open_engine(EngineOptions("ray", len(SLOTS)), Console(file=io.StringIO())) as ready:
        yield ready.start


ENGINES: Mapping[str, Callable[[], AbstractContextManager[BackendStarter]]] = {
    "local": lambda: nullcontext(start_local),
    "ray": _on_ray,
}
"""What runs our trials, by name: a block in which it can be started."""

_IDLE_SWEEP = f"""
trainer: scripted
baseline: {{value: 0.5, epochs: {REPORTS}}}
parameters:
  value: {{low: 0.0, high: 1.0}}
sampler: random
pruner: none
trials: {NOTHING_TRIALS}
"""
_LOADING_SWEEP = f"""
model: minilm
data: DATA
baseline: {{epochs: 1, batch_size: 8, dropout: 0.1, precision: fp32}}
parameters:
  dropout: {{low: 0.0, high: 0.5}}
sampler: random
pruner: none
gate: {{kinds: []}}
trials: {LOADING_TRIALS}
"""
_SENTENCES = "0 ||| this one is bad\n1 ||| this one is good\n" * 4


@dataclass(frozen=True)
class Cost:
    """Wall seconds of a trial, and the seconds before the first could start."""

    trial: float
    startup: float


@dataclass(frozen=True)
class Work:
    """What trials do: Tune's trainable and our sweep, by name, and how many of them."""

    name: str
    kind: str
    sweep: str
    trials: int


WORKS = (
    Work("that report ten times", "nothing", _IDLE_SWEEP, NOTHING_TRIALS),
    Work("that load minilm", "loading", _LOADING_SWEEP, LOADING_TRIALS),
)


def run(folder: Path) -> Result:
    """Measure every engine beside Tune, by turns."""
    sentences, ratios = [], []
    for work in WORKS:
        costs = _costs(folder, work)
        defaults = costs["Ray Tune"]
        lines = [f"{name} {_describe(trial_costs)}" for name, trial_costs in costs.items()]
        for name in ENGINES:
            pairs = zip(defaults, costs[f"engine {name}"], strict=True)
            ratio = statistics.median(tune.trial / own.trial for tune, own in pairs)
            ratios.append(ratio)
            lines.append(f"engine {name} {ratio:.1f} times less than Tune's defaults")
        sentences.append(f"{work.trials} trials {work.name}: {', '.join(lines)}")
    figures = f"seconds a trial (median of {REPEATS}, on 2 slots). {'; '.join(sentences)}"
    aim = f"{AIM:.0f} times less"
    return Result("a trial's cost beside Ray Tune's", figures, aim, min(ratios) >= AIM)


def _costs(folder: Path, work: Work) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {}
    for repeat in range(REPEATS):
        for name in ENGINES:
            cost = run_own(folder / f"{work.kind}-{name}-{repeat}", work, ENGINES[name])
            costs.setdefault(f"engine {name}", []).append(cost)
        for name, reuse in (("Ray Tune", False), ("Ray Tune with reuse_actors", True)):
            cost = run_tune(folder / f"{work.kind}-tune-{reuse}-{repeat}", work, reuse)
            costs.setdefault(name, []).append(cost)
    return costs


def _describe(costs: list[Cost]) -> str:
    trials = [cost.trial for cost in costs]
    startup = statistics.median(cost.startup for cost in costs)
    return (
        f"{statistics.median(trials):.3f} ({min(trials):.3f} to {max(trials):.3f}), "
        f"{startup:.1f} before the first"
    )


class TimedBackend(Backend):
    """A backend that records when its first trial starts and its last one ends."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.first_start: float | None = None
        self.last_end = 0.0

    def free_slots(self) -> tuple[Slot, ...]:
        return self._inner.free_slots()

    def start(self, job: Job, slot: Slot) -> None:
        self.first_start = self.first_start or time.perf_counter()
        self._inner.start(job, slot)

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        messages = self._inner.poll(timeout_seconds)
        if any(isinstance(message, WorkerExit) for message in messages):
            self.last_end = time.perf_counter()
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        self._inner.stop(trial_uid, reason)

    def close(self) -> None:
        self._inner.close()


def run_own(
    folder: Path, work: Work, opened: Callable[[], AbstractContextManager[BackendStarter]]
) -> Cost:
    """Run our sweep in a folder of its own, with nothing prepared."""
    sweep = _sweep(folder, work)
    backends: list[TimedBackend] = []
    with opened() as starter:

        def start(sweep: Sweep, folders: Folders, slots: Sequence[Slot]) -> Backend:
            backends.append(TimedBackend(starter(sweep, folders, slots)))
            return backends[0]

        began = time.perf_counter()
        folders = Folders(folder / "runs", sweep.name)
        console = Console(file=io.StringIO())
        outcome = run_sweep(sweep, folders, SLOTS, console, start_backend=start)
    if outcome.completed != work.trials or backends[0].first_start is None:
        raise RuntimeError(f"of {work.trials} trials {outcome.completed} completed")
    first = backends[0].first_start
    return Cost((backends[0].last_end - first) / work.trials, first - began)


def _sweep(folder: Path, work: Work) -> Sweep:
    data = folder / "data"
    data.mkdir(parents=True)
    for split in ("train", "dev"):
        (data / f"{split}.txt").write_text(_SENTENCES)
    path = folder / f"{work.kind}.yaml"
    path.write_text(work.sweep.replace("DATA", json.dumps(str(data))))
    return read_sweep(path, KINDS)


def run_tune(folder: Path, work: Work, reuse: bool) -> Cost:
    """Have Tune run as many trials, in a process of its own."""
    folder.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(_TOP), "RAY_USAGE_STATS_ENABLED": "0"}
    environment["OMP_NUM_THREADS"] = "1"  # as our workers
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.ray_tune", folder, work.kind, f"{int(reuse)}"],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return Cost(**json.loads(process.stdout.splitlines()[-1]))


def report_ten_times(config: dict[str, Any]) -> None:
    """Tune's trainable of (a)."""
    from ray import tune  # noqa: PLC0415 - only where Tune is measured

    for epoch in range(1, REPORTS + 1):
        tune.report({"dev_accuracy": config["value"] * (1 - 0.5**epoch)})


def load_minilm(config: dict[str, Any]) -> None:
    """Tune's trainable of (b)."""
    from ray import tune  # noqa: PLC0415 - as above

    from trytable.trainers.models.backbone import load_model  # noqa: PLC0415 - torch, in Tune's worker alone
    from trytable.trainers.models.classifier import build_classifier  # noqa: PLC0415
    from trytable.trainers.protocol.messages import FinetuneSettings  # noqa: PLC0415

    settings = FinetuneSettings(dropout=config["value"] / 2)
    model = build_classifier(load_model("minilm"), settings, classes=2, seed=1)
    tune.report({"dev_accuracy": sum(weight.numel() for weight in model.parameters()) / 1e9})


_TRAINABLES = {"nothing": report_ten_times, "loading": load_minilm}


def play_tune(folder: Path, kind: str, reuse: bool) -> Cost:
    """Start Ray on two cores, and run the trials."""
    began = time.perf_counter()
    import ray  # noqa: PLC0415 - what is measured
    from ray import tune  # noqa: PLC0415

    ray.init(num_cpus=len(SLOTS), include_dashboard=False, log_to_driver=False)
    trials = {work.kind: work.trials for work in WORKS}[kind]
    tuner = tune.Tuner(
        _TRAINABLES[kind],
        param_space={"value": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    ready = time.perf_counter()
    results = tuner.fit()
    took = time.perf_counter() - ready
    if results.num_terminated != trials or results.num_errors:
        raise RuntimeError(f"of {trials} trials {results.num_terminated} completed")
    ray.shutdown()
    return Cost(took / trials, ready - began)


if __name__ == "__main__":
    cost = play_tune(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "1")
    print(json.dumps({"trial": cost.trial, "before": cost.startup}))
