"""Reads data files: SST style (`label ||| sentence`), CSV, TSV, JSONL, Parquet, and the hub."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trytable.trainers.protocol.messages import DataSource, Refused

SEPARATOR = "|||"
_WORDS = {"train": ("train",), "dev": ("dev", "valid"), "test": ("test",)}
_ENDINGS = (".txt", ".sst", ".csv", ".tsv", ".jsonl", ".parquet")
_MAPPING = "label-mapping.json"
_LONGEST_FIELD = 2**31 - 1
"""Characters; the csv module's own limit of 131072 is less than a long document."""


_EXPECTED = {"text": "sentence", "label": "class"}


@dataclass
class Rows:
    """What a file holds, row by row, with the line of each, and what is wrong with it."""

    source: str
    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def complain(self, line: int, text: str) -> None:
        """Note a mistake of a line."""
        self.mistakes.append(f"{self.source}:{line}: {text}")

    def add(self, line: int, label: str, text: str, pair: str | None = None) -> None:
        """Take a row in, unless its text or label is blank or can't be written as UTF-8."""
        for what, value in (("text", text), ("label", label)):
            if not value.strip():
                self.complain(line, f"the {what} is blank; expected a {_EXPECTED[what]}.")
                return
        if not _is_unicode(f"{label}{text}{pair}"):
            self.complain(line, "it holds half a surrogate pair; expected whole characters.")
            return
        self.lines.append(line)
        self.texts.append(text.strip())
        self.labels.append(label.strip())
        if pair is not None:
            self.pairs.append(pair.strip())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_files(folder: Path) -> tuple[dict[str, Path], Path | None]:
    """The train, dev and test files of a folder, and its label mapping.

    Raises Refused where train or dev is missing, where two files could be the same split or one
    file two of them, and where there are two mappings. Raises OSError.
    """
    there = sorted(path for path in folder.iterdir() if path.is_file())
    mappings = [path for path in there if path.name.endswith(_MAPPING)]
    data = [path for path in there if path.suffix.lower() in _ENDINGS]
    found: dict[str, Path] = {}
    mistakes = []
    if len(mappings) > 1:
        names = ", ".join(path.name for path in mappings)
        mistakes.append(f"{folder}: more than one label mapping ({names}); keep one of them.")
    for split, words in _WORDS.items():
        matching = [path for path in data if any(word in path.stem.lower() for word in words)]
        names = ", ".join(path.name for path in matching)
        if len(matching) > 1:
            mistakes.append(f"{folder}: more than one {split} file ({names}); keep one of them.")
        elif matching and matching[0] in found.values():
            mistakes.append(
                f"{matching[0]}: the name fits {split} and another split; expected one of "
                "train, dev (or valid) and test in a file's name."
            )
        elif matching:
            found[split] = matching[0]
        elif split != "test":
            pattern = " or ".join(f"*{word}*" for word in words)
            mistakes.append(f"{folder}: no {split} file; expected {pattern} ({_listed()}).")
    if mistakes:
        raise Refused("\n".join(mistakes))
    return found, mappings[0] if mappings else None


def _listed() -> str:
    return ", ".join(_ENDINGS)


def label_names(path: Path) -> list[str]:
    """Class names, as a JSON list or as a mapping from name to index or from index to name."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Refused(f"{path}: not readable as JSON ({error}).") from error
    if isinstance(found, dict):
        by_index = {str(v): k for k, v in found.items()} | {
            k: v for k, v in found.items() if isinstance(v, str)
        }
        found = [by_index.get(str(index)) for index in range(len(found))]
    if not (isinstance(found, list) and found and all(isinstance(name, str) for name in found)):
        raise Refused(f"{path}: expected a list of class names, or names with indices from 0 on.")
    if len(set(found)) < len(found):
        raise Refused(f"{path}: a class name stands twice; expected each once.")
    return found


def read_rows(path: Path, source: DataSource) -> Rows:
    """Read one file; what is wrong with its lines stands in the result."""
    rows = Rows(str(path))
    reader: Callable[[Path, DataSource, Rows], None] = {
        ".csv": _read_separated,
        ".tsv": _read_separated,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }.get(path.suffix.lower(), _read_sst)
    try:
        reader(path, source, rows)
    except OSError as error:
        rows.mistakes.append(f"{path}: not readable ({error.strerror}).")
    if not rows.texts and not rows.mistakes:
        rows.mistakes.append(f"{path}: the file is empty; expected one sentence a line.")
    return rows


def _lines(path: Path, rows: Rows) -> Iterator[tuple[int, str]]:
    """Lines by newline alone: sentences hold other line separators of Unicode."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            text = line.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            rows.complain(number, f"not UTF-8 text ({error.reason}); expected UTF-8.")
            continue
        if text.strip():
            yield number, text


def _read_sst(path: Path, _source: DataSource, rows: Rows) -> None:
    for number, line in _lines(path, rows):
        label, separator, text = line.partition(SEPARATOR)
        if not separator:
            shown = line.strip()[:60]
            rows.complain(number, f"found {shown!r}; expected `label {SEPARATOR} sentence`.")
            continue
        rows.add(number, label, text)


