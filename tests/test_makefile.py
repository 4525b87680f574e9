"""The front door: what a user gives arrives whole, runs nothing, and installs once.

A copy of the Makefile is driven with a stand-in for Python that makes an environment out of
scripts: it writes down what it is asked to do, and `trytable` writes down its environment.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
VERBS = (
    "sweep", "diagnose", "lr-range", "suggest", "import", "sweeps", "confirm", "report", "show",
    "rerun", "best", "export", "backup", "dashboard",
)  # fmt: skip
VARIABLES = (
    "NAME", "TRY", "OUT", "TRIALS", "HOURS", "DATA", "MODEL", "SLOTS", "RUNS", "SET", "FORMAT",
    "PORT", "WRITABLE", "RETRY_FAILED", "AS_NEW", "FREEZE", "LR_FROM", "LR_TO", "STEPS", "SEEDS",
    "APPLY", "LOG", "PATTERN", "TOP", "TEST", "REPORT_LANG", "ENGINE", "CHECKPOINTS",
    "LOG_LEVEL", "DEVICE",
)  # fmt: skip
LOCKS = ("requirements.txt", "requirements-ray.txt", "requirements-dev.txt")
HOSTILE = (
    "$(shell touch x)",
    "${shell touch x}",
    "$$(touch x)",
    "$(error no)",
    "`touch x`",
    "$(touch x)",
    ";touch x",
    "a b\tc",
    "'\"\\",
    "two\nlines\n\ttouch x",
    "$(NAME)",
    "$NAME $$ %",
    "#no comment",
    " blanks ",
    "ü=:=$@",
    "a)b(",
    "a,b",
)

TRYTABLE = """#!{python}
import json, os, signal, sys, time
from pathlib import Path
with Path("asked").open("a") as file:
    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=file)
if os.environ["TRYTABLE_NAME"] == "wait":
    count = []
    signal.signal(signal.SIGINT, lambda *_: count.append(1))
    Path("ready").touch()
    end = time.monotonic() + 240
    while not count and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    Path("interrupts").write_text(str(len(count)))
    sys.exit(130)
sys.exit(2 if os.environ["TRYTABLE_NAME"] == "wrong" else 0)
"""

PYTHON = """#!/bin/sh
# Stands in for python3, and for the .venv/bin/python that it makes.
printf '%s\\n' "$*" >>calls
case "$*" in
    *version_info*) exit "$(cat too_old 2>/dev/null || echo 0)" ;;
    *ensurepip*) test ! -e no_venv ;;
    "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"-e ."*) cp trytable .venv/bin/trytable ;;
    *"pip install"*) test ! -e no_network ;;
