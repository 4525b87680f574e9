"""What contributors and CI rely on: hooks that exist, coverage with a floor."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

TOP = Path(__file__).resolve().parents[1]
HOOKS = [
    hook
    for repository in YAML(typ="safe").load(TOP / ".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]
]
TOOLS = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]


def test_the_hooks_are_valid_and_need_no_network() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(command, cwd=TOP, check=True)
    repositories = YAML(typ="safe").load(TOP / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_a_hook_is_a_command_of_make_check(hook: dict[str, str]) -> None:
    python, *words = shlex.split(hook["entry"])
    assert python == ".venv/bin/python"
    assert words[:2] == ["-m", hook["id"].partition("-")[0]]
    done = subprocess.run([sys.executable, *words[:2], "--version"], check=False)
    assert done.returncode == 0
    recipe = (TOP / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    without_options = " ".join(word for word in words if word != "--force-exclude")
    assert f".venv/bin/python {without_options}" in recipe


def test_coverage_has_a_floor_and_ci_measures_every_process() -> None:
    coverage = TOOLS["coverage"]
    assert coverage["report"]["fail_under"] >= 90
    assert coverage["run"]["source_pkgs"] == ["trytable"]
    assert {"subprocess", "fork", "_exit"} <= set(coverage["run"]["patch"])
    script = (TOP / ".ci" / "run").read_text()
    assert re.search(r"^timed measured make test$", script, re.MULTILINE)
    assert "coverage report" in script


def test_a_process_that_a_test_starts_or_forks_is_measured(tmp_path: Path) -> None:
    """As .ci/run sets it up; the package is a stand-in, so that this takes no time."""
    package = tmp_path / "trytable"
    package.mkdir()
    (package / "__init__.py").write_text("")
    body = "def run():\n    return 1\n"
    for name in ("started", "forked", "direct"):
        (package / f"{name}.py").write_text(body)
    (tmp_path / "pyproject.toml").write_text(_coverage_settings())
    program = (
        "import coverage; coverage.process_startup()\n"
        "import os, subprocess, sys\n"
        "import trytable.direct as direct\n"
        "direct.run()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    import trytable.forked as forked\n"
        "    forked.run()\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "code = 'import coverage; coverage.process_startup(); import trytable.started as s'\n"
        "subprocess.run([sys.executable, '-c', code + '; s.run()'], check=True, cwd='/')\n"
    )
    environment = {
        "COVERAGE_PROCESS_START": str(tmp_path / "pyproject.toml"),
        "COVERAGE_FILE": str(tmp_path / ".coverage"),
        "PYTHONPATH": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    run = [sys.executable, "-P", "-c", program]
    subprocess.run(run, cwd=tmp_path, check=True, env=environment)
    tool = [sys.executable, "-m", "coverage"]
    clean = {"COVERAGE_FILE": str(tmp_path / ".coverage"), "PATH": "/usr/bin:/bin"}
    subprocess.run([*tool, "combine", "-q"], cwd=tmp_path, check=True, env=clean)
    report = subprocess.run(
        [*tool, "report", "--fail-under=0"],
        cwd=tmp_path, check=True, env=clean, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in ("started", "forked", "direct"):
        assert re.search(rf"{name}\.py +2 +0 +100%", report), report


def _coverage_settings() -> str:
    """The section of pyproject.toml that is about coverage, as it stands there."""
    lines, wanted = [], False
    for line in (TOP / "pyproject.toml").read_text().splitlines():
        wanted = line.startswith("[tool.coverage") if line.startswith("[") else wanted
        lines += [line] if wanted else []
    return "\n".join(lines)
