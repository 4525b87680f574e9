"""What all tests share, however and wherever they are started."""

import os
import shutil
import signal

import hypothesis
import pytest

from tests.slow import is_slow

# A slow machine is no reason to fail.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# A shell's background job ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Databases commit thousands of times, and a disk takes milliseconds each time.
MEMORY = "/dev/shm"  # noqa: S108 - pytest makes a folder of its own there
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 8 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, so that nobody has to and none is forgotten."""
    for item in items:
        if isinstance(item, pytest.Function) and is_slow(item):
            item.add_marker(pytest.mark.slow)
