"""Optuna's side of a sweep, where an orchestrator was cut off in the middle of asking."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.folders import Folders
from orchestrator.study import OptunaStudy, open_storage
from sweeps.spec import read_sweep
from trainers.protocol import TRAINERS

SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 2}
parameters:
  value: [0.1, 0.5]
  epochs: [2, 3]
"""


@pytest.fixture
def study(tmp_path: Path) -> OptunaStudy:
    (tmp_path / "quality.yaml").write_text(SWEEP)
    folders = Folders(tmp_path / "runs", "quality")
    folders.runs.mkdir()
    sweep = read_sweep(tmp_path / "quality.yaml", TRAINERS)
    return OptunaStudy(open_storage(folders.url), sweep, "quality")


def test_a_known_point_that_was_cut_off_while_it_was_asked_for_is_made_ready(
    study: OptunaStudy,
) -> None:
    asked = study.ask()
    assert asked is not None
    left = study._points_left()
    study._enqueue(*left[0])
    study.study.ask()  # RUNNING, and not one parameter is written yet
    (first, _), (second, trial) = study.running()
    assert first == asked
    assert second is not None
    assert second.params == left[0][0]
    assert trial.params == second.params
    again = optuna.load_study(study_name="quality", storage=study._storage)
    assert [one.state for one in again.trials] == [TrialState.RUNNING] * 2
    assert again.trials[1].params == second.params


def test_what_the_sampler_had_not_yet_drawn_stays_unready(study: OptunaStudy) -> None:
    study.study.ask()
    ((found, _),) = study.running()
    assert found is None
