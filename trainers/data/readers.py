"""Reads data files (SST style `label ||| sentence`, CSV, TSV, JSONL, Parquet) and hub data sets."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trytable.records import DataSource, Refused

SEPARATOR = "|||"
_WORDS = {"train": ("train",), "dev": ("dev", "valid"), "test": ("test",)}
_ENDINGS = (".txt", ".sst", ".csv", ".tsv", ".jsonl", ".parquet")
_MAPPING = "label-mapping.json"
_LONGEST_FIELD = 2**31 - 1
"""Characters; the csv module's own limit of 131072 is less than a long document."""

_EXPECTED = {"text": "sentence", "label": "class"}


@dataclass
class Rows:
    """The rows of a file, each with its line number, and the mistakes in it."""

    source: str
    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def add_mistake(self, line: int, text: str) -> None:
        """Record a mistake in a line."""
        self.mistakes.append(f"{self.source}:{line}: {text}")

    def add(self, line: int, label: str, text: str, pair: str | None = None) -> None:
        """Add a row, or a mistake if text or label is blank or cannot be encoded as UTF-8."""
        for column, value in (("text", text), ("label", label)):
            if not value.strip():
                self.add_mistake(line, f"the {column} is blank; expected a {_EXPECTED[column]}.")
                return
        if not _is_unicode(f"{label}{text}{pair}"):
            self.add_mistake(
                line, "the row contains half a surrogate pair; expected valid Unicode."
            )
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
    """Return the train, dev and test files of a folder, and its label mapping.

    Raises Refused if train or dev is missing, if two files match one split, if one file matches
    two splits, or if there are two mappings; OSError if the folder cannot be read.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    mappings = [path for path in files if path.name.endswith(_MAPPING)]
    data = [path for path in files if path.suffix.lower() in _ENDINGS]
    splits: dict[str, Path] = {}
    mistakes = []
    if len(mappings) > 1:
        names = ", ".join(path.name for path in mappings)
        mistakes.append(f"{folder}: more than one label mapping ({names}); keep one of them.")
    for split, words in _WORDS.items():
        matching = [path for path in data if any(word in path.stem.lower() for word in words)]
        names = ", ".join(path.name for path in matching)
        if len(matching) > 1:
            mistakes.append(f"{folder}: more than one {split} file ({names}); keep one of them.")
        elif matching and matching[0] in splits.values():
            mistakes.append(
                f"{matching[0]}: the file name matches {split} and another split; expected only "
                "one of train, dev (or valid) and test in it."
            )
        elif matching:
            splits[split] = matching[0]
        elif split != "test":
            pattern = " or ".join(f"*{word}*" for word in words)
            mistakes.append(
                f"{folder}: no {split} file; expected {pattern} ({', '.join(_ENDINGS)})."
            )
    if mistakes:
        raise Refused("\n".join(mistakes))
    return splits, mappings[0] if mappings else None


def label_names(path: Path) -> list[str]:
    """Read class names: a JSON list, or an object from name to index or from index to name."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Refused(f"{path}: not readable as JSON ({error}).") from error
    names = content
    if isinstance(content, dict):
        by_index = {str(v): k for k, v in content.items()} | {
            k: v for k, v in content.items() if isinstance(v, str)
        }
        names = [by_index.get(str(index)) for index in range(len(content))]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise Refused(
            f"{path}: expected a JSON list of class names, or an object with their indices from 0."
        )
    if len(set(names)) < len(names):
        raise Refused(f"{path}: a class name appears twice; expected each name once.")
    return names


def read_rows(path: Path, source: DataSource) -> Rows:
    """Read one file. The mistakes in its lines are in the result."""
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
        rows.mistakes.append(f"{path}: the file is empty; expected one sentence per line.")
    return rows


