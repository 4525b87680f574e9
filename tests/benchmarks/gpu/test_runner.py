"""The runner of the GPU check: limits, failures, counts, files and exit codes, on steps made up."""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu import __main__ as check_program
from benchmarks.gpu import table
from benchmarks.gpu.plan import STEPS
from benchmarks.gpu.records import CheckResult, Step, StepResult
from benchmarks.gpu.runner import Runner

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal, subprocess, sys, time
from pathlib import Path
from benchmarks.gpu.records import Notes
name = sys.argv[1]
notes = Notes(Path(sys.argv[sys.argv.index("--notes") + 1]))
notes.figure("rate", 12.34567)
if name == "fails":
    notes.require(False, "the answer is 41, not 42")
if name == "hangs":
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(sleep, process_group=0)
    notes.figure("child", child.pid)
    time.sleep(600)
if name == "dies":
    os.kill(os.getpid(), signal.SIGSEGV)
if name == "raises":
    raise ValueError("no | such thing")
if name == "leaves":
    os._exit(0)
if name == "partly":
    notes.skip("eight at once", "two cores")
notes.complete()
"""
COMMAND_FILE = "step.py"


def step(name: str, seconds: float = 30, card_only: str = "") -> Step:
    return Step(name, f"title of {name}", "42", seconds, "", card_only)


def run(
    folder: Path, *steps: Step, device: str = "cpu", seconds: float = 300
) -> Sequence[StepResult]:
    (folder / COMMAND_FILE).write_text(PROGRAM)
    command = (sys.executable, str(folder / COMMAND_FILE))
    deadline = time.monotonic() + seconds
    return Runner(device, folder, deadline, command=command).run(steps)


def checked(steps: Sequence[StepResult]) -> CheckResult:
    return CheckResult({"python": "3.12", "card": "a | b"}, "cpu", 1.0, tuple(steps))


def test_every_end_is_told_apart_and_the_run_goes_on(tmp_path: Path) -> None:
    names = ("passes", "fails", "dies", "raises", "leaves", "partly")
    results = run(tmp_path, *map(step, names))
    assert [result.status for result in results] == [
        "passed", "failed", "crashed", "crashed", "crashed", "passed"
    ]  # fmt: skip
    assert results[1].problems == ("the answer is 41, not 42",)
    assert "SIGSEGV" in results[2].problems[0]
    assert "exit code 1: " in results[3].problems[0]
    assert "no | such thing" in results[3].problems[0]
    assert "exit code 0" in results[4].problems[0]
    assert results[5].not_run == ("eight at once: two cores",)
    assert {result.figures["rate"] for result in results} == {12.34567}
    assert all((tmp_path / "logs" / f"{name}.log").exists() for name in names)


def test_a_step_that_hangs_is_killed_with_its_children_and_keeps_its_notes(tmp_path: Path) -> None:
    began = time.monotonic()
    hanging, following = run(tmp_path, step("hangs", seconds=10), step("passes"))
    assert (hanging.status, following.status) == ("timed out", "passed")
    assert hanging.seconds >= 10
    assert time.monotonic() - began < 90
    assert "after 10 s" in hanging.problems[0]
    child = hanging.figures["child"]
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_no_step_begins_when_the_whole_time_is_over(tmp_path: Path) -> None:
    results = run(tmp_path, step("passes"), step("passes"), seconds=2)
    assert [result.status for result in results] == ["no time left"] * 2
    assert checked(results).has_failed


def test_the_rest_of_the_whole_time_limits_a_step(tmp_path: Path) -> None:
    (result,) = run(tmp_path, step("hangs", seconds=600), seconds=8)
    assert result.status == "timed out"
    assert result.seconds < 60


def test_what_only_a_card_can_do_is_counted_and_no_failure(tmp_path: Path) -> None:
    alone = step("memory", card_only="a CPU has none")
    results = run(tmp_path, alone, step("partly"))
    assert [result.status for result in results] == ["not run", "passed"]
    check = checked(results)
    assert not check.has_failed
    assert check.not_run_count == 2
    (on_card,) = run(tmp_path, alone, device="cuda")
    assert on_card.status == "passed"


def test_the_json_and_the_table_hold_every_step(tmp_path: Path) -> None:
    steps = [step("memory", card_only="a CPU has none"), *map(step, ("fails", "raises", "partly"))]
    check = checked(run(tmp_path, *steps))
    table.write(check, tmp_path / "out")
    document = json.loads((tmp_path / "out" / table.JSON_FILE).read_text())
    assert [one["status"] for one in document["steps"]] == [
        "not run", "failed", "crashed", "passed"
    ]  # fmt: skip
    assert (document["failed"], document["not_run_count"]) == (True, 2)
    assert document["steps"][1]["figures"] == {"rate": 12.34567}
    text = (tmp_path / "out" / table.MARKDOWN_FILE).read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(steps)
    assert {row.replace(r"\|", "").count("|") for row in rows} == {6}, "a value cannot make a cell"
    assert "| memory | NOT RUN |" in rows[2]
    assert "PROBLEM: the answer is 41, not 42<br>rate: 12.35" in rows[3]
    assert "1 not run, 1 failed, 1 crashed, 1 passed. NOT RUN here: 2" in text


@pytest.mark.parametrize(("name", "code"), [("passes", 0), ("fails", 1), ("hangs", 1)])
def test_the_exit_code_says_whether_a_step_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    (tmp_path / COMMAND_FILE).write_text(PROGRAM)
    command = (sys.executable, str(tmp_path / COMMAND_FILE))
    monkeypatch.setattr(check_program, "STEPS", [step(name, seconds=5)])
    monkeypatch.setattr(check_program, "Runner", partial(Runner, command=command))
    out = tmp_path / "out"
    assert check_program.main(["--device", "cpu", "--out", str(out), "--patience", "1"]) == code
    assert json.loads((out / table.JSON_FILE).read_text())["failed"] == bool(code)
    assert f"== {name}: " in (out / "gpu-check.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "tpu"], "DEVICE='tpu' is not a device of this check. Allowed: cuda, cpu."),
        (["--device", "cuda"], "there is no GPU that this process may use"),
        (["--device", "cpu", "--only", "sweeep"], "There is no step sweeep. Allowed: prepare,"),
    ],
)
def test_a_wrong_argument_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(check_program, "first_card", lambda: None)
    assert check_program.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_the_steps_have_names_and_limits_of_their_own() -> None:
    assert len({one.name for one in STEPS}) == len(STEPS)
    assert all(0 < one.seconds <= 120 for one in STEPS)
    assert [one.name for one in STEPS if one.card_only] == [
        "out-of-memory", "out-of-memory-shared", "context", "together-mps"
    ]  # fmt: skip


def test_ctrl_c_leaves_no_step_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[int] = []

    def interrupt(process: object, _: float) -> None:
        children.append(process.pid)  # type: ignore[attr-defined] # a Popen
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    monkeypatch.setattr("benchmarks.gpu.runner._wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, step("hangs"))
    assert not psutil.pid_exists(children[0])