esac
"""


class Front:
    """A folder with the Makefile, and what happened in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        """Start make as a shell would: words are its arguments, keywords its environment."""
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MAKE", "MFLAGS", "TRYTABLE")) and key not in VARIABLES
        }
        return subprocess.Popen(
            ["make", *words],
            cwd=self.folder,
            env={**clean, "PYTHON": str(self.folder / "python"), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, *words: str, **variables: str) -> tuple[int, str]:
        """Run make to its end; the exit code and all that was printed."""
        process = self.start(*words, **variables)
        printed, _ = process.communicate(timeout=240)
        return process.returncode, printed

    def asked(self) -> tuple[list[str], Mapping[str, str]]:
        """The words and the environment with which trytable was last started."""
        words, environment = json.loads((self.folder / "asked").read_text().splitlines()[-1])
        return words, environment

    def calls(self) -> list[str]:
        """What Python was asked to do, without the questions after its version and modules."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if line.startswith("-m")]


@pytest.fixture
def front(tmp_path: Path) -> Front:
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "trytable").write_text(TRYTABLE.format(python=sys.executable))
    (tmp_path / "python").write_text(PYTHON)
    for name in ("trytable", "python"):
        (tmp_path / name).chmod(0o755)
    return Front(tmp_path)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("given", ["words", "environment"])
def test_a_hostile_value_arrives_whole_and_runs_nothing(
    front: Front, value: str, given: str
) -> None:
    words = [f"{key}={value}" for key in VARIABLES] if given == "words" else []
    code, printed = front.make(
        "sweep", *words, **({} if words else dict.fromkeys(VARIABLES, value))
    )
    assert code == 0, printed
    _, environment = front.asked()
    expected = value.lstrip(" ") if words else value  # make itself drops blanks after its `=`
    assert {environment[f"TRYTABLE_{key}"] for key in VARIABLES} == {expected}
    assert not set(VARIABLES) & environment.keys()
    assert not (front.folder / "x").exists()


def test_what_is_not_given_arrives_empty(front: Front) -> None:
    assert front.make("sweep", "NAME=lr")[0] == 0
    _, environment = front.asked()
    given = {key: environment[f"TRYTABLE_{key}"] for key in VARIABLES}
    assert given == {**dict.fromkeys(VARIABLES, ""), "NAME": "lr"}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_target(front: Front, verb: str) -> None:
    assert front.make(verb)[0] == 0
    assert front.asked()[0] == [verb]


def test_a_study_is_checked_by_a_target_of_another_name(front: Front) -> None:
    """`make check` is the developers' lint."""
    assert front.make("check-study")[0] == 0
    assert front.asked()[0] == ["check"]


def test_a_misspelt_variable_is_refused(front: Front) -> None:
    code, printed = front.make("sweep", "NAME=lr", "TRIAL=3")
    assert code == 2
    assert "There is no variable TRIAL. Use one of NAME TRY" in printed
    assert not (front.folder / ".venv").exists()


def test_help_lists_every_target(front: Front) -> None:
    code, printed = front.make()
    assert code == 0
    for target in (
        *VERBS,
        "check-study",
        "ray",
        "test",
        "soak",
        "check",
        "bench",
        "gpu-check",
        "clean",
        "help",
    ):
        assert f"\n  make {target} " in f"\n{printed}"
    assert not (front.folder / ".venv").exists()


def test_the_second_run_installs_nothing(front: Front) -> None:
    front.make("sweep")
    venv, *installs = front.calls()
    assert venv == "-m venv .venv"
    assert [call.split()[-2:] for call in installs] == [["-r", "requirements.txt"], ["-e", "."]]
    front.make("sweep")
    assert front.calls() == []


def ran(front: Front) -> list[str]:
    """What pip installed, or the module that was run."""
    found = [re.search(r"-r (\S+)", one) or re.search(r"-m (\S+)", one) for one in front.calls()]
    return [one[1] for one in found if one]


def test_what_tests_need_is_installed_for_them_alone(front: Front) -> None:
    front.make("sweep", "NAME=lr")
    front.calls()
    front.make("test")
    assert ran(front) == ["requirements-dev.txt", "pytest"]
    front.make("check")
    assert [call.split()[1] for call in front.calls()] == ["ruff", "ruff", "mypy"]


def test_ray_is_installed_once_and_only_where_it_is_asked_for(front: Front) -> None:
    front.make("sweep", "NAME=lr")
    assert "requirements-ray.txt" not in ran(front)
    front.make("ray")
    assert ran(front) == ["requirements-ray.txt"]
    front.make("ray")
    assert ran(front) == []
    front.make("sweep", "NAME=lr", "ENGINE=ray")
    assert ran(front) == []


def test_a_changed_lock_is_installed_over_the_old(front: Front) -> None:
    front.make("test")
    front.calls()
    with (front.folder / "requirements-ray.txt").open("a") as file:
        file.write("one-more==1\n")
    front.make("sweep")
    assert front.calls() == []
    front.make("test")
    assert ran(front) == ["requirements-dev.txt", "pytest"]
    with (front.folder / "requirements.txt").open("a") as file:
        file.write("another==1\n")
    front.make("sweep")
    assert [call.split()[-1] for call in front.calls()] == ["requirements.txt", "."]


def test_a_half_made_environment_is_made_anew(front: Front) -> None:
    (front.folder / "no_network").touch()
    code, _ = front.make("sweep")
    assert code == 2
    (front.folder / ".venv" / "leftover").touch()
    (front.folder / "no_network").unlink()
    front.calls()
    assert front.make("sweep")[0] == 0
    assert front.calls()[0] == "-m venv .venv"
    assert not (front.folder / ".venv" / "leftover").exists()


def test_a_moved_folder_is_installed_again(front: Front) -> None:
    front.make("sweep")
    front.calls()
    moved = front.folder.with_name("it's moved, $HOME and all")
    front.folder.rename(moved)
    front.folder = moved
    assert front.make("sweep")[0] == 0
    assert [call.split()[-1] for call in front.calls()] == ["requirements.txt", "."]


def test_two_at_once_install_once(front: Front) -> None:
    runs = [front.start("sweep") for _ in range(3)]
    assert [run.communicate(timeout=240) and run.returncode for run in runs] == [0, 0, 0]
    assert [call.split()[-1] for call in front.calls()] == [".venv", "requirements.txt", "."]


def test_an_old_python_is_named(front: Front) -> None:
    (front.folder / "too_old").write_text("1")
    code, printed = front.make("sweep")
    assert code == 2
    assert f"{front.folder}/python is not Python 3.11 or newer. Install one" in printed
    assert not (front.folder / ".venv").exists()


def test_a_command_in_place_of_python_is_not_run(front: Front) -> None:
    code, printed = front.make("sweep", PYTHON="touch x; touch x")
    assert code == 2
    assert "touch x; touch x is not Python 3.11 or newer" in printed
    assert not (front.folder / "x").exists()


def test_a_python_without_venv_is_named(front: Front) -> None:
    (front.folder / "no_venv").touch()
    code, printed = front.make("sweep")
    assert code == 2
    assert f"{front.folder}/python has no venv module (on Debian: apt install" in printed
    assert not (front.folder / ".venv").exists()


def test_a_programs_failure_is_makes(front: Front) -> None:
    code, printed = front.make("sweep", "NAME=wrong")
    assert code == 2
    assert "Error 2" in printed


def test_ctrl_c_reaches_the_program_once(front: Front) -> None:
    front.make("sweep")
    process = front.start("sweep", "NAME=wait")
    end = time.monotonic() + 240
    while not (front.folder / "ready").exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to make and the program alike
    printed, _ = process.communicate(timeout=240)
    assert process.returncode != 0
    assert (front.folder / "interrupts").read_text() == "1"
    assert len(printed.splitlines()) <= 1


def test_clean_leaves_the_studies(front: Front) -> None:
    front.make("sweep")
    (front.folder / "runs").mkdir()
    (front.folder / "sweeps" / "__pycache__").mkdir(parents=True)
    assert front.make("clean")[0] == 0
    assert not (front.folder / ".venv").exists()
    assert not (front.folder / "sweeps" / "__pycache__").exists()
    assert (front.folder / "runs").exists()


def test_the_locks_pin_every_package() -> None:
    for name in LOCKS:
        lines = [line for line in (TOP / name).read_text().splitlines() if not line.startswith("#")]
        pinned = [line for line in lines if line.removeprefix("-r ") not in LOCKS]
        assert all(
            re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9.]*(post[0-9])?", line) for line in pinned
        )
    assert "torch==2.13.0" in (TOP / "requirements.txt").read_text().splitlines()


def test_the_lock_holds_every_dependency() -> None:
    named = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=]", name)[0].lower() for name in named}
    lock = (TOP / "requirements.txt").read_text().lower()
    assert names <= {line.partition("==")[0] for line in lock.splitlines()}