def _read_separated(path: Path, source: DataSource, rows: Rows) -> None:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        rows.complain(line, f"not UTF-8 text ({error.reason}); expected UTF-8.")
        return
    csv.field_size_limit(_LONGEST_FIELD)
    # Strict: a stray quote would otherwise swallow the lines up to the next one in silence.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if _has_columns(reader.fieldnames or (), source, rows):
            for record in reader:
                _add_record(reader.line_num, record, source, rows)
    except csv.Error as error:
        # Where the broken record begins: the line after the last whole one.
        rows.complain(
            reader.line_num + 1, f"{error}; expected quotes around a field, doubled in it."
        )


def _read_jsonl(path: Path, source: DataSource, rows: Rows) -> None:
    for number, line in _lines(path, rows):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            rows.complain(number, f"not JSON ({error}); expected one object a line.")
            continue
        if not isinstance(record, dict):
            rows.complain(number, f"found {line.strip()[:60]!r}; expected a JSON object.")
        else:
            _add_record(number, record, source, rows)


def _read_parquet(path: Path, source: DataSource, rows: Rows) -> None:
    import pyarrow as pa  # noqa: PLC0415 - most data need no Parquet
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        rows.complain(1, f"not readable as Parquet ({error}).")
        return
    _add_table(table.column_names, table.to_pylist(), source, rows)


def _add_table(
    names: Iterable[str], records: Iterable[dict[str, Any]], source: DataSource, rows: Rows
) -> None:
    if _has_columns(names, source, rows):
        for number, record in enumerate(records, start=1):
            _add_record(number, record, source, rows)


def _wanted(source: DataSource) -> list[str]:
    return [name for name in (source.text, source.text_pair, source.label) if name is not None]


def _has_columns(names: Iterable[str], source: DataSource, rows: Rows) -> bool:
    there = list(names)
    missing = [name for name in _wanted(source) if name not in there]
    if missing:
        rows.complain(
            1, f"no column {', '.join(map(repr, missing))}; found: {', '.join(map(str, there))}."
        )
    twice = [name for name in _wanted(source) if there.count(name) > 1]
    if twice:
        rows.complain(1, f"more than one column {', '.join(map(repr, twice))}; keep one of each.")
    return not missing and not twice


def _add_record(line: int, record: dict[Any, Any], source: DataSource, rows: Rows) -> None:
    if None in record:  # where csv puts what is beyond the last column
        rows.complain(line, "more fields than columns; expected quotes around a text that has any.")
        return
    values = {name: _word(record.get(name)) for name in _wanted(source)}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        rows.complain(
            line, f"nothing for {', '.join(map(repr, missing))}; expected a word or a number."
        )
        return
    words = {name: value for name, value in values.items() if value is not None}
    pair = None if source.text_pair is None else words[source.text_pair]
    rows.add(line, words[source.label], words[source.text], pair)


def _word(value: object) -> str | None:
    """A cell as text: 1.0 is 1, as columns with gaps hold it; None for what's no word or number."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, str | int) else None


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder was written by the package `datasets`."""
    return (folder / "dataset_dict.json").is_file()


def read_dataset(source: DataSource) -> tuple[dict[str, Rows], list[str] | None]:
    """Read a data set with the package `datasets`: a folder that it saved, or a name on the hub.

    Returns the splits, and the class names where the data set knows them. Raises Refused.
    """
    try:
        import datasets  # noqa: PLC0415 - an extra: only names that are no folder need it
    except ImportError as error:
        raise Refused(
            f"DATA={source.name} is no folder of text files; reading it as a data set needs the "
            "package `datasets` (pip install datasets)."
        ) from error
    try:
        folder = Path(source.name).expanduser()
        saved = is_saved_dataset(folder)
        found = datasets.load_from_disk(folder) if saved else datasets.load_dataset(source.name)
    except Exception as error:  # the package raises what its many readers raise
        raise Refused(f"DATA={source.name} cannot be read as a data set: {error}") from error
    tables = dict(found)
    rows = _hub_rows(source, tables)
    features = {name: table.features.get(source.label) for name, table in tables.items()}
    known = (getattr(feature, "names", None) for feature in features.values())
    return rows, next((list(names) for names in known if names), None)


def _hub_rows(source: DataSource, found: dict[str, Any]) -> dict[str, Rows]:
    names = {"train": "train", "validation": "dev", "valid": "dev", "dev": "dev", "test": "test"}
    rows = {}
    for name, table in found.items():
        if name in names:
            one = rows[names[name]] = Rows(f"{source.name}[{name}]")
            _add_table(table.column_names, table, source, one)
            if not one.texts and not one.mistakes:
                one.mistakes.append(f"{one.source}: there is no row; expected sentences.")
    missing = {"train", "dev"} - rows.keys()
    if missing:
        raise Refused(
            f"DATA={source.name}: no {' and no '.join(sorted(missing))} split among "
            f"{', '.join(found)}."
        )
    return rows
