"""Which tests are slow: seen in the names that their code uses, so that no list goes stale.

A test that computes for long and starts nothing is marked by hand, with `@pytest.mark.slow`.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType

import pytest

TESTS = Path(__file__).parent
STARTERS = frozenset(
    {
        "Browser",
        "ForkedProcess",
        "LocalBackend",
        "Popen",
        "RayBackend",
        "join_cluster",
        "multiprocessing",
        "postgres",
        "subprocess",
        "train",
    }
)
"""What starts a process or trains a model: tests that reach one of these names are slow."""


def is_slow(item: pytest.Function) -> bool:
    """Whether a test, a helper or a fixture of it starts a process or trains a model."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(isinstance(value, str) and value == "postgresql" for value in parameters):
        return True
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    functions = [item.function, *(fixture.func for each in fixtures for fixture in each)]
    return any(not STARTERS.isdisjoint(reachable_names(function)) for function in functions)


@cache
def reachable_names(function: object) -> frozenset[str]:
    """The names that a function of the tests uses, and those that its helpers use."""
    names: set[str] = set()
    helpers, visited = [function], set[object]()
    while helpers:
        helper = helpers.pop()
        helper = getattr(helper, "__func__", helper)  # of a bound method
        if isinstance(helper, type) and helper.__module__.startswith("tests."):
            helpers += vars(helper).values()
        if not isinstance(helper, FunctionType) or helper in visited or not _is_ours(helper):
            continue
        visited.add(helper)
        used = set(_names_in(helper.__code__))
        names |= used
        helpers += [helper.__globals__.get(name) for name in used]
    return frozenset(names)


def _is_ours(function: FunctionType) -> bool:
    return Path(function.__code__.co_filename).is_relative_to(TESTS)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
