"""Options that several verbs share, and the readers that turn their text into values.

Every option arrives as text: an unset Make variable is an empty string, which means the default.
The readers raise UserError with the name of the variable, the value, and what to use instead.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.results.storage.engine import postgresql_url

if TYPE_CHECKING:
    from trytable.results.text.catalog import Words


def option(variable: str, text: str, *names: str) -> Any:
    """Return a Typer option that the Make variable sets, too."""
    return typer.Option(*names, envvar=f"TRYTABLE_{variable}", help=text)


def argument(variable: str, text: str, metavar: str | None = None) -> Any:
    """Return a Typer argument that the Make variable sets, too."""
    return typer.Argument(envvar=f"TRYTABLE_{variable}", metavar=metavar, help=text)


Name = Annotated[str, option("NAME", "name of the sweep")]
StudyName = Annotated[str, argument("NAME", "name of the study")]
TryNumber = Annotated[str, argument("TRY", "number of the try: 3", metavar="[TRY]")]
Data = Annotated[str, option("DATA", "a folder or a name")]
Model = Annotated[str, option("MODEL", "a folder or a name")]
Settings = Annotated[str, option("SET", "'key=value …', overrides the sweep file", "--set")]
Slots = Annotated[str, option("SLOTS", "trials to run at once")]
EngineName = Annotated[str, option("ENGINE", "local, or ray for a Ray cluster")]
Checkpoints = Annotated[str, option("CHECKPOINTS", "a URL that all Ray nodes can write to")]
RetryFailed = Annotated[str, option("RETRY_FAILED", "0: do not retry failed points")]
ReportLanguage = Annotated[str, option("REPORT_LANG", "en, or zh for Chinese", "--lang")]
AllTests = Annotated[str, option("TEST", "all: show every test accuracy")]
LogLevel = Annotated[str, option("LOG_LEVEL", "debug, info, warning or error: what is logged")]
Runs = Annotated[Path, option("RUNS", "folder of all studies")]
Storage = Annotated[str, option("STORAGE", "postgresql://… instead of the SQLite file")]

DEFAULT_RUNS = Path("runs")

# A name becomes a folder under RUNS, so it must never be a path.
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")


def data_and_model(data: str, model: str) -> dict[str, object]:
    """Return the overrides of a sweep file that DATA and MODEL stand for."""
    overrides: dict[str, object] = {"data": {"name": data} if data else "", "model": model}
    return {key: value for key, value in overrides.items() if value}


def all_studies(runs: Path, storage: str) -> Folders:
    """Return the folder and the database of all studies."""
    try:
        return Folders(runs.resolve(), "", postgresql_url(storage) if storage else "")
    except ValueError as error:
        raise UserError(
            f"STORAGE: {error}. Use postgresql://user@host:5432/database, or leave STORAGE out to "
            "use the SQLite file studies.db under RUNS."
        ) from error


def one_study(name: str, runs: Path, storage: str) -> Folders:
    """Return the folder and the database of one study."""
    if not name:
        raise UserError("NAME is missing. Use the name of a study, such as NAME=dropout.")
    if not _STUDY_NAME.fullmatch(name):
        raise UserError(
            f"NAME={name!r} is not a valid study name. Use letters, digits and . _ - @, starting "
            "with a letter or a digit, such as NAME=dropout."
        )
    return replace(all_studies(runs, storage), study=name)


def report_words(language: str) -> "Words":
    """Return the texts of reports in a language; English by default."""
    # Here, not at the top: most verbs print no report.
    from trytable.results.text.catalog import LANGUAGES, Words  # noqa: PLC0415 - see above

    code = next((code for code in LANGUAGES if code == (language or LANGUAGES[0])), None)
    if code is None:
        raise UserError(
            f"REPORT_LANG={language!r} is not a report language. Use {' or '.join(LANGUAGES)}."
        )
    return Words(code)


def shows_all_tests(text: str) -> bool:
    """Return whether TEST asks for every test accuracy."""
    if text not in ("", "all"):
        raise UserError(f"TEST={text!r} is not valid. Use TEST=all to show every test accuracy.")
    return text == "all"


def decimal(variable: str, text: str) -> float | None:
    """Return a number, or None for an empty text."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{variable}={text!r} is not a number.") from None


def whole_number(variable: str, text: str) -> int | None:
    """Return a whole number of at least 0, or None for an empty text."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{variable}={text!r} is not a whole number.")
    return int(text)


def switch(variable: str, text: str, *, default: bool) -> bool:
    """Return True for 1 and False for 0."""
    if text not in ("", "0", "1"):
        raise UserError(f"{variable}={text!r} is not valid. Use 0 or 1.")
    return text == "1" if text else default
