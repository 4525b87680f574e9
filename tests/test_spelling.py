"""Messages name a setting as its user does: by a variable of make, or by an option."""

import contextvars
from collections.abc import Callable

import pytest

from trytable.spelling import Spelling, choose, command, echo, flag, label, option_name, setting

MAKE = Spelling()
DIRECT = Spelling(is_direct=True, forms={"TRY": "", "REPORT_LANG": "--lang", "SLOTS": None})


def spelled(spelling: Spelling, message: Callable[[], str]) -> str:
    """What a message says in a context of its own."""
    context = contextvars.copy_context()
    context.run(choose, spelling)
    return context.run(message)


@pytest.mark.parametrize(
    ("message", "make", "direct"),
    [
        (lambda: label("AS_NEW"), "AS_NEW", "--as-new"),
        (lambda: label("TRY"), "TRY", "TRY"),
        (lambda: label("REPORT_LANG"), "REPORT_LANG", "--lang"),
        (lambda: setting("TRIALS", 20), "TRIALS=20", "--trials 20"),
        (lambda: setting("TRY", 3), "TRY=3", "3"),
        (lambda: setting("SLOTS", 0), "SLOTS=0", "SLOTS=0"),
        (lambda: echo("TRY", "x"), "TRY='x'", "TRY 'x'"),
        (lambda: echo("TRIALS", "x"), "TRIALS='x'", "--trials 'x'"),
        (lambda: echo("SLOTS", "x"), "SLOTS='x'", "SLOTS='x'"),
        (lambda: flag("AS_NEW"), "AS_NEW=1", "--as-new"),
        (
            lambda: command("sweep", NAME="lr", SET="lr=1 seed=2"),
            "make sweep NAME=lr SET='lr=1 seed=2'",
            "trytable sweep lr --set 'lr=1 seed=2'",
        ),
        (lambda: command("backup", RUNS="a"), "make backup RUNS=a", "trytable backup --runs a"),
    ],
)
def test_a_setting_is_spelled_as_its_user_does(
    message: Callable[[], str], make: str, direct: str
) -> None:
    assert message() == make, "without a command line"
    assert spelled(MAKE, message) == make
    assert spelled(DIRECT, message) == direct


def test_an_option_is_named_after_its_variable() -> None:
    assert option_name("LR_FROM") == "--lr-from"
