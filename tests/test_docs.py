"""What the documents name is there."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
FOLDERS = ("trytable", "sweeps", "orchestrator", "trainers", "results", "tests", "benchmarks")
NAMED = re.compile(r"`((?:test_|Test)\w+)`")
DEFINED = re.compile(r"^ *(?:def |class )?((?:test_|Test)\w+)(?:\(| = )", re.MULTILINE)
PLACE = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_]+(?:\.py)?)?)`")


def test_every_test_that_the_documents_name_exists() -> None:
    sources = [path.read_text() for path in (TOP / "tests").rglob("*.py")]
    defined = {name for source in sources for name in DEFINED.findall(source)}
    named = set(NAMED.findall((TOP / "docs" / "reliability.md").read_text()))
    assert len(named) > 40
    assert named <= defined, named - defined


def test_every_place_that_the_architecture_names_exists() -> None:
    """`study/trial_store` is short for orchestrator/study/trial_store.py."""
    paths = [path for folder in FOLDERS for path in (TOP / folder).rglob("*")]
    endings = {f"/{path.relative_to(TOP).with_suffix('').as_posix()}" for path in paths}
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        named = {
            place.removesuffix(".py").rstrip("/")
            for place in PLACE.findall((TOP / page).read_text())
        }
        missing = {
            place
            for place in named
            if not (TOP / place).is_dir() and not any(end.endswith(f"/{place}") for end in endings)
        }
        assert named
        assert not missing, page
