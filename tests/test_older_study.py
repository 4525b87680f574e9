"""Studies that an earlier version left open as it left them: they open, go on and come out alike.

`fixtures/study_before_layout` tells how they were made. Everything here goes through the command
line and the files that it leaves, so that it holds whatever our modules are called.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

MADE = Path(__file__).parent / "fixtures" / "study_before_layout"
EXPECTED: dict[str, Any] = json.loads((MADE / "expected.json").read_text())
TRYTABLE = Path(sys.executable).with_name("trytable")
STUDIES = {"topics": 4, "own-script": 2, "halfway": 2}
TABLES = sorted(path.relative_to(MADE) for path in MADE.glob("runs/*/tables/*.json"))
NUMBERS = {
    "epochs": tuple(EXPECTED["tries"][0]["epochs"][0]),
    "steps": tuple(EXPECTED["tries"][0]["steps"][0]),
}


def installed() -> dict[str, str]:
    """The versions here of the packages whose versions are recorded."""
    return {name: importlib.metadata.version(name) for name in EXPECTED["versions"]}


same_arithmetic = pytest.mark.skipif(
    installed() != EXPECTED["versions"] or platform.machine() != EXPECTED["machine"],
    reason="bits are promised for the recorded versions of packages and kind of CPU alone",
)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to look at; what is written there does not change its studies."""
    return copied(tmp_path_factory.mktemp("older"))


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(MADE, folder / "it's {a} copy"))


def trytable(folder: Path, verb: str, **variables: str) -> str:
    """Run a verb in a folder, as the Makefile does; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if "TRYTABLE" not in key}
    environment |= {f"TRYTABLE_{key}": value for key, value in variables.items()}
    done = subprocess.run(
        [str(TRYTABLE), verb],
        cwd=folder,
        env=environment | EXPECTED["environment"] | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def one_core() -> Iterator[None]:
    """What starts meanwhile sees one core, so that one slot has one thread on any machine."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def rows(folder: Path, query: str, *values: object) -> list[dict[str, Any]]:
    """What the study database answers."""
    with closing(sqlite3.connect(folder / "runs" / "studies.db")) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values)]


def test_studies_made_before_the_layout_are_sound(older: Path) -> None:
    printed = trytable(older, "check")
    table = [line.split() for line in printed.splitlines()]
    found = {words[0]: words for words in table if words and words[0] in STUDIES}
    assert {name: int(words[1]) for name, words in found.items()} == STUDIES
    assert {words[-1] for words in found.values()} == {"0"}, printed  # problems


def is_sentence(value: object) -> bool:
    return isinstance(value, str) and " " in value.strip()


@pytest.mark.parametrize("name", STUDIES)
def test_their_tables_are_written_again_with_every_number_as_it_was(older: Path, name: str) -> None:
    tables = [path for path in TABLES if path.parts[1] == name]
    assert len(tables) == 2
    for path in tables:
        (older / path).unlink()
    trytable(older, "report", NAME=name)
    for path in tables:
        then, now = (json.loads((top / path).read_text()) for top in (MADE, older))
        # A later version may say more about a try, and word its sentences differently.
        for old, new in zip(then["rows"], now["rows"], strict=True):
            assert old.keys() <= new.keys()
            assert {key: new[key] for key in old if not is_sentence(old[key])} == {
                key: value for key, value in old.items() if not is_sentence(value)
            }
        assert {key: now[key] for key in then if key != "rows"} == {
            key: then[key] for key in then if key != "rows"
        }
    assert (older / "runs" / name / "report.html").stat().st_size > 0


def test_a_try_is_shown_as_it_was_recorded(older: Path) -> None:
    printed = trytable(older, "show", NAME="topics", TRY="2")
    assert printed.startswith("topics, Try 2")
    (row,) = rows(
        older,
        "SELECT code_hash FROM trytable_attempts JOIN trytable_trials ON uid = trial_uid"
        " WHERE number = 1 AND study_uid ="
        " (SELECT uid FROM trytable_studies WHERE name = 'topics')",
    )
    for told in ("completed", "lora_rank", "./model", "./data", row["code_hash"]):
        assert told in printed


