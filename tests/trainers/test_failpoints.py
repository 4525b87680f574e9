"""Workers killed at every boundary where something is written train on to the same last bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
STRIDE = int(os.environ.get("TRYTABLE_FAILPOINT_STRIDE", "4"))
"""`make soak` walks all of them."""


def test_a_worker_killed_at_any_write_comes_to_the_same_end(odd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainers.walking", str(odd), str(STRIDE)],
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
    assert walked[-1]["number"] > 70
    assert {one["where"].split()[1] for one in walked} > {"send", "sent", "os.remove"}
