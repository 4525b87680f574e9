"""Reads the files of a folder, and data sets of the package `datasets`, into rows."""

import codecs
import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trytable.records import DataSource, Refused
from trytable.trainers.data import dialect, shapes, tables
from trytable.trainers.data.splits import Rows

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_split(split: str, path: Path, source: DataSource) -> Rows:
    """Read the file or class folder of a split. The mistakes in its lines are in the result."""
    rows = Rows(str(path))
    try:
        _read(path, source, rows, is_test=split == "test")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        rows.add_mistake(None, f"not readable ({reason}).")
    if not rows.texts and not rows.mistakes:
        rows.add_mistake(None, "the file is empty; expected one sentence per line.")
    return rows


def _read(path: Path, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    kind = shapes.ending(path)
    if path.is_dir():
        shapes.read_class_folders(path, source.encoding or "utf-8-sig", rows)
        return
    if kind in (".parquet", ".xlsx"):
        read = _read_parquet if kind == ".parquet" else _read_excel
        read(path, source, rows, is_test=is_test)
        return
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.decompress(content)
    text = _decode(content, source.encoding, rows)
    if text is None:
        return
    if kind in (".json", ".jsonl"):
        _read_json(text, source, rows, is_test=is_test)
    elif kind in _DELIMITERS:
        tables.read_separated(text, _DELIMITERS[kind], source, rows, is_test=is_test)
    else:
        _read_lines(text, source, rows, is_test=is_test)


def _decode(content: bytes, encoding: str | None, rows: Rows) -> str | None:
    """Decode a file's text; None with the mistake of each line that cannot be decoded."""
    name = encoding or _MARKS.get(content[:2], "utf-8-sig")
    try:
        text = content.decode(name)
    except LookupError:
        rows.add_mistake(None, f"data.encoding={name!r} is unknown; expected one such as latin-1.")
        return None
    except UnicodeDecodeError:
        _note_bad_lines(content, name, rows)
        return None
    if "\0" in text:
        rows.add_mistake(
            text.count("\n", 0, text.index("\0")) + 1,
            "holds a NUL character, which no text has; if the file is UTF-16, set "
            "data.encoding=utf-16-le or utf-16-be.",
        )
        return None
    return text


def _note_bad_lines(content: bytes, encoding: str, rows: Rows) -> None:
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    expected = f"expected {name}; set data.encoding, such as latin-1, if it is another."
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            line.decode(encoding)
        except UnicodeDecodeError as error:
            message = f"not {name} text ({error.reason}); {expected}"
            rows.add_mistake(number, message, "encoding")
    if not rows.mistakes:  # of an encoding whose characters span the byte of a line end
        rows.add_mistake(None, f"not {name} text; {expected}")


def _read_lines(text: str, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    """Read a text file in the format that its lines show."""
    lines = [
        (number, line.removeprefix("\ufeff"))
        for number, line in enumerate(shapes.text_lines(text), start=1)
        if line.strip()
    ]
    if any(shapes.SEPARATOR in line for _, line in lines):
        shapes.read_sst(lines, rows)
    elif lines and lines[0][1].startswith(shapes.FASTTEXT):
        shapes.read_fasttext(lines, rows)
    elif lines and all(shapes.TREC.match(line) for _, line in lines):
        shapes.read_trec(lines, source, rows)
    elif _is_table(text, source):
        tables.read_separated(text, "\t", source, rows, is_test=is_test)
    else:
        shapes.read_sst(lines, rows)


def _is_table(text: str, source: DataSource) -> bool:
    """Whether the user has set its separator or columns, or the first line names the columns."""
    names = [name for name in (source.text, source.text_pair, source.label) if name is not None]
    is_set = source.separator is not None or any(name.isdecimal() for name in names)
    return is_set or dialect.find_separator(text, "\t", names) is not None


def _read_json(text: str, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    """Read one JSON object per line, or an array of them."""
    if text.lstrip()[:1] == "[":
        _read_array(text, source, rows, is_test=is_test)
        return
    records: dict[int, Mapping[str, Any]] = {}
    for number, line in enumerate(shapes.text_lines(text), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            rows.add_mistake(
                number, f"not JSON ({error}); expected one object per line, or one array.", "json"
            )
            continue
        if isinstance(record, dict):
            records[number] = record
        else:
            rows.add_mistake(
                number, f"found {line.strip()[:60]!r}; expected a JSON object.", "object"
            )
    _add_objects(records, source, rows, is_test=is_test)


def _read_array(text: str, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        rows.add_mistake(error.lineno, f"not JSON ({error}); expected one object per line.")
        return
    except (ValueError, RecursionError) as error:
        rows.add_mistake(1, f"not JSON ({error}); expected one object per line.")
        return
    rows.unit = "item "
    records = {}
    for number, item in enumerate(items, start=1):
        if isinstance(item, dict):
            records[number] = item
        else:
            rows.add_mistake(
                number,
                f"found {tables.shorten(json.dumps(item))}; expected a JSON object.",
                "object",
            )
    _add_objects(records, source, rows, is_test=is_test)


def _add_objects(
    records: Mapping[int, Mapping[str, Any]], source: DataSource, rows: Rows, *, is_test: bool
) -> None:
    keys = list(dict.fromkeys(key for record in records.values() for key in record))
    has_labels = source.label in keys
    needed = (
        tables.column_names(source)
        if has_labels or not is_test
        else tables.column_names(source)[:-1]
    )
    missing = [name for name in needed if name not in keys]
    if missing and records:
        rows.add_mistake(min(records), tables.absence("key", missing, keys, source))
        return
    for number, record in records.items():
        tables.add_record(number, record, source, rows, labelled=has_labels or not is_test)


def _read_parquet(path: Path, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    """Read a Parquet file."""
    import pyarrow as pa  # noqa: PLC0415 - loaded for Parquet files only
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        rows.add_mistake(1, f"not readable as Parquet ({error}).")
        return
    tables.add_table(table.column_names, table.to_pylist(), source, rows, is_test=is_test)


def _read_excel(path: Path, source: DataSource, rows: Rows, *, is_test: bool) -> None:
    """Read the sheet of an Excel workbook that has the columns."""
    try:
        import openpyxl  # noqa: PLC0415 - an optional dependency
    except ImportError:
        rows.add_mistake(None, "reading Excel needs the package openpyxl (trytable[excel]).")
        return
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in workbook}
    except Exception as error:  # openpyxl passes on errors of zip and XML readers
        rows.add_mistake(None, f"not readable as an Excel workbook ({error}).")
        return
    needed = set(tables.column_names(source)[:-1] if is_test else tables.column_names(source))
    suitable = [
        name for name, cells in sheets.items() if cells and needed <= set(map(str, cells[0]))
    ]
    filled = [name for name, cells in sheets.items() if cells]
    if len(suitable or filled) > 1:
        names = ", ".join(suitable or filled)
        rows.add_mistake(None, f"more than one sheet with data ({names}); keep one of them.")
        return
    for name in suitable or filled:
        header, *cells = sheets[name]
        columns = [str(cell) for cell in header]
        records = (dict(zip(columns, values, strict=True)) for values in cells)
        tables.add_table(columns, records, source, rows, is_test=is_test, first_line=2)


def is_saved_dataset(folder: Path) -> bool:
    """Whether the package `datasets` wrote this folder: a set of splits, or one data set."""
    names = ("dataset_dict.json", "state.json")
    return any((folder / name).is_file() for name in names)


def read_dataset(source: DataSource) -> dict[str, Rows]:
    """Read a folder that the package `datasets` saved, or a data set on the hub. Raises Refused."""
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
    if isinstance(splits, datasets.Dataset):
        splits = {"train": splits}
    return _dataset_rows(source, dict(splits))


def _dataset_rows(source: DataSource, tables_by_name: Mapping[str, Any]) -> dict[str, Rows]:
    names = {"train": "train", "validation": "dev", "valid": "dev", "dev": "dev", "test": "test"}
    choices = {"train": source.train, "dev": source.dev, "test": source.test}
    by_user = {split: name for split, name in choices.items() if isinstance(name, str)}
    by_split = {split: name for name, split in names.items() if name in tables_by_name} | by_user
    missing = [name for name in by_user.values() if name not in tables_by_name]
    if missing:
        raise Refused(
            f"DATA={source.name}: no split {', '.join(missing)}; "
            f"found: {', '.join(tables_by_name)}."
        )
    needed = {"train"} if isinstance(source.dev, float) else {"train", "dev"}
    if needed - by_split.keys():
        hint = "" if "train" not in by_split else " data.dev=0.1 splits a tenth off train."
        raise Refused(
            f"DATA={source.name}: no {' and no '.join(sorted(needed - by_split.keys()))} split; "
            f"found: {', '.join(tables_by_name)}.{hint}"
        )
    if isinstance(source.dev, float) and "dev" in by_split:
        raise Refused(
            f"DATA={source.name}: data.dev={source.dev} splits dev off train, but there is a split "
            f"{by_split['dev']}. Set data.dev={by_split['dev']} to use it."
        )
    return {
        split: _table_rows(source, name, tables_by_name[name], is_test=split == "test")
        for split, name in by_split.items()
    }


def _table_rows(source: DataSource, name: str, table: Any, *, is_test: bool) -> Rows:
    rows = Rows(f"{source.name}[{name}]")
    tables.add_table(table.column_names, table, source, rows, is_test=is_test)
    if not rows.texts and not rows.mistakes:
        rows.add_mistake(None, "the split is empty; expected sentences.")
    rows.names = tuple(getattr(table.features.get(source.label), "names", None) or ())
    return rows
