"""Orchestrators killed at every boundary where something is written: nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.running import TOP

STRIDE = int(os.environ.get("TRYTABLE_FAILPOINT_STRIDE", "4"))
"""`make soak` walks all of them."""


@pytest.mark.parametrize(("how", "at_least"), [([], 150), (["drained"], 80)])
def test_an_orchestrator_killed_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, how: list[str], at_least: int
) -> None:
    folder = tmp_path / "it's {a} 100% #1?"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.orchestrator.walking", str(folder), str(STRIDE), *how],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
        timeout=1200,
    )
    walked = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [one for one in walked if one["problems"] or one["finished"] != 0]
    assert not wrong, (wrong, done.stderr[-5000:])
    assert {one["killed"] for one in walked[:-1]} == {-signal.SIGKILL}
    assert walked[-1]["killed"] == 0, "the walk came to its end"
    assert walked[-1]["number"] > at_least
    passed = "\n".join(one["where"] for one in walked)
    for boundary in ("commit", "events.jsonl", "os.mkdir"):
        assert boundary in passed
