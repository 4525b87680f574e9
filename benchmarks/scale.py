"""A sweep of 20,000 trials of 20 epochs in 1,000 slots: how long slots wait for the scheduler.

The whole orchestrator as `run_sweep` puts it together, in a process of its own, with TPE and the
median pruner over four parameters of a surface that looks like fine-tuning. Workers are scripts on
the simulated clock; their epochs last a minute, more or less. Optuna's storage is in memory, since
some 400,000 reports through SQLite alone take over 20 minutes; the ledger is an SQLite file, on a
RAM disk where there is one. A slot waits from the moment in which its trial's end comes out of the
backend to the order to start the next: asking, two writes to the ledger, the job.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.storages import InMemoryStorage
from rich.console import Console

from benchmarks.measure import Result
from benchmarks.surfaces import fine_tuning
from trytable.orchestrator.backends.base import Backend, Slot, WorkerExit, WorkerMessage
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.integrity import check_trials
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.orchestrator.study.study import OptunaStudy
from trytable.orchestrator.study.trial_store import AskedTrial
from trytable.records import EpochMetrics
from trytable.results.storage.ledger import Ledger
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Finished,
    Job,
    ScriptSettings,
    Started,
)

SLOTS, TRIALS, EPOCHS = 1000, 20_000, 20
AIM_SECONDS, AIM_BYTES = 0.1, 500_000_000
_EPOCH_SECONDS = 60.0
_RAM_DISK = Path("/dev/shm")  # noqa: S108 - a file system, not a file
_SWEEP = """
trainer: script
command: ["{{python}}", -c, pass, "{{params}}"]
objective: {{name: dev_acc, direction: maximize}}
baseline: {{lr: 2e-4, dropout: 0.1, weight_decay: 0.01, batch_size: 32, epochs: {epochs}}}
parameters:
  lr: {{low: 1e-6, high: 1e-1, log: true}}
  dropout: {{low: 0.0, high: 0.8}}
  weight_decay: {{low: 0.0, high: 0.3}}
  batch_size: [16, 32, 64, 128]
