"""One orchestrator a study, and the lock goes with its process."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import StudyLocked
from orchestrator.lock import study_lock

TOP = Path(__file__).resolve().parents[2]
HOLD = (
    "import sys, time; from pathlib import Path; from orchestrator.lock import study_lock\n"
    "with study_lock(Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(60)"
)


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / 'it\'s a "study"\n' / ".lock"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=TOP, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    assert first.stdout.readline() == b"held\n"
    with pytest.raises(StudyLocked, match=f"process {first.pid} on "), study_lock(path):
        pass
    first.kill()
    first.wait()
    first.stdout.close()
    with study_lock(path):
        pass
    with study_lock(path):
        pass
