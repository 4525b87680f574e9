"""Reads logs as a program would."""

import re
from pathlib import Path

RECORD = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<pid>\d+) "
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<name>\S*?.*?): (?P<message>.*)"
)
CONTINUATION = re.compile(r"  \| .*")


def records(path: Path) -> list[tuple[str, str]]:
    """Level and message of each record, oldest first; a traceback belongs to its message.

    Fails if a line is neither a record nor belongs to one, or cannot be printed.
    """
    found: list[tuple[str, str]] = []
    for line in path.read_text().split("\n")[:-1]:
        assert line.isprintable(), line
        if CONTINUATION.fullmatch(line):
            level, message = found.pop()
            found.append((level, f"{message}\n{line}"))
            continue
        match = RECORD.fullmatch(line)
        assert match, line
        found.append((match["level"], match["message"]))
    return found