sampler: {{name: tpe, startup_trials: 10}}
pruner: {{name: median, startup_trials: 20, warmup_epochs: {warmup}}}
trials: {trials}
seed: 1
"""


@dataclass(frozen=True)
class Scaled:
    """What came of it. Times are in seconds; `tenths` are the median asks of each tenth."""

    slots: int
    states: dict[str, int]
    problems: list[str]
    reports: int
    wall: float
    filling: float
    waits: list[float]
    asks: list[float]
    peak_bytes: int

    def wait(self, share: float) -> float:
        """The wait that so large a share of slots does not pass."""
        return sorted(self.waits)[min(int(share * len(self.waits)), len(self.waits) - 1)]

    def tenths(self) -> list[float]:
        """The median ask of each tenth of the run."""
        size = max(1, len(self.asks) // 10)
        return [statistics.median(self.asks[i : i + size]) for i in range(0, 10 * size, size)]


def run(folder: Path) -> Result:
    """Run it once; TRYTABLE_SCALE="slots trials epochs" takes another size."""
    size = os.environ.get("TRYTABLE_SCALE", f"{SLOTS} {TRIALS} {EPOCHS}")
    slots, trials, epochs = (int(word) for word in size.split())
    scaled = measure(folder, slots, trials, epochs)
    turns = scaled.wall / max(scaled.reports, 1)
    tenths = ", ".join(f"{ask * 1000:.1f}" for ask in scaled.tenths())
    figures = (
        f"{sum(scaled.states.values())} trials of up to {epochs} epochs ({scaled.states}), "
        f"{scaled.reports} reports in {slots} slots: a slot waits {_ms(scaled.wait(0.5))}, p99 "
        f"{_ms(scaled.wait(0.99))}, at most {_ms(scaled.wait(1.0))} ({slots} slots at the start: "
        f"{scaled.filling:.1f} s for all); an ask by tenth of the run {tenths} ms; peak memory "
        f"{scaled.peak_bytes / 1e6:.0f} MB; {scaled.wall:.0f} s in all, {_ms(turns)} a report "
        f"with asks; {len(scaled.problems)} problems"
    )
    is_reached = (
        scaled.wait(0.99) < AIM_SECONDS and scaled.peak_bytes < AIM_BYTES and not scaled.problems
    )
    aim = f"p99 under {_ms(AIM_SECONDS)}, under {AIM_BYTES / 1e6:.0f} MB, asks that stay as fast"
    return Result(f"scale: {slots} slots, {trials} trials", figures, aim, is_reached)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def measure(folder: Path, slots: int, trials: int, epochs: int) -> Scaled:
    """Run the sweep in a process of its own, so that its memory is told apart."""
    command = [sys.executable, "-m", "benchmarks.scale", str(folder), f"{slots}", f"{trials}"]
    process = subprocess.run([*command, f"{epochs}"], check=True, stdout=subprocess.PIPE, text=True)
    return Scaled(**json.loads(process.stdout))


class Timed(FakeBackend):
    """A backend that notes how long its slots wait for their next trial."""

    def __init__(self, slots: Sequence[Slot], epochs: int) -> None:
        super().__init__(slots, lambda job: played(job, epochs))
        self.waits: list[float] = []
        self.filled_at: float | None = None
        self._slot_of: dict[str, Slot] = {}
        self._since: dict[Slot, float] = {}

    def start(self, job: Job, slot: Slot) -> None:
        since = self._since.pop(slot, None)
        if since is not None:
            self.waits.append(time.perf_counter() - since)
        self._slot_of[job.trial_uid] = slot
        super().start(job, slot)

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        self.filled_at = self.filled_at or time.perf_counter()
        messages = super().poll(timeout_seconds)
        now = time.perf_counter()
        for message in messages:
            if isinstance(message, WorkerExit):
                self._since[self._slot_of.pop(message.trial_uid)] = now
        return messages


def played(job: Job, epochs: int) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
    """What a worker says: a curve towards what its point is worth, with noise of its own."""
    assert isinstance(job.settings, ScriptSettings)
    draw = random.Random(f"{job.number} {job.attempt}")  # noqa: S311 - no secret
    worth = fine_tuning(job.settings.values) + draw.gauss(0, 0.01)
    pace = _EPOCH_SECONDS * draw.lognormvariate(0, 0.3)
    yield pace / 10, _started(job, epochs)
    values = []
    for epoch in range(1, epochs + 1):
        values.append(worth * (1 - 0.6**epoch) + draw.gauss(0, 0.005))
        yield pace * draw.lognormvariate(0, 0.1), _epoch(job, epoch, values[-1])
    yield pace / 10, _finished(job, values)


def _started(job: Job, epochs: int) -> Started:
    return Started(
        attempt=job.attempt,
        effective={},
        parameters=0,
        trainable_parameters=0,
        data_hash="",
        code_hash="",
        device=job.device,
        threads=job.threads,
        precision="none",
        steps_per_epoch=1,
        steps_total=epochs,
    )


def _finished(job: Job, values: list[float]) -> Finished:
    best = max(values)
    return Finished(
        attempt=job.attempt,
        best_epoch=values.index(best) + 1,
        best_value=best,
        best_dev_accuracy=None,
        test_accuracy=None,
        dev_predictions=(),
        test_predictions=(),
    )


def _epoch(job: Job, epoch: int, value: float) -> Epoch:
    return Epoch(
        attempt=job.attempt,
        epoch=epoch,
        step=epoch,
        metrics={"dev_acc": value},
        **vars(EpochMetrics(value=value)),
    )


def play(folder: Path, slots: int, trials: int, epochs: int) -> Scaled:
    """Run the sweep in this process."""
    (folder / "scale.yaml").write_text(
        _SWEEP.format(trials=trials, epochs=epochs, warmup=epochs // 4)
    )
    sweep = read_sweep(folder / "scale.yaml", KINDS)
    backend = Timed([Slot(str(i + 1)) for i in range(slots)], epochs)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage, asks = InMemoryStorage(), _time_asks()
    with tempfile.TemporaryDirectory(dir=_RAM_DISK if _RAM_DISK.is_dir() else folder) as disk:
        ledger = Ledger(f"sqlite:///{disk}/ledger.db")
        ledger.create_tables()

        def start(_sweep: Sweep, _folders: Folders, _slots: Sequence[Slot]) -> Backend:
            return backend

        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - no path of anybody's
            began = time.perf_counter()
            run_sweep(
                sweep,
                Folders(folder / "runs", "scale"),
                backend.free_slots(),
                Console(file=nowhere),
                start_backend=start,
                open_database=lambda _: nullcontext((storage, ledger)),
            )
            wall = time.perf_counter() - began
        peak = _peak_bytes()  # before the check
        all_trials = storage.get_all_trials(0, deepcopy=False)
        counts, problems = check_trials(all_trials, ledger.read(ledger.studies()[0].uid))
    return Scaled(
        slots=slots,
        states={str(status): number for status, number in counts.items()},
        problems=problems,
        reports=sum(len(trial.intermediate_values) for trial in all_trials),
        wall=wall,
        filling=(backend.filled_at or began) - began,
        waits=backend.waits,
        asks=asks,
        peak_bytes=peak,
    )


def _peak_bytes() -> int:
    """The most memory that this process has held; `getrusage` would count its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _time_asks() -> list[float]:
    """Have the seconds of every ask noted from now on."""
    asks: list[float] = []
    ask = OptunaStudy.ask

    def timed(study: OptunaStudy) -> AskedTrial | None:
        began = time.perf_counter()
        try:
            return ask(study)
        finally:
            asks.append(time.perf_counter() - began)

    OptunaStudy.ask = timed  # type: ignore[assignment, method-assign]  # this process does nothing else
    return asks


if __name__ == "__main__":
    json.dump(asdict(play(Path(sys.argv[1]), *map(int, sys.argv[2:5]))), sys.stdout)