@same_arithmetic
@pytest.mark.parametrize(("name", "number"), [("topics", "3"), ("own-script", "2")])
def test_a_try_trained_again_gives_the_same_bits(older: Path, name: str, number: str) -> None:
    printed = trytable(older, "rerun", NAME=name, TRY=number)
    assert "The same to the last bit: 2 epochs" in printed
    (told,) = (older / "runs" / name / "reruns").glob("*/rerun.json")
    found = json.loads(told.read_text())
    assert found["same_to_the_last_bit"] is True
    # The trainer's sources have changed since, and it says so; nothing else has.
    assert all(one.startswith("trainer's sha256: ") for one in found["obstacles"])


def test_the_best_try_is_handed_over_as_a_model(older: Path) -> None:
    printed = trytable(older, "best", NAME="topics", OUT="handed-over")
    assert "topics, Try 1: dev accuracy 0.900" in printed
    assert "dev: 30 predictions, all as in training" in printed
    assert "test: 30 predictions, all as in training" in printed
    assert (older / "handed-over" / "config.json").is_file()
    assert (older / "handed-over" / "model.safetensors").is_file()


@same_arithmetic
def test_a_sweep_stopped_before_the_layout_ends_as_if_it_had_never_been(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (stopped,) = rows(folder, "SELECT uid, number FROM trytable_trials WHERE status = 'drained'")
    log = folder / "runs" / "halfway" / "trials" / f"{stopped['number']:04d}" / "events.jsonl"
    saved = json.loads(log.read_text().splitlines()[-1])
    assert saved["event"] == "checkpoint"
    with one_core():
        printed = trytable(folder, "sweep", NAME="halfway", SLOTS="1")
    assert "Try 1 starts" not in printed
    assert [told_of(folder, number) for number in range(4)] == EXPECTED["tries"]
    attempts = rows(
        folder,
        "SELECT outcome, threads, resumed_from_step FROM trytable_attempts"
        " WHERE trial_uid = ? ORDER BY attempt",
        stopped["uid"],
    )
    assert [one["outcome"] for one in attempts] == ["drained", "completed"]
    assert {one["threads"] for one in attempts} == {EXPECTED["threads"]}
    assert attempts[-1]["resumed_from_step"] == saved["step"] > 0
    values = rows(
        folder,
        "SELECT value FROM trial_values JOIN trials USING (trial_id) JOIN studies USING (study_id)"
        " WHERE study_name = 'halfway' ORDER BY number",
    )
    assert [one["value"] for one in values] == [one["best_value"] for one in EXPECTED["tries"]]


def told_of(folder: Path, number: int) -> dict[str, Any]:
    """All that is recorded of a try's training, in the form of `expected.json`."""
    (one,) = rows(
        folder,
        "SELECT * FROM trytable_trials WHERE number = ? AND study_uid ="
        " (SELECT uid FROM trytable_studies WHERE name = 'halfway')",
        number,
    )
    kinds = {"epochs": "epoch", "steps": "step"}
    measured = {
        kind: rows(folder, f"SELECT * FROM trytable_{kind} WHERE trial_uid = ?", one["uid"])  # noqa: S608 - two names of ours
        for kind in kinds
    }
    predicted = rows(
        folder, "SELECT split, labels FROM trytable_predictions WHERE trial_uid = ?", one["uid"]
    )
    requested = json.loads(one["requested"])
    return {
        "try": number + 1,
        **{key: one[key] for key in ("status", "best_epoch", "best_value", "test_accuracy")},
        **{key: requested[key] for key in ("lr", "dropout")},
        **{
            kind: [
                {key: row[key] for key in NUMBERS[kind]}
                for row in sorted(measured[kind], key=lambda row: int(row[place]))
            ]
            for kind, place in kinds.items()
        },
        "predictions": {row["split"]: json.loads(row["labels"]) for row in predicted},
    }
