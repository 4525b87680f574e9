"""The mapping file between a log and its trials: the user completes it between two imports."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trytable.orchestrator.commands.log_import.blocks import Block, BlockIssue
from trytable.orchestrator.errors import UserError
from trytable.records import Scalar, is_finite
from trytable.results.text.format import clean, one_line
from trytable.sweeps.config.messages import join_words, show, unknown
from trytable.sweeps.config.yaml_source import Document, Key, parse

MAX_BYTES = 16 * 2**20
"""A larger file cannot be a mapping file."""

_USUAL_SETTINGS = ("lr", "dropout", "weight_decay", "batch_size", "epochs")
"""Settings that the file asks for in every block, whether or not the log names them."""

_FILE_KEYS = ("log", "sha256", "study", "blocks")
_BLOCK_KEYS = ("lines", "heading", "epochs_found", "import", "parameters")
_MAX_HEADING = 80
_MAX_SPANS = 20
"""Spans that an error message lists."""


@dataclass(frozen=True)
class MappingEntry:
    """A block that the user wants imported, with the settings that are known."""

    span: str
    parameters: Mapping[str, Scalar]


def mapping_text(
    log: Path, sha256: str, study: str, blocks: Sequence[Block], swept: Collection[str]
) -> str:
    """Return the file's text: an entry for each block, every setting with the place that names it.

    `swept` are the study's own parameters, which the file asks for besides the usual ones.
    """
    log_names = (name for block in blocks for name in block.settings)
    names = list(dict.fromkeys([*swept, *_USUAL_SETTINGS, *log_names]))
    head = [
        "# The runs found in a log, for you to complete. A setting without a value was not found",
        "# and stays unknown. `import: false` skips a block. Run the same make import again to",
        "# import the blocks as they are written here.",
        f"log: {_quoted(str(log))}",
        f"sha256: {sha256}",
        f"study: {_quoted(study)}",
        "blocks:",
    ]
    lines = [line for block in blocks for line in _entry_lines(block, names)]
    return "".join(f"{line}\n" for line in [*head, *lines])


def _entry_lines(block: Block, names: Sequence[str]) -> Iterator[str]:
    printed = f"{block.epochs[0].printed:g} to {block.epochs[-1].printed:g}"
    yield f"- lines: {block.span}"
    yield f"  heading: {_quoted(block.heading[:_MAX_HEADING])}"
    yield f"  epochs_found: {len(block.epochs)}  # printed as {printed}"
    yield from (f"  # {issue_line(issue)}" for issue in block.issues)
    yield "  import: true"
    yield "  parameters:"
    for name in names:
        key = name if name.isidentifier() and name.isascii() else _quoted(name)
        setting = block.settings.get(name)
        if setting is None:
            yield f"    {key}:  # not found"
        else:
            yield f"    {key}: {_quoted(setting.value)}  # {_on_one_line(setting.place)}"


def issue_line(issue: BlockIssue) -> str:
    """Return kind, lines and text of an issue on one line."""
    lines = ", ".join(map(str, issue.lines))
    remaining = issue.count - len(issue.lines)
    suffix = f" and {remaining} more" if remaining > 0 else ""
    return _on_one_line(f"{issue.kind} (line {lines}{suffix}): {issue.text}")


def settings_line(settings: Mapping[str, object]) -> str:
    """Return settings as `lr 2e-05, dropout 0.1`."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _on_one_line(text: str) -> str:
    return one_line(clean(text))


def _quoted(value: Scalar) -> str:
    """Return YAML: every JSON text is YAML 1.2, and text from a log is always quoted."""
    return json.dumps(clean(value) if isinstance(value, str) else value, ensure_ascii=True)


def read_mapping(
    path: Path, sha256: str, study: str, blocks: Sequence[Block]
) -> tuple[MappingEntry, ...]:
    """Return the blocks to import, in the file's order.

    A block is named by its lines; one without an entry is not imported. Raises SweepError with
    every mistake, and UserError for a file that is no text.
    """
    document = parse(_read_text(path), str(path))
    document.require_data()
    data = document.data
    for key in data:
        if key not in _FILE_KEYS:
            document.complain((key,), unknown("a key of this file", key, _FILE_KEYS))
    for key, value in (("sha256", sha256), ("study", study)):
        if data.get(key) != value:
            problem = f"{show(data.get(key))} does not match the import, which has {value}."
            document.complain((key,), problem)
    raw_entries = data.get("blocks")
    if not isinstance(raw_entries, list):
        document.complain(("blocks",), f"{show(raw_entries)} is not allowed. Use a list.")
        document.fail()
    spans = [block.span for block in blocks]
    entries: dict[str, MappingEntry] = {}
    for index, raw_entry in enumerate(raw_entries):
        entry = _read_entry(document, index, raw_entry, spans)
        if entry is None:
            continue
        if entry.span in entries:
            document.complain(("blocks", index, "lines"), f"{entry.span} has two entries.")
        entries[entry.span] = entry
    if document.problems:
        document.fail()
    return tuple(entries.values())


def _read_entry(
    document: Document, index: int, entry: object, spans: Sequence[str]
) -> MappingEntry | None:
    """Return an entry; None if its block is skipped or the file has a mistake so far."""
    key = ("blocks", index)
    if not isinstance(entry, dict):
        problem = f"{show(entry)} is not allowed. Use a mapping with {join_words(_BLOCK_KEYS)}."
        document.complain(key, problem)
        return None
    for name in entry:
        if name not in _BLOCK_KEYS:
            document.complain((*key, name), unknown("a key of a block", name, _BLOCK_KEYS))
    span, is_imported = entry.get("lines"), entry.get("import", True)
    if span not in spans:
        problem = f"{show(span)} is not a block of the log. Use {join_words(spans[:_MAX_SPANS])}."
        document.complain((*key, "lines"), problem)
    if not isinstance(is_imported, bool):
        problem = f"{show(is_imported)} is not allowed. Use true or false."
        document.complain((*key, "import"), problem)
    parameters = _parameters(document, (*key, "parameters"), entry.get("parameters") or {})
    if is_imported is not True or document.problems:
        return None
    return MappingEntry(str(span), parameters)


def _parameters(document: Document, key: Key, values: object) -> dict[str, Scalar]:
    """Return the settings that have a value."""
    if not isinstance(values, dict):
        document.complain(key, f"{show(values)} is not allowed. Use a mapping.")
        return {}
    for name, value in values.items():
        if not (value is None or isinstance(value, bool | int | float | str)):
            problem = f"{show(value)} is not allowed. Use a number, a word, true, false or nothing."
            document.complain((*key, name), problem)
        elif not is_finite(value):
            document.complain((*key, name), f"{value} is not a finite number.")
    return {name: value for name, value in values.items() if value is not None}


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path} is larger than {MAX_BYTES} bytes, so it is not a mapping file.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}).") from error
