"""What must hold after every fault, looked at from outside."""

import os
from collections.abc import Iterable
from pathlib import Path

import psutil
from optuna.trial import TrialState

from tests.orchestrator.running import trials, url, values_of, wait_all_gone
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import StudyCheck, check_studies
from trytable.results.storage.reader import read_study
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import SimulatedSettings

POINTS = [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]


def check_sound(folder: Path, processes: Iterable[psutil.Process] = ()) -> StudyCheck:
    """Each asked trial in one state, every attempt in the Try table, the file sound, no process."""
    wait_all_gone(list(processes))
    left = [one for one in psutil.process_iter() if _works_in(one, folder)]
    assert not left, left
    (found,) = check_studies(Folders(folder / "runs", "quality"))
    assert not found.problems, found
    assert found.trial_count == len(trials(folder))
    return found


def check_complete(folder: Path, processes: Iterable[psutil.Process] = ()) -> None:
    """Besides: every point of the grid completed once, with the values that its script has."""
    found = check_sound(folder, processes)
    assert found.counts["completed"] == len(POINTS)
    assert found.counts.get("running", 0) == found.counts.get("waiting", 0) == 0
    assert values_of(trials(folder), TrialState.COMPLETE) == POINTS
    for trial in trials(folder):
        if trial.state != TrialState.COMPLETE:
            continue
        settings = SimulatedSettings(value=trial.params["value"], epochs=4)
        expected = {epoch: simulated.accuracy(settings, epoch) for epoch in range(1, 5)}
        assert trial.intermediate_values == expected
        assert trial.value == expected[4]
    study = read_study(url(folder), "quality")
    assert all(one.attempts for one in study.trials if one.status == "completed")


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Whether a process of ours still has this folder as its own."""
    try:
        return process.pid != os.getpid() and Path(process.cwd()) == folder
    except (psutil.Error, OSError):
        return False
