"""Names of sweeps, and the sweeps that ship."""

from pathlib import Path

import pytest

import trytable.sweeps
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import (
    SweepError,
    Values,
    find_sweep,
    grid_points,
    list_sweeps,
    read_sweep,
)

SHIPPED = Path(trytable.sweeps.__file__).parent
ONE_PARAMETER = ("batch_size", "dropout", "freeze", "lr", "weight_decay")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("lr", "drop-out", "v1.2_b", "..", ".hidden", "a..b"):
        (tmp_path / f"{name}.yaml").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_sweeps_are_listed_by_name(folder: Path) -> None:
    assert [path.stem for path in list_sweeps(folder)] == ["drop-out", "lr", "v1.2_b"]
    assert find_sweep(folder, "v1.2_b") == folder / "v1.2_b.yaml"


@pytest.mark.parametrize(
    "name",
    ["../lr", "/etc/passwd", "$(shell id)", "a..b", ".hidden", "lr\n", "lr.yaml/", "-x", "ü", "~"],
)
def test_a_path_or_a_command_is_no_name(folder: Path, name: str) -> None:
    with pytest.raises(SweepError) as caught:
        find_sweep(folder, name)
    said = str(caught.value)
    assert "is not a valid sweep name. Use letters, digits and _ . -" in said
    assert said.endswith(f"Sweeps in {folder}: drop-out, lr, v1.2_b.")
    assert said.isprintable()


def test_a_misspelt_name_is_put_right(folder: Path) -> None:
    with pytest.raises(SweepError, match=r"no sweep 'dropout'\. Did you mean drop-out\? Sweeps in"):
        find_sweep(folder, "dropout")


def test_no_name_shows_how_to_give_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SweepError, match=r"^No sweep was named\. Name one, such as NAME=dropout\. Sweeps in"
    ):
        find_sweep(folder, "")
    with pytest.raises(SweepError, match="nothing"):
        find_sweep(tmp_path / "none", "")


SCRIPTS = ("script-example", "script-forest", "script-trainer")


def test_the_shipped_sweeps_are_all_there() -> None:
    assert [path.stem for path in list_sweeps(SHIPPED)] == sorted(
        [*ONE_PARAMETER, "joint", *SCRIPTS]
    )


@pytest.mark.parametrize("name", [*ONE_PARAMETER, "joint"])
def test_the_shipped_sweeps_share_a_baseline_that_learns(name: str) -> None:
    sweep = read_sweep(find_sweep(SHIPPED, name), KINDS)
    expected = {
        "lr": 2e-4,
        "batch_size": 32,
        "dropout": 0.1,
        "dropout_scope": "head",
        "weight_decay": 0.01,
        "freeze": "none",
        "epochs": 3,
    }
    assert {key: sweep.baseline[key] for key in expected} == expected
    assert sweep.description


@pytest.mark.parametrize("name", ONE_PARAMETER)
def test_a_one_parameter_sweep_is_a_grid_around_the_baseline(name: str) -> None:
    sweep = read_sweep(find_sweep(SHIPPED, name), KINDS)
    assert list(sweep.parameters) == [name]
    assert len(grid_points(sweep)) == 6
    assert grid_points(sweep)[0] == {name: sweep.baseline[name]}
    assert sweep.pruner.model_dump() == {
        "name": "median", "startup_trials": 3, "warmup_epochs": 1, "patience": None
    }  # fmt: skip


def test_joint_sweeps_all_five_by_tpe_and_asha() -> None:
    sweep = read_sweep(find_sweep(SHIPPED, "joint"), KINDS)
    assert set(sweep.parameters) == set(ONE_PARAMETER)
    assert sweep.sampler.model_dump() == {"name": "tpe", "startup_trials": 5}
    assert (sweep.pruner.name, sweep.trials) == ("asha", 20)
    assert isinstance(sweep.parameters["freeze"], Values)
