"""What travels is enough, small, and installs without a network; docs/gpu.md says how."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu import pack
from benchmarks.gpu.plan import STEPS

TOP = Path(__file__).resolve().parents[3]
REQUIREMENT = re.compile(r"[\w.-]+")

BLOCKER = """
import sys
from importlib.machinery import PathFinder
class WithoutBlocked(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            return None
        return PathFinder.find_spec(name, path, target)
sys.meta_path = [WithoutBlocked if finder is PathFinder else finder for finder in sys.meta_path]
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_requirements(names: tuple[str, ...]) -> set[str]:
    """Packages with all that they need, as far as it is installed here."""
    done: set[str] = set()
    left = [normal(name) for name in names]
    while left:
        name = left.pop()
        if name in done:
            continue
        done.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        left += [normal(REQUIREMENT.match(n)[0]) for n in needs if "extra ==" not in n]  # type: ignore[index] # each has a name
    return done


def blocked_modules() -> set[str]:
    """The modules of Trytable's own dependencies that neither the machine has nor the archive.

    Not of all packages: transformers asks which of them there are, and imports those.
    """
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    named = [*project["dependencies"], *(name for names in extras for name in names)]
    own = {normal(REQUIREMENT.match(name)[0]) for name in named}  # type: ignore[index] # each has a name
    there = with_requirements(pack.MACHINE) | {normal(name) for name in pack.CARRIED}
    owners = importlib.metadata.packages_distributions()
    return {
        module
        for module, packages in owners.items()
        if own & {normal(name) for name in packages} - there
    }


@pytest.mark.slow
def test_the_check_runs_with_what_the_machine_has_and_what_travels(tmp_path: Path) -> None:
    blocked = blocked_modules()
    assert {"psycopg", "plotly", "tomlkit", "ray"} <= blocked
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(blocked=blocked))
    modules = [step.function.partition(":")[0] for step in STEPS]
    imports = "; ".join(f"import benchmarks.gpu.steps.{name}" for name in modules)
    path = os.pathsep.join([str(tmp_path), str(TOP)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", imports], cwd=tmp_path, env=environment, check=True)
    arguments = ["--device", "cpu", "--only", "rerun", "--patience", "10", "--out", "out"]
    completed = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=tmp_path,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    log = (tmp_path / "out" / "gpu-check.log").read_text()
    assert completed.returncode == 0, completed.stdout + completed.stderr + log
    assert "2 passed" in completed.stdout


def test_every_package_that_travels_is_pinned() -> None:
    requirements = (TOP / "requirements.txt").read_text()
    pins = pack.pinned(pack.CARRIED, requirements)
    assert len(pins) == len(pack.CARRIED)
    assert all(pin in requirements.splitlines() for pin in pins)
    assert not {"torch", "transformers"} & set(pack.CARRIED)
    with pytest.raises(LookupError, match="has no version of nothing-such"):
        pack.pinned(["nothing-such"], requirements)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packing writes here, and fetches one made-up wheel."""
    monkeypatch.setattr(pack, "WHEELS", tmp_path / "wheels")
    monkeypatch.setattr(pack, "MINILM", tmp_path / "minilm-bf16")
    monkeypatch.setattr(pack, "ARCHIVE", tmp_path / "trytable-gpu.tar.gz")

    def fetch(_: object, python: str) -> None:
        assert python == "3.12"
        pack.WHEELS.mkdir()
        (pack.WHEELS / "made_up-1-py3-none-any.whl").write_bytes(b"0" * 2**20)

    monkeypatch.setattr(pack, "_fetch", fetch)
    monkeypatch.setattr(pack, "_name_in_archive", lambda path: path.name)
    return tmp_path


@pytest.mark.slow
def test_the_archive_holds_the_sources_the_wheels_and_the_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack.main() == 0
    with tarfile.open(pack.ARCHIVE) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert members["trytable/trainers"].issym()
    assert {"benchmarks/gpu/run.sh", "trainers/seeding.py", "requirements.txt"} <= members.keys()
    assert {"wheels/made_up-1-py3-none-any.whl", "minilm-bf16/model.safetensors"} <= members.keys()
    assert not [name for name in members if "__pycache__" in name]
    printed = capsys.readouterr().out
    total = float(re.search(r"([\d.]+) MiB  travel in all \(limit 60\)", printed)[1])  # type: ignore[index] # else it fails
    assert 44 < total < 60
    assert "It lacks: optuna==" in printed


@pytest.mark.slow
def test_a_model_that_is_too_large_stays_and_too_much_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pack, "LIMIT_MIB", 20.0)
    assert pack.main() == 0
    assert not pack.MINILM.exists()
    assert "does not fit: MiniLM gets random weights" in capsys.readouterr().out
    monkeypatch.setattr(pack, "LIMIT_MIB", 1.0)
    shutil.rmtree(pack.WHEELS)
    assert pack.main() == 1


CHECK = """
import json, sys
import carried
print(json.dumps([carried.VALUE, *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_one_command_installs_the_wheels_and_runs_the_check(tmp_path: Path) -> None:
    program = tmp_path / "benchmarks" / "gpu"
    program.mkdir(parents=True)
    shutil.copy(TOP / "benchmarks" / "gpu" / "run.sh", program)
    (program / "__main__.py").write_text(CHECK)
    wheels = tmp_path / "build" / "gpu" / "wheels"
    wheels.mkdir(parents=True)
    info = "carried-1.dist-info"
    with zipfile.ZipFile(wheels / "carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "VALUE = 42\n")
        needs = "Metadata-Version: 2.1\nName: carried\nVersion: 1\nRequires-Dist: not-there\n"
        wheel.writestr(f"{info}/METADATA", needs)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr(f"{info}/RECORD", "")
    environment = {**os.environ, "PYTHON": sys.executable, "DEVICE": "cpu"}
    command = ["sh", str(program / "run.sh"), "results"]
    completed = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True
    )
    assert completed.stdout == '[42, "--device", "cpu", "--out", "results"]\n', completed.stderr


def test_the_page_says_how_and_names_every_step() -> None:
    page = (TOP / "docs" / "gpu.md").read_text()
    if "None yet." in page:
        assert page.splitlines()[0].startswith("**No GPU has run this check yet.**")
    assert [f"| `{step.name}` |" for step in STEPS if f"| `{step.name}` |" not in page] == []
    assert "sh benchmarks/gpu/run.sh card" in page
    for package in pack.MACHINE[:4]:
        assert package in page