def _lines(path: Path, rows: Rows) -> Iterator[tuple[int, str]]:
    """Split at newlines only: sentences may contain other Unicode line separators."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            text = line.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            rows.add_mistake(number, f"not UTF-8 text ({error.reason}); expected UTF-8.")
            continue
        if text.strip():
            yield number, text


def _read_sst(path: Path, _source: DataSource, rows: Rows) -> None:
    for number, line in _lines(path, rows):
        label, separator, text = line.partition(SEPARATOR)
        if not separator:
            start = line.strip()[:60]
            rows.add_mistake(number, f"found {start!r}; expected `label {SEPARATOR} sentence`.")
            continue
        rows.add(number, label, text)


def _read_separated(path: Path, source: DataSource, rows: Rows) -> None:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        rows.add_mistake(line, f"not UTF-8 text ({error.reason}); expected UTF-8.")
        return
    csv.field_size_limit(_LONGEST_FIELD)
    # Strict, since a stray quote would otherwise swallow all lines up to the next quote.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if _has_columns(reader.fieldnames or (), source, rows):
            for record in reader:
                _add_record(reader.line_num, record, source, rows)
    except csv.Error as error:
        # The broken record begins on the line after the last complete one.
        rows.add_mistake(
            reader.line_num + 1,
            f"{error}; expected quotes around a field, and doubled quotes inside it.",
        )


def _read_jsonl(path: Path, source: DataSource, rows: Rows) -> None:
    for number, line in _lines(path, rows):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            rows.add_mistake(number, f"not JSON ({error}); expected one object per line.")
            continue
        if not isinstance(record, dict):
            rows.add_mistake(number, f"found {line.strip()[:60]!r}; expected a JSON object.")
        else:
            _add_record(number, record, source, rows)


def _read_parquet(path: Path, source: DataSource, rows: Rows) -> None:
    import pyarrow as pa  # noqa: PLC0415 - loaded for Parquet files only
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        rows.add_mistake(1, f"not readable as Parquet ({error}).")
        return
    _add_table(table.column_names, table.to_pylist(), source, rows)


def _add_table(
    names: Iterable[str], records: Iterable[dict[str, Any]], source: DataSource, rows: Rows
) -> None:
    if _has_columns(names, source, rows):
        for number, record in enumerate(records, start=1):
            _add_record(number, record, source, rows)


def _columns(source: DataSource) -> list[str]:
    return [name for name in (source.text, source.text_pair, source.label) if name is not None]


def _has_columns(names: Iterable[str], source: DataSource, rows: Rows) -> bool:
    header = list(names)
    missing = [name for name in _columns(source) if name not in header]
    if missing:
        rows.add_mistake(
            1, f"no column {', '.join(map(repr, missing))}; found: {', '.join(map(str, header))}."
        )
    repeated = [name for name in _columns(source) if header.count(name) > 1]
    if repeated:
        columns = ", ".join(map(repr, repeated))
        rows.add_mistake(1, f"more than one column {columns}; keep one of each.")
    return not missing and not repeated


def _add_record(line: int, record: dict[Any, Any], source: DataSource, rows: Rows) -> None:
    if None in record:  # the key under which csv collects fields beyond the last column
        rows.add_mistake(
            line,
            "more fields than columns; expected quotes around a text that contains the delimiter.",
        )
        return
    values = {name: _cell_text(record.get(name)) for name in _columns(source)}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        rows.add_mistake(
            line, f"no value for {', '.join(map(repr, missing))}; expected a string or a number."
        )
        return
    words = {name: value for name, value in values.items() if value is not None}
    pair = None if source.text_pair is None else words[source.text_pair]
    rows.add(line, words[source.label], words[source.text], pair)


def _cell_text(value: object) -> str | None:
    """Return a cell as text, or None if it is neither a string nor a number.

    1.0 becomes `1`: a column with gaps stores whole numbers as floats.
    """
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, str | int) else None


def is_saved_dataset(folder: Path) -> bool:
    """Whether the package `datasets` wrote this folder."""
    return (folder / "dataset_dict.json").is_file()


def read_dataset(source: DataSource) -> tuple[dict[str, Rows], list[str] | None]:
    """Read a folder that the package `datasets` saved, or a data set on the hub.

    Returns the splits, and the class names if the data set has them. Raises Refused.
    """
    try:
        import datasets  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise Refused(
            f"DATA={source.name} is not a folder with data files; reading it as a data set needs "
            "the package `datasets` (pip install datasets)."
        ) from error
    try:
        folder = Path(source.name).expanduser()
        saved = is_saved_dataset(folder)
        splits = datasets.load_from_disk(folder) if saved else datasets.load_dataset(source.name)
    except Exception as error:  # the package passes on the exceptions of its many readers
        raise Refused(f"DATA={source.name} cannot be read as a data set: {error}") from error
    tables = dict(splits)
    rows = _dataset_rows(source, tables)
    features = (table.features.get(source.label) for table in tables.values())
    class_names = (getattr(feature, "names", None) for feature in features)
    return rows, next((list(names) for names in class_names if names), None)


def _dataset_rows(source: DataSource, tables: dict[str, Any]) -> dict[str, Rows]:
    names = {"train": "train", "validation": "dev", "valid": "dev", "dev": "dev", "test": "test"}
    rows = {}
    for name, table in tables.items():
        if name in names:
            split = rows[names[name]] = Rows(f"{source.name}[{name}]")
            _add_table(table.column_names, table, source, split)
            if not split.texts and not split.mistakes:
                split.mistakes.append(f"{split.source}: the split is empty; expected sentences.")
    missing = {"train", "dev"} - rows.keys()
    if missing:
        raise Refused(
            f"DATA={source.name}: no {' and no '.join(sorted(missing))} split; found: "
            f"{', '.join(tables)}."
        )
    return rows
