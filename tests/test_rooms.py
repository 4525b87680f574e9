"""Imports go one way, between rooms and between folders, and no folder outgrows its sentence."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import networkx as nx
import pytest

TOP = Path(__file__).resolve().parents[1]
ROOMS = ("sweeps", "orchestrator", "trainers", "results")
MOST_MODULES = 12
MOST_FOLDERS = 7
LONGEST_CHAIN = 11

EVERYWHERE = (
    "trytable",
    "trytable.files",
    "trytable.plugins",
    "trytable.records",
    "trytable.spelling",
)
"""The leaves that every room may import."""

COMMANDS = (
    "orchestrator.run",
    "orchestrator.log",
    "orchestrator.study.*",
    "orchestrator.scheduler",
    "orchestrator.backends",
    "results.*",
    "sweeps.*",
)
VERBS = ("orchestrator.commands", "orchestrator.commands.look", *COMMANDS)

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "sweeps": ("sweeps.config",),
    "sweeps.config": (),
    "orchestrator": (
        "orchestrator.commands.*",
        "orchestrator.run",
        "orchestrator.log",
        "results.*",
        "sweeps.*",
    ),
    "orchestrator.backends": (),
    "orchestrator.backends.ray": ("orchestrator.backends",),
    "orchestrator.scheduler": ("orchestrator.backends", "results.storage"),
    "orchestrator.log": (
        "orchestrator.scheduler",
        "orchestrator.backends",
        "results.storage",
        "sweeps.*",
    ),
    "orchestrator.study.sampling": ("sweeps.config",),
    "orchestrator.study": ("orchestrator.study.sampling", "results.*", "sweeps.*"),
    "orchestrator.run": (
        "orchestrator.log",
        "orchestrator.study.*",
        "orchestrator.scheduler",
        "orchestrator.backends.*",
        "results.*",
        "sweeps.*",
    ),
    "orchestrator.commands": COMMANDS,
    "orchestrator.commands.look": ("orchestrator.commands", *COMMANDS),
    "orchestrator.commands.train": VERBS,
    "orchestrator.commands.keep": VERBS,
    "orchestrator.commands.log_import": VERBS,
    "trainers": (),
    "trainers.protocol": (),
    "trainers.data": ("trainers.protocol",),
    "trainers.models": ("trainers.data", "trainers.protocol"),
    "trainers.finetune": ("trainers.models", "trainers.data", "trainers.protocol"),
    "trainers.script": ("trainers.script.logs", "trainers.protocol"),
    "trainers.script.logs": (),
    "trainers.entrypoints": (
        "trainers.finetune",
        "trainers.script",
        "trainers.models",
        "trainers.data",
        "trainers.protocol",
    ),
    "results": (),
    "results.text": (),
    "results.storage": ("results.text",),
    "results.analysis.diagnosis.symptoms": ("results.storage",),
    "results.analysis.diagnosis": (
        "results.analysis.diagnosis.symptoms",
        "results.storage",
        "results.text",
    ),
    "results.analysis": ("results.analysis.diagnosis.*", "results.storage", "results.text"),
    "results.frames": ("results.analysis.*", "results.storage", "results.text"),
    "results.tables": ("results.frames", "results.analysis.*", "results.storage", "results.text"),
    "results.plots": (
        "results.tables",
        "results.frames",
        "results.analysis.*",
        "results.storage",
        "results.text",
    ),
    "results.report": (
        "results.plots",
        "results.tables",
        "results.frames",
        "results.analysis.*",
        "results.storage",
        "results.text",
    ),
}
"""What each folder may import besides itself; `.*`: with the folders inside it."""

LEAVES = (
    "orchestrator.errors",
    "orchestrator.paths",
    "orchestrator.plugins",
    "trainers.seeding",
)
"""Modules beside a room's folders that every folder of the room may import."""

OF_THE_TRAINERS = ("trainers.protocol", "trainers.script.logs")
"""What the orchestrator reads of the trainers' room."""

HEAVY = ("torch", "transformers")
LIGHT = ("sweeps", "orchestrator", "results", "trainers.protocol", "trainers.script.logs")


def module_of(path: Path) -> str:
    """A file's dotted name below trytable; a folder's own for its __init__."""
    parts = path.relative_to(TOP).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for room in ROOMS for path in sorted((TOP / room).rglob("*.py"))}
FOLDERS = {name for name, path in FILES.items() if path.name == "__init__.py"}


