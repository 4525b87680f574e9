"""Whole sweeps on the simulated clock: many trials, workers that die, real databases."""

import io
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import SweepOutcome, run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import AnyEvent, Failed, Job, SimulatedSettings

SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 5}
parameters:
  value: {low: 0.1, high: 0.9}
sampler: {name: tpe, startup_trials: 5}
pruner: {name: asha, reduction_factor: 2}
trials: 60
"""


def chaotic(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
    """A worker that dies, fails or goes on, as a draw for its trial and attempt has it."""
    assert isinstance(job.settings, SimulatedSettings)
    draw = random.Random(f"{job.number} {job.attempt}")
    doom, at_epoch = draw.choice(["none", "none", "kill", "error", "user"]), draw.randint(1, 5)
    for said in simulated.events(job, job.settings):
        assert not isinstance(said, simulated.Crash)
        if said.event == "step" and said.epoch == at_epoch and doom != "none":
            if doom != "kill":
                kind = "user" if doom == "user" else "error"
                yield 0.5, Failed(attempt=job.attempt, kind=kind, message="as drawn")
            yield 0.1, ScriptedExit("killed by SIGKILL" if doom == "kill" else "exit code 0")
            return
        yield draw.random(), said


def start_fake(_sweep: Sweep, _folders: Folders, slots: Sequence[Slot]) -> Backend:
    return FakeBackend(slots, chaotic)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "chaos.yaml").write_text(SWEEP)
    return read_sweep(tmp_path / "chaos.yaml", KINDS)


def play(sweep: Sweep, folders: Folders) -> SweepOutcome:
    slots = [Slot(str(i)) for i in range(7)]
    console = Console(file=io.StringIO())
    return run_sweep(sweep, folders, slots, console, start_backend=start_fake)


def test_sixty_trials_end_in_one_state_each(tmp_path: Path, sweep: Sweep) -> None:
    folders = Folders(tmp_path / "runs", "chaos")
    outcome = play(sweep, folders)
    study = optuna.load_study(study_name="chaos", storage=folders.url)
    counts = Counter(trial.state.name for trial in study.trials)
    assert sum(counts.values()) == 60
    assert set(counts) == {"COMPLETE", "PRUNED", "FAIL"}
    assert (outcome.completed, outcome.failed) == (counts["COMPLETE"], counts["FAIL"])
    for trial in study.trials:
        if trial.state.name == "COMPLETE":
            assert trial.value == max(trial.intermediate_values.values())
            assert sorted(trial.intermediate_values) == [1, 2, 3, 4, 5]
    _check_attempts(folders)


def _check_attempts(folders: Folders) -> None:
    """Every attempt stands in the ledger, ended, and no trial had more than it may have."""
    read = read_study(folders.url, "chaos")
    ledger = Ledger(folders.url).read(str(read.uid))
    assert {row.status for row in ledger.trials} == {"completed", "pruned", "failed"}
    for one in read.trials:
        outcomes = [attempt.outcome for attempt in one.attempts]
        assert outcomes[:-1] == ["retried"] * (len(outcomes) - 1)
        assert outcomes[-1] == one.status
        assert 1 <= len(outcomes) <= 3
        assert all(attempt.ended_at is not None for attempt in one.attempts)


def test_a_second_run_asks_for_the_failed_ones_again(tmp_path: Path, sweep: Sweep) -> None:
    folders = Folders(tmp_path / "runs", "chaos")
    play(sweep, folders)
    first = optuna.load_study(study_name="chaos", storage=folders.url).trials
    play(sweep, folders)
    second = optuna.load_study(study_name="chaos", storage=folders.url).trials
    failed = [trial for trial in first if trial.state.name == "FAIL"]
    assert len(second) == len(first) + len(failed)
    again = {trial.params["value"] for trial in second[len(first) :]}
    assert again == {trial.params["value"] for trial in failed}
