"""What the product imports is declared in pyproject.toml, and what is declared is used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from trytable.trainers.data.docstrings import PACKAGES

TOP = Path(__file__).resolve().parents[1]
ROOMS = ("sweeps", "orchestrator", "trainers", "results")
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]

ONLY_WITH: Mapping[str, tuple[str, ...]] = {
    "datasets": ("trainers/data/",),
    "openpyxl": ("trainers/data/readers.py",),
    "peft": ("trainers/models/",),
    "ray": ("orchestrator/backends/ray/", "orchestrator/run/engine.py"),
    "tensorboard": ("trainers/script/logs/tensorboard.py",),
    "google": ("trainers/script/logs/tensorboard.py",),
}
"""The packages of optional extras, and the places that may import them."""

BROUGHT = {"google"}
"""The package of protobuf, which tensorboard depends on."""

NEVER_IMPORTED: Mapping[str, str] = {
    "psycopg": "SQLAlchemy imports the driver that a URL names",
    "psycopg-binary": "the part of psycopg that needs no compiler",
    "xlsxwriter": "pandas imports the engine that ExcelWriter names",
}


def normalized(name: str) -> str:
    """A distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normalized(re.split(r"[<>=!\[; ]", requirement)[0]) for requirement in requirements}


def product_files() -> list[Path]:
    own = (path for path in (TOP / "trytable").glob("*.py"))
    return sorted([*own, *(path for room in ROOMS for path in (TOP / room).rglob("*.py"))])


def imported_tops(source: str) -> Iterator[str]:
    """The top package of every import, at the top of a module or within a function."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module.partition(".")[0]
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(
                node.func
            ).endswith(("import_module", "__import__", "find_spec")):
                yield name.partition(".")[0]


def foreign(source: str) -> set[str]:
    """The imports that neither Python nor Trytable brings."""
    return {top for top in imported_tops(source) if top not in sys.stdlib_module_names} - {
        "trytable"
    }


DISTRIBUTIONS = {
    top: {normalized(name) for name in names} for top, names in packages_distributions().items()
}
DEPENDENCIES = declared(PROJECT["dependencies"])


@pytest.mark.parametrize("path", product_files(), ids=lambda path: str(path.relative_to(TOP)))
def test_every_import_is_declared(path: Path) -> None:
    place = path.relative_to(TOP).as_posix()
    for top in foreign(path.read_text(encoding="utf-8")):
        if top in ONLY_WITH:
            assert place.startswith(ONLY_WITH[top]), f"{place} imports {top} of an extra"
        else:
            assert DISTRIBUTIONS[top] & DEPENDENCIES, f"{place} imports {top}"


def test_the_packages_whose_docstrings_are_the_data_are_declared() -> None:
    for top in PACKAGES:
        assert DISTRIBUTIONS[top] & DEPENDENCIES, top


def test_every_extra_declares_what_it_is_for() -> None:
    extras = PROJECT["optional-dependencies"]
    optional = set().union(*(declared(names) for extra, names in extras.items() if extra != "dev"))
    assert ONLY_WITH.keys() - BROUGHT <= optional
    assert optional <= declared(extras["dev"]), "the tests need all extras"


def test_every_dependency_is_used() -> None:
    tops = set().union(*(foreign(path.read_text(encoding="utf-8")) for path in product_files()))
    tops |= set(PACKAGES)
    used = set().union(*(DISTRIBUTIONS.get(top, set()) for top in tops))
    assert DEPENDENCIES - used - NEVER_IMPORTED.keys() == set()
    assert NEVER_IMPORTED.keys() <= DEPENDENCIES
    assert not NEVER_IMPORTED.keys() & used, "it is imported after all"


def test_optuna_is_of_the_version_whose_tables_are_read() -> None:
    assert "optuna>=5,<6" in PROJECT["dependencies"]


@pytest.mark.parametrize(
    "source",
    [
        "import x.y",
        "from x.y import z",
        "def f():\n    import x",
        "import importlib\nimportlib.import_module('x.y')",
        "from importlib.util import find_spec\nfind_spec('x')",
        "if TYPE_CHECKING:\n    from x import y",
    ],
)
def test_an_import_is_seen_wherever_it_is(source: str) -> None:
    assert foreign(source) == {"x"}
