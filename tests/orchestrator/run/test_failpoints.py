"""Orchestrators killed at every boundary where something is written: nothing is lost or doubled."""

from pathlib import Path

import pytest

from tests.failpoints import walk_all


@pytest.mark.parametrize(("how", "at_least"), [([], 130), (["drained"], 80)])
def test_an_orchestrator_killed_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, how: list[str], at_least: int
) -> None:
    folder = tmp_path / "it's {a} 100% #1?"
    folder.mkdir()
    walked = walk_all("tests.orchestrator.walking", folder, *how)
    assert walked[-1].number > at_least
    passed = "\n".join(one.where for one in walked)
    for boundary in ("commit", "events.jsonl", "os.mkdir"):
        assert boundary in passed
