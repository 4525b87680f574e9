"""A test that starts a process is slow, however deep in its helpers the start is."""

import subprocess
import sys

import pytest

from tests.slow import STARTERS, is_slow, reachable_names


def start() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


class Starter:
    def start(self) -> None:
        start()


def through_a_class() -> None:
    starter = Starter()
    starter.start()


def through_a_closure() -> object:
    def inner() -> None:
        through_a_class()

    return inner


def starts_nothing() -> None:
    assert sys.executable


@pytest.fixture
def started() -> None:
    start()


@pytest.mark.parametrize("function", [start, through_a_class, through_a_closure])
def test_a_start_is_seen_through_helpers(function: object) -> None:
    assert not STARTERS.isdisjoint(reachable_names(function))


def test_what_starts_nothing_is_not_slow(request: pytest.FixtureRequest) -> None:
    assert STARTERS.isdisjoint(reachable_names(starts_nothing))
    assert not is_slow(request.node)
    assert request.node.get_closest_marker("slow") is None


def test_a_fixture_counts(started: None, request: pytest.FixtureRequest) -> None:
    assert is_slow(request.node)
    assert request.node.get_closest_marker("slow") is not None
