"""The worked examples of CONTRIBUTING.md: each is added as the page says, and seen at work."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.orchestrator.conftest import write_data
from tests.orchestrator.running import FRESH, TOP, run, trials, write_sweep
from tests.plugin_packages import install_package
from tests.trainers.small import save_model
from trytable.orchestrator.paths import Folders
from trytable.results.storage.reader import read_study

BLOCK = re.compile(r"^```(\w+)\n# (\w+): (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = ("trytable", "sweeps", "orchestrator", "trainers", "results", "tests", "docs", "benchmarks")
SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 2, epoch_seconds: 0}
parameters: {value: {low: 0.1, high: 0.9}}
trials: 5
"""


@dataclass(frozen=True)
class Block:
    """A block of the page: `kind` is its language, `example` what it adds."""

    kind: str
    example: str
    file: str
    text: str


BLOCKS = [Block(*match.groups()) for match in BLOCK.finditer((TOP / "CONTRIBUTING.md").read_text())]


def add(block: Block, folder: Path) -> None:
    """Write a block's file, or change it if the block is a diff."""
    path = folder / block.file
    if block.kind != "diff":
        assert not path.exists(), f"{block.file} exists"
        path.write_text(block.text)
        return
    lines = block.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    source = path.read_text()
    assert source.count(before) == 1, f"{block.file} does not have these lines once:\n{before}"
    path.write_text(source.replace(before, after))


def add_package(example: str, site: Path) -> Path:
    """Install the package of an example as pip would, and return the folder."""
    files = {block.file: block.text for block in BLOCKS if block.example == example}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    return install_package(
        site, project["name"], files, project["entry-points"], project["version"]
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with every example that is no package."""
    folder = tmp_path_factory.mktemp("examples") / "checkout"
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "runs")
    for name in CODE:
        shutil.copytree(TOP / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(TOP / name, folder / name)
    for block in BLOCKS:
        if block.example not in ("sampler", "backend"):
            add(block, folder)
    return folder


def with_path(folder: Path) -> tuple[str, ...]:
    """The command line in a process that imports from a folder first."""
    return ("env", f"PYTHONPATH={folder}{os.pathsep}{TOP}", *FRESH, "sweep")


def run_tests(checkout: Path, *arguments: str) -> None:
    """Run tests of the copy with the copy's code."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_has_an_example_of_each() -> None:
    examples = {block.example for block in BLOCKS}
    assert examples == {"sampler", "backend", "diagnosis", "column", "knob", "fault"}


def test_a_sampler(tmp_path: Path) -> None:
    command = with_path(add_package("sampler", tmp_path / "site"))
    write_sweep(tmp_path, SWEEP + "sampler: {name: corners, margin: 0.25}\n")
    code, printed = run(tmp_path, command=command)
    assert code == 0, printed
    first, *drawn = [trial.params["value"] for trial in trials(tmp_path)]
    assert first == 0.5  # the baseline
    assert len(drawn) == 4
    assert {round(value, 9) for value in drawn} <= {0.3, 0.7}
    study = read_study(Folders(tmp_path / "runs", "quality").url, "quality")
    assert study.sweep["sampler"] == {"name": "corners", "margin": 0.25}
    write_sweep(tmp_path, SWEEP + "sampler: {name: corners, margin: 0.5}\n", "wrong")
    code, printed = run(tmp_path, command=command, NAME="wrong")
    assert code == 2
    assert (
        "sampler.margin: 0.5 is not allowed. Allowed: a number at least 0 and below 0.5" in printed
    )


def test_a_backend(tmp_path: Path) -> None:
    command = with_path(add_package("backend", tmp_path / "site"))
    write_sweep(tmp_path, SWEEP + "sampler: random\n")
    code, printed = run(tmp_path, command=command, ENGINE="half")
    assert code == 0, printed
    assert "half: " in printed
    study = read_study(Folders(tmp_path / "runs", "quality").url, "quality")
    slots = {attempt.slot for trial in study.trials for attempt in trial.attempts}
    assert slots
    assert all(slot.startswith("half-") for slot in slots)
    code, printed = run(tmp_path, ENGINE="half")
    assert code == 2
    assert "ENGINE='half' is not an engine. Allowed: local, ray." in printed


def test_a_diagnosis_and_a_column(tmp_path: Path, checkout: Path) -> None:
    write_sweep(tmp_path, SWEEP + "sampler: random\n")
    report = tmp_path / "runs" / "quality" / "report.md"
    code, printed = run(tmp_path, command=with_path(checkout))
    assert code == 0, printed
    assert "few_epochs (info), it was trained for 2 epochs, fewer than 3" in report.read_text()
    header, _, row = report.read_text().partition("## ")[2].splitlines()[2:5]
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert cells["steps run"] == "20"
    code, printed = run(tmp_path, command=with_path(checkout), REPORT_LANG="zh")
    assert code == 0, printed
    assert "只训练了 2 轮，少于 3 轮" in report.read_text()
    assert "训练步数" in report.read_text()
    run_tests(checkout, "tests/results/analysis/diagnosis/test_registry.py")


def test_a_knob(tmp_path: Path, checkout: Path) -> None:
    save_model(tmp_path / "model")
    write_data(tmp_path / "data")
    write_sweep(
        tmp_path,
        "baseline: {epochs: 1, batch_size: 8}\nparameters: {adam_beta2: [0.9, 0.999]}\n",
    )
    code, printed = run(
        tmp_path,
        command=with_path(checkout),
        MODEL=str(tmp_path / "model"),
        DATA=str(tmp_path / "data"),
    )
    assert code == 0, printed
    study = read_study(Folders(tmp_path / "runs", "quality").url, "quality")
    assert [trial.status for trial in study.trials] == ["completed"] * 2
    readings = {trial.params["adam_beta2"]: trial.effective["adam_beta2"] for trial in study.trials}
    assert readings == {0.9: 0.9, 0.999: 0.999}
    subprocess.run(
        [sys.executable, "-m", "trytable.trainers.protocol.knobs_docs"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
    )
    assert "| `adam_beta2` | `0.999` |" in (checkout / "docs" / "knobs.md").read_text()
    run_tests(
        checkout,
        "tests/trainers/finetune/test_adam_beta2.py",
        "tests/trainers/protocol/test_knobs.py::test_the_page_is_that_of_the_schema",
        "tests/trainers/protocol/test_knobs.py::test_a_knob_says_why_and_names_a_test_that_uses_it",
        "tests/trainers/finetune/test_memory.py::test_every_knob_is_said_to_decide_memory_or_not_to",
    )


def test_a_fault(checkout: Path) -> None:
    run_tests(checkout, "tests/orchestrator/faults/test_deleted_log.py", "tests/test_docs.py")
