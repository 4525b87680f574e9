"""Plug-ins of other packages: used, or refused in words that name the package."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.plugin_packages import install_package
from trytable.orchestrator.errors import PluginError, UserError
from trytable.orchestrator.plugins import Registry
from trytable.orchestrator.run.engine import BACKENDS, EngineOptions, open_engine
from trytable.plugins import BackendKind

GROUP = "trytable.backends"
GOOD = """
from contextlib import nullcontext
from trytable.orchestrator.backends.engine import Engine
from trytable.plugins import BackendKind

TOY = BackendKind(lambda options: nullcontext(Engine(lambda per_gpu: (), print)))
NO_ENGINE = BackendKind(lambda options: nullcontext("nothing"))
TWO_ARGUMENTS = BackendKind(lambda options, more: None)
NO_RECORD = print

def fail(options):
    raise ConnectionError("no route to the cluster")

FAILS = BackendKind(fail)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def backend(site: Path, name: str, value: str, package: str = "toy-backends") -> None:
    module = f"{package.replace('-', '_')}.py"
    install_package(site, package, {module: GOOD}, {GROUP: {name: f"{module[:-3]}:{value}"}})


def refused(name: str) -> str:
    with pytest.raises(PluginError) as refusal, open_engine(EngineOptions(name), Console()):
        pass
    return str(refusal.value)


def test_a_plugin_is_found_and_listed(site: Path) -> None:
    backend(site, "toy", "TOY", "toy-one")
    assert BACKENDS.names() == ["local", "ray", "toy"]
    assert BACKENDS.package("toy") == ("toy-one", "1.0")
    assert BACKENDS.package("local") is None
    with open_engine(EngineOptions("toy"), Console()) as engine:
        assert engine.slots(1) == ()
    with pytest.raises(UserError, match=r"Allowed: local, ray, toy\.$"):
        open_engine(EngineOptions("slurm"), Console()).__enter__()


def test_a_plugin_that_cannot_be_imported(site: Path) -> None:
    install_package(
        site, "toy-two", {"toy_two.py": "import nowhere"}, {GROUP: {"toy": "toy_two:X"}}
    )
    assert refused("toy") == (
        "The backend 'toy' of toy-two 1.0 cannot be loaded from toy_two:X: "
        "ModuleNotFoundError: No module named 'nowhere'"
    )
    with open_engine(EngineOptions("local", slots=1), Console()) as engine:
        assert len(engine.slots(1)) == 1  # a broken plug-in that is not used stops nothing


def test_a_missing_attribute(site: Path) -> None:
    backend(site, "toy", "NOWHERE", "toy-three")
    assert "has no attribute 'NOWHERE'" in refused("toy")


def test_something_else_than_a_record(site: Path) -> None:
    backend(site, "toy", "NO_RECORD", "toy-four")
    assert refused("toy") == (
        "The backend 'toy' of toy-four 1.0 cannot be used: toy_four:NO_RECORD is "
        "'builtin_function_or_method' and should be a trytable.plugins.BackendKind."
    )


def test_a_wrong_signature(site: Path) -> None:
    backend(site, "toy", "TWO_ARGUMENTS", "toy-five")
    assert refused("toy") == (
        "The backend 'toy' of toy-five 1.0 cannot be used: it is called as open(options), but "
        "missing a required argument: 'more'."
    )


def test_a_built_in_name(site: Path) -> None:
    backend(site, "ray", "TOY", "toy-six")
    assert refused("ray") == (
        "toy-six 1.0 registers a backend 'ray', but Trytable has one of this name. Rename the "
        "entry point or uninstall the package. Names that are taken: local, ray."
    )


def test_two_packages_with_the_same_name(site: Path) -> None:
    backend(site, "toy", "TOY", "toy-seven")
    backend(site, "toy", "TOY", "toy-eight")
    assert refused("toy") == (
        "toy-eight 1.0 and toy-seven 1.0 register a backend 'toy' each. Uninstall all but one of "
        "them."
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("FAILS", "ConnectionError: no route to the cluster"),
        ("NO_ENGINE", "TypeError: open(options) yields 'str', not an Engine"),
    ],
)
def test_a_plugin_that_fails(site: Path, value: str, problem: str) -> None:
    package = f"toy-{value.lower().replace('_', '-')}"
    backend(site, "toy", value, package)
    assert refused("toy") == f"The backend 'toy' of {package} 1.0 failed: {problem}"


def test_an_error_of_trytable_itself_is_not_blamed_on_a_plugin() -> None:
    registry = Registry(
        "backend", GROUP, BackendKind, "open(options)", {"local": BACKENDS.built_in["local"]}
    )
    with pytest.raises(ZeroDivisionError), registry.plugin_errors("local"):
        raise ZeroDivisionError
