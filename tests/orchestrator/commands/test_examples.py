"""The example scripts with their sweeps, as they are shipped."""

import shutil
from pathlib import Path

import pytest

from tests.orchestrator.running import TOP, run
from trytable.orchestrator.paths import Folders
from trytable.results.storage.reader import read_study


@pytest.mark.parametrize(
    ("name", "tries", "good", "least_epochs"),
    [
        ("script-example", 4, 0.6, 3),
        ("script-trainer", 2, 0.6, 2),
        ("script-forest", 6, 0.9, 1),
    ],
)
def test_an_example_runs_as_it_is(
    name: str, tries: int, good: float, least_epochs: int, tmp_path: Path
) -> None:
    shutil.copytree(TOP / "examples", tmp_path / "examples")
    (tmp_path / "sweeps").mkdir()
    shutil.copy(TOP / "sweeps" / f"{name}.yaml", tmp_path / "sweeps")
    code, printed = run(tmp_path, NAME=name, SLOTS="2")
    assert code == 0, printed
    study = read_study(Folders(tmp_path / "runs", name).url, name)
    assert len(study.trials) == tries
    assert {one.status for one in study.trials} <= {"completed", "pruned"}
    best = study.ranked[0]
    assert best.best_value is not None
    assert best.best_value > good
    assert len(best.curve) >= least_epochs
    assert not [row for one in study.trials for row in one.findings if row.kind == "mismatch"]


def test_a_scripts_leaders_are_trained_again_on_fresh_seeds(tmp_path: Path) -> None:
    shutil.copytree(TOP / "examples", tmp_path / "examples")
    (tmp_path / "sweeps").mkdir()
    shutil.copy(TOP / "sweeps" / "script-forest.yaml", tmp_path / "sweeps")
    assert run(tmp_path, NAME="script-forest", SLOTS="2", TRIALS="2")[0] == 0
    code, printed = run(tmp_path, "confirm", NAME="script-forest", SLOTS="2", TOP="1", SEEDS="2")
    assert code == 0, printed
    name = "script-forest@confirm"
    again = read_study(Folders(tmp_path / "runs", name).url, name)
    assert len({one.params["seed"] for one in again.ranked}) == 2
    assert again.sweep["script"]["command"][1] == "examples/forest.py"
    assert "Over 2 fresh seeds" in " ".join(printed.split())
