"""The orchestrator's own work for one trial: ask, ten reports, pruning checks, tell.

A whole sweep on the real database, by the sampler and pruner of `joint`, with workers that take
no time.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.measure import Result, seconds, spread
from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import AnyEvent, Job, SimulatedSettings

REPEATS = 3
TRIALS = 60
TRIAL_SECONDS = 10.0
_SWEEP = f"""
trainer: scripted
baseline: {{value: 0.5, epochs: 10}}
parameters:
  value: {{low: 0.1, high: 0.9}}
sampler: {{name: tpe, startup_trials: 5}}
pruner: {{name: median, startup_trials: {TRIALS}}}
trials: {TRIALS}
"""


def run(folder: Path) -> Result:
    """Run the sweep several times over, each in a database of its own."""
    (folder / "timed.yaml").write_text(_SWEEP)
    sweep = read_sweep(folder / "timed.yaml", KINDS)
    costs = []
    for repeat in range(REPEATS):
        folders = Folders(folder / f"runs{repeat}", sweep.name)
        costs.append(seconds(lambda: _sweep(sweep, folders)) / TRIALS)  # noqa: B023
    share = sorted(costs)[len(costs) // 2] / TRIAL_SECONDS
    figures = (
        f"{spread(costs)} a trial over {TRIALS} trials of 10 epochs, "
        f"{share:.2%} of a trial of {TRIAL_SECONDS:.0f} s"
    )
    return Result("bookkeeping", figures, "under 2 %", share < 0.02)  # noqa: PLR2004


def _sweep(sweep: Sweep, folders: Folders) -> None:
    run_sweep(sweep, folders, [Slot("1")], Console(file=io.StringIO()), start_backend=_fake)


def _fake(_sweep: Sweep, _folders: Folders, slots: Sequence[Slot]) -> Backend:
    return FakeBackend(slots, _play)


def _play(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
    if not isinstance(job.settings, SimulatedSettings):
        raise TypeError(type(job.settings))
    for event in simulated.events(job, job.settings):
        if not isinstance(event, simulated.Crash):
            yield 0.0, event
