"""A folder with a sweep in it, under a name that shells, URLs and formats dislike."""

from pathlib import Path

import pytest

from tests.orchestrator.running import write_sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    odd = tmp_path / 'it\'s {a} "sweep" 100% #1?\nhere'
    write_sweep(odd)
    return odd
