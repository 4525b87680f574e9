"""Reads HF Trainer's trainer_state.json, also a truncated one."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from trytable.orchestrator.commands.log_import.line_items import (
    CommandLine,
    LineIssue,
    LineItem,
    line_issue,
)
from trytable.orchestrator.commands.log_import.parameters import LoggedSetting
from trytable.orchestrator.errors import UserError
from trytable.records import is_number
from trytable.spelling import setting
from trytable.trainers.script.logs.reader import LogReader, LogRecord

MAX_JSON_BYTES = 64 * 2**20
"""A larger trainer_state.json is refused: unlike a log it is read into memory as a whole."""


def trainer_state_items(path: Path, file: BinaryIO) -> Iterator[LineItem]:
    """Yield the complete entries of a trainer_state.json, which may be truncated."""
    raw = file.read(MAX_JSON_BYTES + 1)
    if len(raw) > MAX_JSON_BYTES:
        raise UserError(
            f"{setting('LOG', path)} has more than 64 MiB, so it is not a trainer_state.json."
        )
    text = raw.decode("utf-8", "replace")
    if "\ufffd" in text and not raw.endswith(b"}"):
        yield line_issue(1, "bad_utf8")
    yield from _json_settings(text)
    reader = LogReader()
    for line, entry in _entries(text):
        for item in reader.feed(json.dumps(entry).encode() + b"\n"):
            if isinstance(item, LogRecord):
                yield replace(item, line=line)
    if not text.rstrip().endswith("}"):
        line = text.count("\n") + 1
        yield LineIssue(
            line, "cut_line", "the JSON is truncated; its incomplete entry was left out"
        )


def _json_settings(text: str) -> Iterator[CommandLine]:
    try:
        state = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(state, dict):
        return
    names = {"num_train_epochs": "epochs", "train_batch_size": "batch_size"}
    settings = {
        knob: LoggedSetting(knob, state[key], "file", 1)
        for key, knob in names.items()
        if isinstance(state.get(key), int) and is_number(state[key])
    }
    if settings:
        yield CommandLine(1, settings)


def _entries(text: str) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the complete entries of `log_history`, each with the line that it starts on."""
    start = re.search(r'"log_history"\s*:\s*\[', text)
    if start is None:
        return
    decoder = json.JSONDecoder()
    gap = re.compile(r"[\s,]*")
    # Newlines are counted from the last entry on: from the start each time would not be linear.
    position, line, line_position = start.end(), 1, 0
    while (match := gap.match(text, position)) and text[match.end() : match.end() + 1] == "{":
        line, line_position = line + text.count("\n", line_position, match.end()), match.end()
        try:
            entry, position = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            return
        yield line, entry