def folder_of(module: str) -> str:
    return module if module in FOLDERS else module.rpartition(".")[0]


def imported(source: str) -> Iterator[str]:
    """Every module or name that a source imports, at its top or later, dotted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            # A name made up at run time cannot be followed, so there is none.
            (name,) = [value.value for value in node.args[:1] if isinstance(value, ast.Constant)]
            yield str(name)


def ours(source: str) -> set[str]:
    """The modules of our rooms that a source imports."""
    names = {name.removeprefix("trytable.") for name in imported(source)}
    modules = {name if name in FILES else name.rpartition(".")[0] for name in names}
    return {name for name in modules if name in FILES}


GRAPH = {name: ours(path.read_text()) - {name} for name, path in FILES.items()}


def within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def allowed(module: str, other: str) -> bool:
    """Whether a module may import another."""
    folder, target = folder_of(module), folder_of(other)
    if folder == target or (
        other in LEAVES and other.split(".", maxsplit=1)[0] == module.split(".", maxsplit=1)[0]
    ):
        return True
    if module.startswith("orchestrator") and within(other, OF_THE_TRAINERS):
        return True
    return any(
        within(target, (pattern[:-2],)) if pattern.endswith(".*") else target == pattern
        for pattern in MAY_IMPORT[folder]
    )


@pytest.mark.parametrize("module", FILES)
def test_imports_follow_the_plan(module: str) -> None:
    assert [other for other in sorted(GRAPH[module]) if not allowed(module, other)] == []


@pytest.mark.parametrize("module", [name for name in FILES if within(name, LIGHT)])
def test_a_light_folder_imports_no_torch(module: str) -> None:
    names = imported(FILES[module].read_text())
    assert [name for name in names if within(name, HEAVY)] == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        (
            "sweeps.config.loader",
            "import trytable.results.storage.ledger",
            "results.storage.ledger",
        ),
        (
            "sweeps.config.loader",
            "from trytable.trainers.protocol.messages import Job",
            "trainers.protocol.messages",
        ),
        (
            "results.storage.rows",
            "def f():\n from trytable.orchestrator.study import study",
            "orchestrator.study.study",
        ),
        (
            "results.storage.rows",
            "import importlib\nimportlib.import_module('trytable.sweeps')",
            "sweeps",
        ),
        (
            "orchestrator.run.loop",
            "from trytable.trainers.data import dataset",
            "trainers.data.dataset",
        ),
        (
            "orchestrator.study.study",
            "from trytable.orchestrator.run import loop",
            "orchestrator.run.loop",
        ),
    ],
)
def test_a_forbidden_import_is_seen(module: str, source: str, found: str) -> None:
    assert [other for other in ours(source) if not allowed(module, other)] == [found]


def test_folders_and_files_have_no_cycle() -> None:
    folders = {
        (folder_of(module), folder_of(other))
        for module, others in GRAPH.items()
        for other in others
        if folder_of(module) != folder_of(other)
        and not {module, other} & set(LEAVES)
        and module not in FOLDERS
        and module != "orchestrator.cli"
    }
    assert list(nx.simple_cycles(nx.DiGraph(sorted(folders)))) == []
    assert list(nx.simple_cycles(nx.DiGraph(GRAPH))) == []


def test_the_longest_chain_of_imports_is_short() -> None:
    chain = nx.dag_longest_path(nx.DiGraph(GRAPH))
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_a_folder_is_small_and_says_what_it_is_for(folder: str) -> None:
    place = TOP / folder.replace(".", "/")
    modules = [path for path in place.glob("*.py") if path.name != "__init__.py"]
    folders = [path for path in place.iterdir() if (path / "__init__.py").exists()]
    assert len(modules) <= MOST_MODULES
    assert len(folders) <= MOST_FOLDERS
    sentence = ast.get_docstring(ast.parse((place / "__init__.py").read_text()))
    assert sentence
    assert sentence.splitlines()[0].endswith(".")


def test_the_light_folders_bring_no_torch() -> None:
    light = [
        f"trytable.{name}"
        for name in FILES
        if within(name, LIGHT) and name != "orchestrator.backends.ray.worker"
    ]
    program = f"""
import importlib, sys
for name in {light}:
    importlib.import_module(name)
    heavy = [module for module in {HEAVY} if module in sys.modules]
    assert not heavy, f"{{name}} brings {{heavy}}"
"""
    subprocess.run([sys.executable, "-c", program], cwd=TOP, check=True)
