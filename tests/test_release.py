"""A release: its version, license, changelog and citation agree with each other."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import trytable

TOP = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())
CHANGELOG = (TOP / "CHANGELOG.md").read_text()
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
HEADING = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})")


def sections() -> dict[str, list[str]]:
    """The lines of each `##` section of the changelog, by its heading, in order."""
    blocks: dict[str, list[str]] = {}
    for line in CHANGELOG.splitlines():
        if line.startswith("## "):
            assert line not in blocks
            blocks[line] = []
        elif blocks:
            blocks[list(blocks)[-1]].append(line)
    return blocks


def releases() -> list[tuple[tuple[int, ...], date]]:
    matches = [HEADING.fullmatch(heading) for heading in list(sections())[1:]]
    return [
        (tuple(map(int, match[1].split("."))), date.fromisoformat(match[2]))
        for match in matches
        if match
    ]


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    assert CHANGELOG.startswith("# Changelog\n")
    first, *rest = sections()
    assert first == "## [Unreleased]"
    assert all(HEADING.fullmatch(heading) for heading in rest), rest
    assert releases() == sorted(releases(), reverse=True)
    assert len({version for version, _ in releases()}) == len(rest) > 1


@pytest.mark.parametrize("heading", sections())
def test_a_section_of_the_changelog_lists_changes_by_kind(heading: str) -> None:
    lines = sections()[heading]
    kinds = [line.removeprefix("### ") for line in lines if line.startswith("#")]
    assert kinds == [kind for kind in KINDS if kind in kinds]
    for kind, body in zip(
        kinds, re.split(r"^### .*$", "\n".join(lines), flags=re.M)[1:], strict=True
    ):
        items = body.strip().splitlines()
        assert items, kind
        assert items[0].startswith("- "), kind
        assert all(line.startswith(("- ", "  ")) for line in items), kind


def test_every_place_that_states_the_version_agrees() -> None:
    """The wheel's own version: see test_packaging."""
    version, day = releases()[0]
    assert trytable.__version__ == ".".join(map(str, version))
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "trytable.__version__"}
    citation = YAML(typ="safe").load(TOP / "CITATION.cff")
    assert (citation["version"], citation["date-released"]) == (trytable.__version__, day)


def test_the_citation_has_what_its_format_requires() -> None:
    citation = YAML(typ="safe").load(TOP / "CITATION.cff")
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "type"}
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["title"] == "Trytable"
    assert citation["authors"] == PROJECT["project"]["authors"] == [{"name": "Trytable developers"}]
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_license_is_the_whole_apache_license() -> None:
    text = (TOP / "LICENSE").read_text()
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert PROJECT["project"]["license-files"] == ["LICENSE"]
    assert "Version 2.0, January 2004" in text
    assert [int(number) for number in re.findall(r"^   (\d)\. ", text, flags=re.M)] == [
        *range(1, 10)
    ]
    assert "END OF TERMS AND CONDITIONS" in text
    # A License classifier beside an expression is an error in metadata 2.4.
    assert not [c for c in PROJECT["project"]["classifiers"] if c.startswith("License")]
