"""Programs that some tests need: named and skipped where absent, a failure under CI."""

import os
import shutil

import pytest


def needs(program: str) -> str:
    """The program's path. Skips the test where there is none, unless CI is set: then it fails."""
    path = shutil.which(program)
    if path is not None:
        return path
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{program} is not installed, and CI must not skip what needs it")
    pytest.skip(f"{program} is not installed")
