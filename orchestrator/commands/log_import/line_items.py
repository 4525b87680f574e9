"""What a line of a log can be: a command line, a heading, text, a result, or an issue."""

from dataclasses import dataclass

from trytable.orchestrator.commands.log_import.parameters import LoggedSetting
from trytable.trainers.script.logs.reader import LogRecord


@dataclass(frozen=True)
class CommandLine:
    """A command line, or a line with a program's arguments."""

    line: int
    settings: dict[str, LoggedSetting]


@dataclass(frozen=True)
class Heading:
    """A heading; `starts_section` is False for a line that programs also print within a run.

    Those are rows of punctuation, and headings that name an epoch.
    """

    line: int
    text: str
    starts_section: bool


@dataclass(frozen=True)
class Prose:
    """A line of text without results or settings."""

    line: int


@dataclass(frozen=True)
class LineIssue:
    """Something wrong with a line; `text` describes it."""

    line: int
    kind: str
    text: str


LineItem = CommandLine | Heading | Prose | LineIssue | LogRecord


_ISSUE_TEXTS = {
    "cut_line": "the last line is incomplete and was left out",
    "debris": "remains of a progress bar",
    "cut_number": "the last number has fewer decimals than the others; it is imported as printed",
    "long_number": "the last number has more decimals than the others; it is imported as printed",
    "bad_utf8": "bytes that are not UTF-8",
    "long_line": "a line of more than 64 KiB, of which only the start was read",
}


def line_issue(number: int, kind: str) -> LineIssue:
    """Return an issue of a kind that needs no further description."""
    return LineIssue(number, kind, _ISSUE_TEXTS[kind])
