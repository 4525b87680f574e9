"""The form of a log line: one record, one line, whatever a message holds.

    2026-11-28T09:40:36.123Z 4711 INFO orchestrator.run.loop: Try 3 attempt 1 started in slot 2

Times are UTC; the number is the process. The lines of a traceback follow their record, each after
`  | `. No other line starts with a blank, so nobody can write a message that looks like a record.
"""

import logging
import re
import time
import traceback
from collections.abc import Iterator

import pydantic

MAX_MESSAGE = 4000
"""Longer messages are cut: nothing that the log needs is so long."""

_CONTINUATION = "\n  | "
_PACKAGE = "trytable."
_HIDDEN = "***"

_URL_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/?#@]*:)[^\s@]*@")
_ARGUMENT_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^:/?#@]*:)[^@]*@")
_QUERY_SECRET = re.compile(r"([?&;]\w*(?:password|passwd|secret|token|key)=)[^&;\s'\"]*", re.I)


def escape(text: str) -> str:
    r"""Return a text on one line: `\n` for a newline, `\x1b` for ESC, `\\` for a backslash.

    Escaped is what cannot be printed (controls, line separators, marks that change the direction of
    writing, and bytes that were not text), so that a log can be shown on any terminal.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def redact(text: str) -> str:
    """Return a text without the passwords in the URLs that it holds."""
    if "=" not in text and "://" not in text:
        return text
    return _QUERY_SECRET.sub(rf"\1{_HIDDEN}", _URL_PASSWORD.sub(rf"\1{_HIDDEN}@", text))


def redact_argument(text: str) -> str:
    """Redact one word of a command line, in which a password may contain blanks."""
    return redact(_ARGUMENT_PASSWORD.sub(rf"\1{_HIDDEN}@", text))


class LineFormatter(logging.Formatter):
    """Formats a record as one line, and its exception as lines that belong to it."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        name = record.name.removeprefix(_PACKAGE)
        message = escape(redact(_cut(record.getMessage().strip())))
        line = (
            f"{seconds}.{int(record.msecs):03d}Z {record.process} {record.levelname} "
            f"{escape(name)}: {message}"
        )
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return line
        lines = (escape(redact(text)) for text in traceback_lines(error))
        return _CONTINUATION.join([line, *lines])


def traceback_lines(error: BaseException) -> list[str]:
    """Return the lines of a traceback, causes first, with the values of no input.

    Unlike Python's own, it has neither the input that pydantic refused nor the notes of an
    exception: both may quote data.
    """
    lines: list[str] = []
    for index, (link, current) in enumerate(reversed(list(_chain(error)))):
        lines += [link] if index else []
        for entry in traceback.format_tb(current.__traceback__):
            lines += entry.splitlines()
        kind = type(current)
        lines += f"{kind.__module__}.{kind.__qualname__}: {_message(current)}".splitlines()
        for member in current.exceptions if isinstance(current, BaseExceptionGroup) else ():
            lines += [f"  {line}" for line in traceback_lines(member)]
    return lines


def _chain(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Yield an error and what led to it, each with how it relates to its own cause."""
    visited: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in visited:
        visited.add(id(current))
        is_direct = current.__cause__ is not None
        yield ("which caused:" if is_direct else "and while that was handled:"), current
        hidden = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or hidden


def _message(error: BaseException) -> str:
    if isinstance(error, pydantic.ValidationError):
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems)
    return _cut(str(error))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}… ({len(text)} characters)"
