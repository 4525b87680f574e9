"""A run's scratch folder goes with the run, and not before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orchestrator.running import TOP
from trytable.orchestrator.backends.ray.scratch import scratch_folder

HOLD = """
import sys
from pathlib import Path
from trytable.orchestrator.backends.ray.scratch import scratch_folder
scratch_folder("of another run", Path(sys.argv[1]))
print("made", flush=True)
sys.stdin.read()
"""


def test_what_a_dead_run_left_goes_and_what_a_live_one_has_stays(tmp_path: Path) -> None:
    home = tmp_path / f"trytable-{os.getuid()}"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"made\n"
        assert scratch_folder("ours", tmp_path) == scratch_folder("ours", tmp_path) == home / "ours"
        assert {one.name for one in home.iterdir()} == {"ours", "of another run"}
        other.kill()
    (home / "ours" / "file").touch()
    scratch_folder("ours", tmp_path)
    assert [one.name for one in home.iterdir()] == ["ours"]
    assert (home / "ours" / "file").exists()
    assert home.stat().st_mode & 0o777 == 0o700


def test_somebody_elses_folder_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"trytable-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        scratch_folder("ours", tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []
