"""Imports go one way: sweeps, trainers and results know no other room, orchestrator drives them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
ALLOWED = {
    "sweeps": ("sweeps",),
    "trainers": ("trainers",),
    "results": ("results",),
    "orchestrator": (
        "orchestrator",
        "sweeps",
        "results",
        "trainers.protocol",
        "trainers.logs",
        "trainers.log_patterns",
        "trainers.metric_files",
        "trainers.metric_names",
    ),
}
HEAVY = ("torch", "transformers")
LIGHT = tuple(
    f"trainers/{name}.py"
    for name in (
        "protocol",
        "knobs",
        "model_knobs",
        "memory_knobs",
        "training_knobs",
        "record",
        "logs",
        "log_patterns",
        "metric_names",
        "metric_files",
        "event_files",
    )
)
"""What the orchestrator reads of the trainers' room."""

FILES = [path for room in ALLOWED for path in sorted((TOP / room).rglob("*.py"))]


def imported(source: str, package: str) -> Iterator[str]:
    """Every module or name that a file of a package imports, at its top or later, dotted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            # A name made up at run time cannot be followed, so there is none.
            (name,) = [one.value for one in node.args[:1] if isinstance(one, ast.Constant)]
            yield str(name)


def within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def forbidden(path: str, source: str) -> list[str]:
    """The imports of a file, named from the repository's top, that its room may not have."""
    folders = Path(path).parts[:-1]
    room = folders[0]
    names = list(imported(source, ".".join(folders)))
    found = [name for name in names if within(name, tuple(ALLOWED))]
    found = [name for name in found if not within(name, ALLOWED[room])]
    if path in LIGHT:
        modules = tuple(one.removesuffix(".py").replace("/", ".") for one in LIGHT)
        known = [name for name in names if not within(name, modules)]
        found += [name for name in known if within(name, (*HEAVY, "trainers"))]
    elif room == "orchestrator":
        found += [name for name in names if within(name, HEAVY)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_no_import_goes_back(path: Path) -> None:
    assert forbidden(path.relative_to(TOP).as_posix(), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("sweeps/a.py", "import results.ledger", ["results.ledger"]),
        ("sweeps/a.py", "from trainers.protocol import Job", ["trainers.protocol.Job"]),
        ("results/a.py", "def f():\n from orchestrator import study", ["orchestrator.study"]),
        ("results/a.py", "import importlib\nimportlib.import_module('sweeps')", ["sweeps"]),
        ("trainers/a.py", "import torch, results", ["results"]),
        ("trainers/protocol.py", "import torch.nn", ["torch.nn"]),
        ("trainers/protocol.py", "from . import data", ["trainers.data"]),
        ("trainers/protocol.py", "from trainers.knobs import Objective", []),
        ("trainers/knobs.py", "from trainers import data", ["trainers.data"]),
        ("orchestrator/a.py", "from trainers import data", ["trainers.data"]),
        ("orchestrator/a.py", "from trainers import protocol", []),
        ("orchestrator/backends/a.py", "from ..slots import Slot", []),
        ("orchestrator/backends/a.py", "import torch", ["torch"]),
        ("orchestrator/a.py", "import torchless, sweepstake", []),
    ],
)
def test_a_forbidden_import_is_seen(path: str, source: str, found: list[str]) -> None:
    assert forbidden(path, source) == found


def test_the_light_rooms_bring_no_torch() -> None:
    light = [
        ".".join(path.relative_to(TOP).with_suffix("").parts)
        for path in FILES
        if path.name != "__init__.py" and not path.is_relative_to(TOP / "trainers")
    ]
    program = f"""
import importlib, sys
for name in {[*light, "trainers.protocol"]}:
    importlib.import_module(name)
    heavy = [one for one in {HEAVY} if one in sys.modules]
    assert not heavy, f"{{name}} brings {{heavy}}"
"""
    subprocess.run([sys.executable, "-c", program], cwd=TOP, check=True)
