"""`trytable.open_study`: five frames of one moment, from either database, while a sweep runs."""

import hashlib
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

import trytable
from tests.databases import NEW
from tests.orchestrator.running import start, write_sweep
from tests.postgres import postgres
from tests.results.studies import Maker, Planned
from trytable.orchestrator.paths import Folders

FRAMES = ("tries", "epochs", "steps", "comparison", "findings")
EPOCHS = 10
SWEEP = f"""
trainer: scripted
baseline: {{value: 0.5, epochs: {EPOCHS}, epoch_seconds: 0.3}}
parameters:
  value: [0.1, 0.3, 0.5, 0.7]
"""
ENDED = {"completed", "pruned", "stopped", "failed"}


def imported_by(statement: str) -> set[str]:
    """The top packages that a fresh process has imported after a statement."""
    program = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in printed.split()}


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A study in runs/studies.db."""
    folders = Folders(tmp_path / "runs", "dropout")
    folders.database.parent.mkdir()
    maker = Maker(folders.database, gold=(0, 1) * 10)
    maker.add(
        Planned({"dropout": 0.1}, (0.5,), source="baseline", predicted=(0, 1) * 5 + (0,) * 10),
        Planned({"dropout": 0.3}, (0.5, 0.9), predicted=(0, 1) * 10),
    )
    return maker


@pytest.mark.parametrize("statement", ["import trytable", "import trytable.records"])
def test_the_package_alone_is_cheap(statement: str) -> None:
    heavy = {"pandas", "numpy", "optuna", "torch", "sqlalchemy", "pydantic"}
    assert not imported_by(statement) & heavy


def test_a_sweep_starts_without_pandas() -> None:
    names = imported_by(
        "import trytable.orchestrator.cli, trytable.orchestrator.commands.train.sweep,"
        "trytable.orchestrator.commands.look.report"
    )
    assert "optuna" in names
    assert not names & {"pandas", "plotly", "matplotlib"}


def test_a_worker_imports_no_pandas() -> None:
    assert "pandas" not in imported_by("import trytable.trainers.entrypoints.simulated")


def test_what_the_package_exports_exists() -> None:
    assert all(getattr(trytable, name) is not None for name in trytable.__all__)
    assert set(trytable.__all__) <= set(dir(trytable))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        trytable.nonsense  # noqa: B018 - reading it is the point


def test_a_study_is_opened_by_name_and_folder(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRYTABLE_RUNS", "/nowhere")
    monkeypatch.setenv("TRYTABLE_STORAGE", "postgresql://nowhere/x")
    monkeypatch.setenv("TRYTABLE_NAME", "other")
    monkeypatch.chdir(tmp_path)
    for study in (
        trytable.open_study("dropout"),
        trytable.open_study("dropout", str(tmp_path / "runs")),
    ):
        assert (study.name, study.objective.name) == ("dropout", "dev_accuracy")
        assert study.tries["best_value"].to_dict() == {1: 0.5, 2: 0.9}
        assert repr(study) == "<Study 'dropout': 2 tries, 2 completed>"


def test_an_unknown_study_and_a_missing_database(maker: Maker, tmp_path: Path) -> None:
    with pytest.raises(trytable.StudyNotFound, match=r"no study named 'x'.*: 'dropout'") as caught:
        trytable.open_study("x", tmp_path / "runs")
    assert caught.value.existing == ("dropout",)
    with pytest.raises(trytable.DatabaseUnreadable, match="There is no study database"):
        trytable.open_study("dropout", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "studies.db").write_text("no database at all, but long enough to be read as one")
    with pytest.raises(trytable.DatabaseUnreadable, match="cannot be read"):
        trytable.open_study("dropout", tmp_path)


@pytest.mark.parametrize("storage", ["mysql://me:secret@host/x", "nonsense", "sqlite:///x.db"])
def test_a_storage_that_is_no_postgresql_url(storage: str) -> None:
    with pytest.raises(trytable.DatabaseUnreadable, match="PostgreSQL") as caught:
        trytable.open_study("dropout", storage=storage)
    assert "secret" not in str(caught.value)


def test_a_study_stays_as_it_was_when_it_was_opened(maker: Maker, tmp_path: Path) -> None:
    study = trytable.open_study("dropout", tmp_path / "runs")
    maker.add(Planned({"dropout": 0.5}, (0.95,)))
    assert list(study.tries.index) == [1, 2]
    assert len(study.epochs) == 3
    assert len(study.comparison) == 4
    assert list(trytable.open_study("dropout", tmp_path / "runs").tries["rank"]) == [3, 2, 1]


def test_a_changed_frame_changes_no_study(maker: Maker, tmp_path: Path) -> None:
    study = trytable.open_study("dropout", tmp_path / "runs")
    for name in FRAMES:
        frame = getattr(study, name)
        original = frame.copy()
        frame["new"] = 1
        if len(frame):
            frame.iloc[0, 0] = frame.iloc[-1, 0]
        pd.testing.assert_frame_equal(getattr(study, name), original)
        with pytest.raises(AttributeError):
            setattr(study, name, frame)


def test_reading_leaves_the_database_and_its_folder_as_they_are(
    maker: Maker, tmp_path: Path
) -> None:
    maker.storage.engine.dispose()

    def state() -> dict[str, str]:
        files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    study = trytable.open_study("dropout", tmp_path / "runs", all_tests=True)
    assert all(len(getattr(study, name)) >= 0 for name in FRAMES)
    assert state() == before


@pytest.mark.parametrize("kind", NEW)
def test_a_study_is_read_again_and_again_while_its_sweep_runs(kind: str, tmp_path: Path) -> None:
    storage = postgres().new_database() if kind == "postgresql" else None
    write_sweep(tmp_path, SWEEP)
    process = start(tmp_path, SLOTS="2", **({"STORAGE": storage} if storage else {}))
    studies: list[trytable.Study] = []
    give_up = time.monotonic() + 240
    try:
        while process.poll() is None:
            assert time.monotonic() < give_up
            try:
                studies.append(trytable.open_study("quality", tmp_path / "runs", storage))
            except (trytable.StudyNotFound, trytable.DatabaseUnreadable):
                assert not studies, "a study that was there stays there"
                time.sleep(0.05)
                continue
            assert_consistent(studies[-1])
        printed, _ = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, printed
    last = trytable.open_study("quality", tmp_path / "runs", storage)
    assert_consistent(last)
    assert list(last.tries["state"]) == ["completed"] * 4
    assert len(last.epochs) == 4 * EPOCHS
    running = [study for study in studies if (study.tries["state"] == "running").any()]
    assert len(running) >= 2, "some of the reads were in the middle of it"
    assert_only_growing([*studies, last])


def assert_consistent(study: trytable.Study) -> None:
    """All frames of a study are of one moment."""
    tries, epochs = study.tries, study.epochs
    last_epochs = epochs.reset_index().groupby("try")["epoch"].max()
    assert tries["epochs_run"].dropna().to_dict() == last_epochs.to_dict()
    best = epochs["value"].groupby("try").max().dropna()
    assert tries["best_value"].dropna().to_dict() == best.to_dict()
    assert sorted(set(study.comparison.index.get_level_values("try"))) == list(tries.index)
    completed = tries[tries["state"] == "completed"]
    assert (completed["epochs_run"] == EPOCHS).all()
    assert sorted(completed["rank"]) == list(range(1, len(completed) + 1))


def assert_only_growing(studies: list[trytable.Study]) -> None:
    """No later reading has lost a try or an epoch, or taken an end back."""
    for before, after in pairwise(studies):
        assert set(before.tries.index) <= set(after.tries.index)
        assert set(before.epochs.index) <= set(after.epochs.index)
        ended = before.tries[before.tries["state"].isin(ENDED)]
        assert (after.tries.loc[ended.index, "state"] == ended["state"]).all()
