"""Text and files that would like to be run, or to be more than text: nothing runs."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.orchestrator.faults.aftermath import check_sound
from tests.orchestrator.running import GRID, run, trials, url, write_sweep

TOUCHED = "touched-by-a-pickle"


class Poison:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mknod, (TOUCHED,)


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_poisoned_pickle_in_the_study_is_never_read(tmp_path: Path, sampler: str) -> None:
    """Where CMA-ES and its like keep theirs; no sampler that we offer keeps any."""
    space = "{low: 0.1, high: 0.9}"
    write_sweep(
        tmp_path,
        GRID.replace("[0.1, 0.3, 0.5, 0.7, 0.9, 0.2]", space) + f"sampler: {{name: {sampler}}}\n",
    )
    assert run(tmp_path, TRIALS="1", SET="epoch_seconds=0")[0] == 0
    study = optuna.load_study(study_name="quality", storage=url(tmp_path, for_optuna=True))
    poison = pickle.dumps(Poison()).hex()
    for key in ("cma:optimizer", "cma:0", "sampler", "gp:cache", "qmc (scrambled)"):
        study._storage.set_study_system_attr(study._study_id, key, poison)
        study.set_user_attr(key, poison)
    code, printed = run(tmp_path, TRIALS="2", SET="epoch_seconds=0")
    assert code == 0, printed
    assert check_sound(tmp_path).counts == {"completed": 2}
    assert not list(tmp_path.rglob(TOUCHED))
    with pytest.raises(FileNotFoundError):
        Path(TOUCHED).stat()


HOSTILE = (
    "<script>document.title='owned'</script>",
    "[red]{params} {0} %s[/red]",
    "'; DROP TABLE trials; --",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b]0;owned\x07",
    "two\nlines | of a table",
    "$(touch owned) `touch owned`",
    "\u202egnp.txt",
)
SCRIPT = """
trainer: script
command: ["{python}", train.py, "{note}"]
objective: {name: dev_acc, direction: maximize}
attempts: 1
"""
PROGRAM = """
import sys
print(sys.argv[1])
for epoch in range(2):
    print(f"epoch {epoch}: dev acc :: {len(sys.argv[1]) / 100 + epoch / 100}")
if "$" in sys.argv[1]:
    raise RuntimeError(sys.argv[1])
"""


def test_hostile_values_names_and_logs_stay_text(tmp_path: Path) -> None:
    """As parameters, in a script's log, in its error and in the study's own attributes."""
    (tmp_path / "train.py").write_text(PROGRAM)
    points = json.dumps(list(HOSTILE))
    text = f"description: {json.dumps(HOSTILE[0] + HOSTILE[1])}\n{SCRIPT}"
    write_sweep(tmp_path, f"{text}parameters: {{note: {points}}}\n")
    code, printed = run(tmp_path)
    assert code == 0, printed
    assert check_sound(tmp_path).counts == {"completed": 7, "failed": 1}
    assert {trial.params["note"] for trial in trials(tmp_path)} == set(HOSTILE)
    study = optuna.load_study(study_name="quality", storage=url(tmp_path))
    study.set_user_attr("<b>", HOSTILE[0])
    for verb in ("report", "show", "export"):
        code, printed = run(tmp_path, verb, TRY="1" if verb == "show" else "")
        assert code == 0, printed
        assert "\x1b[2J" not in printed
    page = (tmp_path / "runs" / "quality" / "report.html").read_text()
    assert HOSTILE[0] not in page
    assert "owned" in page, "it is there, escaped"
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize("name", ["../up", "$(touch owned)", "<b>{x}'"])
def test_hostile_names_are_refused(tmp_path: Path, name: str) -> None:
    write_sweep(tmp_path, GRID)
    for verb in ("sweep", "check"):
        code, printed = run(tmp_path, verb, NAME=name)
        assert code == 2, printed
        assert "Traceback" not in printed
    assert not list(tmp_path.rglob("owned"))
