"""The small file between a log and its tries: written for the person to complete, read back."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trytable.orchestrator.commands.log_import.runs import Block, Oddity
from trytable.orchestrator.errors import UserError
from trytable.records import Scalar, is_finite
from trytable.results.text.format import clean, one_line
from trytable.sweeps.config.messages import listed, show, unknown
from trytable.sweeps.config.yaml_source import Document, Key, parse

MAX_BYTES = 16 * 2**20
"""A larger mapping file is none of ours."""

_USUAL = ("lr", "dropout", "weight_decay", "batch_size", "epochs")
"""Settings that every block is asked for, found or not."""

_KEYS = ("lines", "heading", "epochs_found", "import", "parameters")
_TOP = ("log", "sha256", "study", "blocks")
_LONGEST_HEADING = 80


@dataclass(frozen=True)
class Wanted:
    """A block that the person wants imported, with the settings that are known."""

    span: str
    parameters: Mapping[str, Scalar]


def mapping_text(
    log: Path, sha256: str, study: str, blocks: Sequence[Block], swept: Collection[str]
) -> str:
    """The file's text: an entry a block, every setting with where it was found.

    `swept` are the study's own parameters, asked for besides the usual ones.
    """
    names = list(dict.fromkeys([*swept, *_USUAL, *(name for one in blocks for name in one.given)]))
    head = [
        "# What was found in a log, for you to complete: an empty value means that nobody gave it,",
        "# and stays missing. `import: false` leaves a block out. The same make import, run again,",
        "# imports what stands here.",
        f"log: {_quoted(str(log))}",
        f"sha256: {sha256}",
        f"study: {_quoted(study)}",
        "blocks:",
    ]
    lines = [line for block in blocks for line in _entry(block, names)]
    return "".join(f"{line}\n" for line in [*head, *lines])


def _entry(block: Block, names: Sequence[str]) -> Iterator[str]:
    printed = f"{block.epochs[0].printed:g} to {block.epochs[-1].printed:g}"
    yield f"- lines: {block.span}"
    yield f"  heading: {_quoted(block.heading[:_LONGEST_HEADING])}"
    yield f"  epochs_found: {len(block.epochs)}  # printed as {printed}"
    yield from (f"  # {told(one)}" for one in block.oddities)
    yield "  import: true"
    yield "  parameters:"
    for name in names:
        given = block.given.get(name)
        if given is None:
            yield f"    {_key(name)}:  # nowhere"
        else:
            yield f"    {_key(name)}: {_quoted(given.value)}  # {_line(given.place)}"


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else _quoted(name)


def told(odd: Oddity) -> str:
    """An oddity on one line: kind, where, what."""
    lines = ", ".join(map(str, odd.lines))
    more = f" and {odd.count - len(odd.lines)} more" if odd.count > len(odd.lines) else ""
    return _line(f"{odd.kind} (line {lines}{more}): {odd.text}")


def _line(text: str) -> str:
    return one_line(clean(text))


def _quoted(value: Scalar) -> str:
    """Every JSON text is YAML 1.2. Text that is found is always in quotes."""
    return json.dumps(clean(value) if isinstance(value, str) else value, ensure_ascii=True)


def read_mapping(
    path: Path, sha256: str, study: str, blocks: Sequence[Block]
) -> tuple[Wanted, ...]:
    """The blocks to import, in the file's order. Raises SweepError with every mistake.

    A block is named by its lines. One that the file leaves out is not imported.
    """
    document = parse(_read_text(path), str(path))
    data = document.data
    for key in data:
        if key not in _TOP:
            document.complain((key,), unknown("key of this file", key, _TOP))
    for key, value in (("sha256", sha256), ("study", study)):
        if data.get(key) != value:
            document.complain((key,), f"{show(data.get(key))} is not {value}, which is imported.")
    entries = data.get("blocks")
    if not isinstance(entries, list):
        document.complain(("blocks",), f"{show(entries)} is not allowed. Allowed: a list.")
        document.fail()
    known = {block.span: block for block in blocks}
    wanted: dict[str, Wanted] = {}
    for index, entry in enumerate(entries):
        found = _wanted(document, index, entry, known)
        if found is None:
            continue
        if found.span in wanted:
            document.complain(("blocks", index, "lines"), f"{found.span} stands here twice.")
        wanted[found.span] = found
    if document.problems:
        document.fail()
    return tuple(wanted.values())


def _wanted(
    document: Document, index: int, entry: object, known: Mapping[str, Block]
) -> Wanted | None:
    at = ("blocks", index)
    if not isinstance(entry, dict):
        document.complain(at, f"{show(entry)} is not allowed. Allowed: {listed(_KEYS)}.")
        return None
    for key in entry:
        if key not in _KEYS:
            document.complain((*at, key), unknown("key of a block", key, _KEYS))
    span, taken = entry.get("lines"), entry.get("import", True)
    if span not in known:
        spans = listed(list(known)[:20])
        document.complain((*at, "lines"), f"{show(span)} is no block of the log. Allowed: {spans}.")
    if not isinstance(taken, bool):
        document.complain((*at, "import"), f"{show(taken)} is not allowed. Allowed: true, false.")
    given = _parameters(document, (*at, "parameters"), entry.get("parameters") or {})
    return Wanted(str(span), given) if taken is True and not document.problems else None


def _parameters(document: Document, at: Key, given: object) -> dict[str, Scalar]:
    """The settings that have a value; those without stay missing."""
    if not isinstance(given, dict):
        document.complain(at, f"{show(given)} is not allowed. Allowed: a mapping.")
        return {}
    for name, value in given.items():
        if not (value is None or isinstance(value, bool | int | float | str)):
            text = f"{show(value)} is not allowed. Allowed: a number, a word, true, false, nothing."
            document.complain((*at, name), text)
        elif not is_finite(value):
            document.complain((*at, name), f"{value} is not a finite number.")
    return {name: one for name, one in given.items() if one is not None}


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES} bytes, which no mapping file is.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 (byte {error.start}).") from error
