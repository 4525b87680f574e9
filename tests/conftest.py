"""What all tests share, however and wherever they are started."""

import os
import shutil
import signal

import hypothesis
import pytest

# A slow machine is no reason to fail.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# A shell's background job ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Databases commit thousands of times, and a disk takes milliseconds each time.
MEMORY = "/dev/shm"  # noqa: S108 - pytest makes a folder of its own there
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 8 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)

SLOW_FIXTURES = frozenset({"browser", "trained"})
SLOW_HELPERS = frozenset(
    {
        "tests.failpoints.walk_all",
        "tests.orchestrator.backends.ray.raylets.raylets",
        "tests.orchestrator.running.run",
        "tests.orchestrator.running.start",
        "tests.postgres.postgres",
    }
)
"""What starts processes: all tests of a module that imports one of these are slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what starts processes, a server or a browser, so that nobody has to."""
    for item in items:
        if isinstance(item, pytest.Function) and _is_slow(item):
            item.add_marker(pytest.mark.slow)


def _is_slow(item: pytest.Function) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return (
        any(isinstance(value, str) and value == "postgresql" for value in parameters)
        or not SLOW_FIXTURES.isdisjoint(item.fixturenames)
        or not SLOW_HELPERS.isdisjoint(map(_full_name, vars(item.module).values()))
    )


def _full_name(value: object) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__name__', '')}"
