"""Readers of the options' texts, which are the same for `--trials 20` and `make sweep TRIALS=20`.

A reader takes the name of the Make variable and the text. It returns the value or raises UserError
with the value and what is allowed. No reader gets an empty text, which means that an option is not
set.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from trytable.orchestrator.errors import UserError
from trytable.records import Language
from trytable.spelling import echo, label, setting

LogLevel = Literal["debug", "info", "warning", "error"]

_MAX_DIGITS = 18

# A name becomes a folder under RUNS, so it must never be a path.
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")


@dataclass(frozen=True)
class Override:
    """The text of SET, and the settings that it has by key."""

    text: str
    settings: Mapping[str, object]


def whole_number(variable: str, text: str) -> int:
    """Read a whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{echo(variable, text)} is not a whole number.")
    if len(text.lstrip("0")) > _MAX_DIGITS:
        raise UserError(f"{label(variable)} has {len(text)} digits, which is too large.")
    return int(text)


def port_number(variable: str, text: str) -> int:
    """Read the number of a port that a server can listen on."""
    port, last = whole_number(variable, text), 65535
    if not 1 <= port <= last:
        raise UserError(f"{echo(variable, port)} is not a port. Use 1 to {last}.")
    return port


def number(variable: str, text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{echo(variable, text)} is not a number.")
    return value


def switch(variable: str, text: str) -> bool:
    """Read 1 as True and 0 as False."""
    if text not in ("0", "1"):
        raise UserError(f"{echo(variable, text)} is not valid. Use 0 or 1.")
    return text == "1"


def language(variable: str, text: str) -> str:
    """Read the language of a report."""
    if text not in get_args(Language):
        allowed = " or ".join(get_args(Language))
        raise UserError(f"{echo(variable, text)} is not a report language. Use {allowed}.")
    return text


def log_level(variable: str, text: str) -> str:
    """Read what goes to the log, in either case."""
    if text.lower() not in get_args(LogLevel):
        allowed = ", ".join(get_args(LogLevel))
        raise UserError(f"{echo(variable, text)} is not a log level. Use {allowed}.")
    return text.lower()


def all_tests(variable: str, text: str) -> str:
    """Read the only word that TEST takes."""
    if text != "all":
        raise UserError(
            f"{echo(variable, text)} is not valid. Use {setting(variable, 'all')} to show "
            "every test accuracy."
        )
    return text


def words(_variable: str, text: str) -> Sequence[str]:
    """Read words separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def override(_variable: str, text: str) -> Override:
    """Read `key=value …`. Raises SweepError with every mistake."""
    from trytable.sweeps.config.overrides import parse_overrides  # noqa: PLC0415 - imports YAML

    return Override(text, parse_overrides(text))


def storage_url(variable: str, text: str) -> str:
    """Read the URL of a PostgreSQL database; a message never shows its password."""
    from trytable.results.storage.engine import postgresql_url  # noqa: PLC0415 - imports Optuna

    try:
        return postgresql_url(text)
    except ValueError as error:
        raise UserError(
            f"{label(variable)}: {error}. Use postgresql://user@host:5432/database, or leave "
            f"{label(variable)} out to use the SQLite file studies.db under {label('RUNS')}."
        ) from error


def study_name(variable: str, text: str) -> str:
    """Read the name of a study."""
    if not _STUDY_NAME.fullmatch(text):
        raise UserError(
            f"{echo(variable, text)} is not a valid study name. Use letters, digits and "
            f". _ - @, starting with a letter or a digit, such as {setting(variable, 'dropout')}."
        )
    return text
