"""Every mistake of the person's: one readable paragraph, exit code 2, nothing half-written."""

from pathlib import Path

import pytest

from tests.orchestrator.running import GRID, run, write_sweep

SMALL = "baseline: {epochs: 1}\nparameters: {dropout: [0.1]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    odd = tmp_path / 'it\'s {a} "folder" 100% #1?\nhere'
    write_sweep(odd)
    write_sweep(odd, SMALL, "real")
    return odd


def refused(folder: Path, verb: str = "sweep", **variables: str) -> str:
    """The message of a run that must end with exit code 2 and without a traceback."""
    code, printed = run(folder, verb, 90, **variables)
    assert code == 2, printed
    assert printed.startswith("trytable: "), printed
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize("name", ["qualty", "../quality", "$(shell id)", "/etc/passwd", "a b"])
def test_no_sweep_of_that_name(folder: Path, name: str) -> None:
    printed = refused(folder, NAME=name)
    assert "quality" in printed
    assert "real" in printed
    assert not (folder / "runs").exists()


def test_no_name(folder: Path) -> None:
    assert "NAME" in refused(folder, NAME="")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SET": "epochs=three"}, "epochs"),
        ({"SET": "epohcs=3"}, "Did you mean epochs?"),
        ({"SET": "epochs"}, "SET"),
        ({"TRIALS": "-1"}, "TRIALS"),
        ({"TRIALS": "many"}, "TRIALS"),
        ({"HOURS": "soon"}, "HOURS"),
        ({"SLOTS": "0"}, "SLOTS=0"),
        ({"SLOTS": "10000"}, "Allowed: 1 to"),
        ({"RETRY_FAILED": "maybe"}, "RETRY_FAILED"),
    ],
)
def test_bad_variables(folder: Path, variables: dict[str, str], message: str) -> None:
    assert message in refused(folder, **variables)
    assert not (folder / "runs" / "quality").exists()


def test_an_empty_sweep_file(folder: Path) -> None:
    write_sweep(folder, "")
    assert "quality.yaml" in refused(folder)


def test_a_database_that_is_none(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs" / "studies.db").write_text("not a database, and long enough to be read" * 99)
    before = (folder / "runs" / "studies.db").read_bytes()
    printed = refused(folder)
    assert "is damaged and was left untouched" in printed
    assert (folder / "runs" / "studies.db").read_bytes() == before
    assert not (folder / "runs" / "quality").exists()
    assert "studies.db" in refused(folder, "report")


def test_a_runs_folder_that_is_a_file(folder: Path) -> None:
    (folder / "runs").write_text("")
    assert "runs" in refused(folder)


def test_a_full_disk(folder: Path) -> None:
    printed = refused(folder, RUNS="/proc/none")
    assert "/proc/none" in printed


def test_a_study_that_does_not_exist(folder: Path) -> None:
    assert "no study database" in refused(folder, "report")
    run(folder)
    assert "'quality'" in refused(folder, "report", NAME="qualty")
    assert "not a valid study name" in refused(folder, "report", NAME="../quality")
    assert "Allowed: md, csv, tex, xlsx, json" in refused(folder, "export", FORMAT="docx")


def test_a_study_of_the_same_name_that_is_not_ours(folder: Path) -> None:
    import optuna  # noqa: PLC0415 - slow, and for this test only

    from tests.orchestrator.running import url  # noqa: PLC0415 - as above

    (folder / "runs").mkdir()
    study = optuna.create_study(study_name="quality", storage=url(folder, for_optuna=True))
    study.add_trial(optuna.create_trial(value=1.0))
    assert "not made by Trytable" in refused(folder)


def test_a_model_without_weights(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    printed = refused(folder, NAME="real", MODEL=str(folder / "model"))
    assert "it lacks weights" in printed
    assert not (folder / "runs" / "real").exists()


def test_bad_data(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    assert "no train file" in refused(folder, NAME="real", DATA=str(data))
    (data / "train.txt").write_text("0 ||| a\n1 ||| b\n")
    (data / "dev.txt").write_text("0 ||| a\n5 ||| b\n")
    assert "dev.txt:2: label '5' is not one of the classes" in refused(
        folder, NAME="real", DATA=str(data)
    )
    (data / "dev.txt").write_text("0 ||| a\n1 ||| b\n")
    assert "batch_size 32 is larger than the training data" in refused(
        folder, NAME="real", DATA=str(data)
    )
    assert not (folder / "runs" / "real").exists()
    assert not (folder / "runs" / "studies.db").exists()


def test_a_range_that_changed_is_refused(folder: Path) -> None:
    write_sweep(
        folder,
        GRID.replace("[0.1, 0.3, 0.5, 0.7, 0.9, 0.2]", "{low: 0.1, high: 0.9}")
        + "sampler: random\ntrials: 1\n",
    )
    run(folder)
    write_sweep(
        folder,
        GRID.replace("[0.1, 0.3, 0.5, 0.7, 0.9, 0.2]", "{low: 0.1, high: 0.8}")
        + "sampler: random\ntrials: 2\n",
    )
    assert "parameters.value.high: 0.9 then, 0.8 now" in refused(folder)
