"""Shell completion, through the protocol that the shells speak and in a real bash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.running import TOP, write_sweep

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(TOP)!r})
from trytable.orchestrator.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sweeps, two studies, and `bin/trytable`."""
    folder = tmp_path_factory.mktemp("it's a folder")
    for name in ("lr", "lr-long", "dropout"):
        write_sweep(folder, "not read", name)
    (folder / "runs").mkdir()
    (folder / "elsewhere").mkdir()
    make_studies(folder, "runs", ["joint", "joint@2"])
    make_studies(folder, "elsewhere", ["other"])
    program = folder / "bin" / "trytable"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return folder


def make_studies(folder: Path, runs: str, names: list[str]) -> None:
    import optuna  # noqa: PLC0415 - the command line must not need it

    for name in names:
        storage = f"sqlite:///{folder / runs / 'studies.db'}"
        optuna.create_study(study_name=name, storage=storage)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if "TRYTABLE" not in key}
    path = f"{folder / 'bin'}:{clean['PATH']}"
    return {**clean, "PATH": path, **variables}


def completed(folder: Path, line: str, **variables: str) -> list[str]:
    """What bash would propose for the last word of a line."""
    words = line.split(" ")
    asked = {
        "_TRYTABLE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        ["trytable"],
        cwd=folder,
        env=environment(folder, **asked, **variables),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trytable sw", ["sweep", "sweeps"]),
        ("trytable sweep l", ["lr", "lr-long"]),
        ("trytable sweep --name d", ["dropout"]),
        ("trytable diagnose ", ["dropout", "lr", "lr-long"]),
        ("trytable lr-range --apply lr-", ["lr-long"]),
        ("trytable report ", ["joint", "joint@2"]),
        ("trytable show --name jo", ["joint", "joint@2"]),
        ("trytable report --runs elsewhere ", ["other"]),
        ("trytable report --runs nowhere ", []),
        ("trytable report --storage postgresql://u@h/d ", []),
        ("trytable sweep lr --no-r", ["--no-retry-failed"]),
        ("trytable report --lang ", ["en", "zh"]),
        ("trytable export joint --test ", ["all"]),
    ],
)
def test_names_and_options_are_completed(folder: Path, line: str, words: list[str]) -> None:
    assert completed(folder, line) == words


def test_the_variable_of_runs_counts(folder: Path) -> None:
    assert completed(folder, "trytable report ", TRYTABLE_RUNS="elsewhere") == ["other"]
    assert completed(folder, "trytable report ", TRYTABLE_STORAGE="postgresql://u@h/d") == []


def test_a_file_that_is_no_database_completes_nothing(folder: Path) -> None:
    (folder / "broken").mkdir(exist_ok=True)
    (folder / "broken" / "studies.db").write_text("no database" * 100)
    assert completed(folder, "trytable report --runs broken ") == []


def test_bash_completes_after_the_installation(folder: Path, tmp_path: Path) -> None:
    """The file that --install-completion writes, in a bash that starts with it."""
    script = """
trytable --install-completion >/dev/null
source "$HOME/.bashrc"
COMP_WORDS=(trytable sweep l) COMP_CWORD=2
_trytable_completion trytable
echo "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=environment(folder, HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["lr", "lr-long"]
    assert done.stderr == ""
