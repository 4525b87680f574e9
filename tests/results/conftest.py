"""Fixtures of the results room: awkward folders, a study, a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.results.browser import Browser
from tests.results.programs import needs
from tests.results.studies import Maker, Planned

_FACTS = {"sizes": {"dev": 500}, "classes": ["a", "b"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name holds all that breaks paths, URLs and quoting."""
    awkward = tmp_path / 'it\'s "a" folder\n#1 100%41 {x} ?mode=rw&y;$(id)'
    awkward.mkdir()
    return awkward


@pytest.fixture
def maker(folder: Path) -> Maker:
    """An empty study in an awkward folder."""
    return Maker(folder / "studies.db", facts=_FACTS)


@pytest.fixture
def full(folder: Path, _full: Path) -> Maker:
    """A study with a try of each kind: numbers 0 to 7."""
    shutil.copy(_full, folder / "studies.db")
    return Maker(folder / "studies.db", facts=_FACTS)


@pytest.fixture(scope="session")
def _full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("full") / "studies.db"
    Maker(path, facts=_FACTS).add(
        Planned({"dropout": 0.1}, (0.5, 0.6), (0.55, 0.7), source="baseline", test=0.58),
        Planned({"dropout": 0.3}, (0.5, 0.64, 0.62), (0.5, 0.7, 0.8), test=0.61, attempts=2),
        Planned({"dropout": 0.7}, (0.9, 0.2), (0.3, 0.4), status="pruned", reason="median"),
        Planned({"dropout": 0.9}, (0.2,), status="stopped", reason="loss stuck at ln(5)"),
        Planned({"dropout": 0.95}, status="failed", reason="CUDA out of memory", attempts=3),
        Planned({"dropout": 0.2}, (0.6, 0.5), (None, 0.5)),
        Planned({"dropout": 0.4}, (0.4,), status="running", seconds=None),
        Planned({"dropout": 0.6}, status="waiting", attempts=0),
    )
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One headless Chromium for all tests that look at a page."""
    program = needs("chromium")
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened
