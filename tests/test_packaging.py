"""What is installed: one package named trytable, which no folder of the user's can shadow."""

import email
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import trytable
from tests.orchestrator.running import GRID, states, write_sweep

TOP = Path(__file__).resolve().parents[1]
ROOMS = ("sweeps", "orchestrator", "trainers", "results")
CONSOLE = Path(sys.executable).with_name("trytable")
HOSTILE = "raise SystemExit('a package of the user was imported')\n"

SCRIPT = """
import results, trainers.mine
print("epoch 1: dev acc :: %s" % (results.VALUE + trainers.mine.VALUE))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, source)
    for name in ("trytable", *ROOMS):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TOP / name, source / name, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--quiet", "--wheel-dir", str(folder), str(source)],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    return next(folder.glob("*.whl"))


def test_a_wheel_holds_one_package_with_every_module_and_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"trytable"}
    kept = {".py", ".yaml", ".typed", ".html", ".css", ".js"}
    files = {
        f"trytable/{path.relative_to(TOP).as_posix()}"
        for room in ROOMS
        for path in (TOP / room).rglob("*")
        if path.suffix in kept and "__pycache__" not in path.parts
    }
    assert files <= names, files - names
    assert {"trytable/__init__.py", "trytable/py.typed"} <= names


def test_a_wheel_states_the_version_and_the_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
        license_text = archive.read(name.replace("METADATA", "licenses/LICENSE"))
    assert metadata["Version"] == trytable.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "Trytable developers"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert license_text == (TOP / "LICENSE").read_bytes()


def test_a_source_checkout_knows_its_version_without_an_installation(tmp_path: Path) -> None:
    (tmp_path / "trytable").symlink_to(TOP / "trytable")
    # -I: no current folder and no packages of the user; -S: no installed package at all.
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import trytable; print(trytable.__version__)"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == trytable.__version__


def test_the_installed_package_lists_its_own_sweeps(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        "from trytable.orchestrator import cli; print(cli.__file__); cli.main(['sweeps'])"
    )
    printed = subprocess.run(
        [sys.executable, "-P", "-c", program, str(site)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout
    assert printed.startswith(str(site))
    assert "dropout" in printed


@pytest.mark.parametrize(
    "command", [[str(CONSOLE)], [sys.executable, "-m", "trytable.orchestrator.cli"]]
)
def test_hostile_packages_of_our_folders_names_are_never_imported(
    command: list[str], tmp_path: Path
) -> None:
    write_sweep(tmp_path, GRID.replace("epoch_seconds: 0.15", "epoch_seconds: 0"))
    for room in ROOMS:
        (tmp_path / room).mkdir(exist_ok=True)
        (tmp_path / room / "__init__.py").write_text(HOSTILE)
    done = _run([*command, "sweep"], tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert states(tmp_path) == ["COMPLETE"] * 6
    assert _run([*command, "report"], tmp_path, PYTHONPATH=str(tmp_path)).returncode == 0


@pytest.mark.parametrize("regular", [True, False])
def test_a_script_imports_its_own_packages_of_our_folders_names(
    regular: bool, tmp_path: Path
) -> None:
    """A namespace package, without __init__.py, loses against any regular one on the path."""
    text = """
trainer: script
command: python its.py --lr {lr}
objective: {name: dev_acc, direction: maximize}
parameters: {lr: [0.1]}
"""
    write_sweep(tmp_path, text)
    (tmp_path / "its.py").write_text(SCRIPT)
    for room in ("results", "trainers"):
        (tmp_path / room).mkdir()
    if regular:
        (tmp_path / "results" / "__init__.py").write_text("VALUE = 0.25\n")
        (tmp_path / "trainers" / "__init__.py").write_text("")
    else:
        (tmp_path / "results.py").write_text("VALUE = 0.25\n")
        (tmp_path / "results").rmdir()
    (tmp_path / "trainers" / "mine.py").write_text("VALUE = 0.5\n")
    done = _run([str(CONSOLE), "sweep"], tmp_path)
    assert done.returncode == 0, done.stdout
    assert "0.750" in done.stdout


def test_every_folder_is_packaged() -> None:
    listed = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {
        f"trytable.{path.parent.relative_to(TOP).as_posix().replace('/', '.')}"
        for room in ROOMS
        for path in (TOP / room).rglob("__init__.py")
    }
    assert set(listed) == folders | {"trytable"}


def _run(
    command: list[str], folder: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if "TRYTABLE" not in key}
    return subprocess.run(
        command,
        cwd=folder,
        env={**clean, "TRYTABLE_NAME": "quality", "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
