"""Random files of every format: all rows come out as they went in, or a refusal names the line."""

import csv
import gzip
import io
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from hypothesis import event, given, settings
from hypothesis import strategies as st

from trytable.records import DataSource, Refused
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.splits import TextData

Row = tuple[str, str]

# No letter or digit of a label: a text that holds whole rows of its own table can be written so
# that nobody can tell it from rows.
TEXTS = st.text("ab é\u2028\"',;\t|\n\r.\\-{[", min_size=1, max_size=12).filter(str.strip)
QUOTINGS: tuple[Literal[0, 1, 2] | None, ...] = (
    csv.QUOTE_MINIMAL,
    csv.QUOTE_ALL,
    csv.QUOTE_NONNUMERIC,
    None,  # quotes are part of the text
)
LABELS = st.sampled_from(
    [
        ("yes", "no"),
        ("0", "1", "2"),
        ("1", "2"),
        ("3", "7"),
        ("1.0", "2.0"),
        ("so-so", "Sci/Tech", "x y"),
    ]
)


@dataclass(frozen=True)
class Written:
    """A file as it was written: its name, bytes, rows and what a user has to say about it."""

    name: str
    content: bytes
    rows: tuple[Row, ...]
    options: dict[str, object]
    quotes_may_go: bool = False


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Rows of at least two classes."""
    names = draw(LABELS)
    texts = draw(st.lists(TEXTS, min_size=2, max_size=8))
    labels = draw(st.lists(st.sampled_from(names), min_size=len(texts), max_size=len(texts)))
    labels[:2] = names[:2]
    return list(zip(texts, labels, strict=True))


def flat(rows: Sequence[Row], characters: str) -> list[Row]:
    """The rows without these characters in their texts."""
    table = str.maketrans(dict.fromkeys(characters, "."))
    return [(text.translate(table), label) for text, label in rows]


@st.composite
def separated(draw: st.DrawFn) -> Written:
    """CSV and its relatives: quoted by a writer, or with quotes as part of the text."""
    rows, separator = draw(tables()), draw(st.sampled_from(",\t;|"))
    quoting = draw(st.sampled_from(QUOTINGS))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    has_header, text_first = draw(st.booleans()), draw(st.booleans())
    if encoding == "latin-1":
        rows = flat(rows, "\u2028")
    if quoting is None:
        rows = flat(rows, f"{separator}\n\r")
    records = [("text", "label"), *rows] if has_header else rows
    records = records if text_first else [(label, text) for text, label in records]
    output = io.StringIO()
    if quoting is None:
        output.write("".join(f"{separator.join(record)}{line_end}" for record in records))
    else:
        csv.writer(output, delimiter=separator, quoting=quoting, lineterminator=line_end).writerows(
            records
        )
    options: dict[str, object] = {}
    if not has_header:
        options = {"text": "1" if text_first else "2", "label": "2" if text_first else "1"}
    if draw(st.booleans()):
        options["separator"] = separator
    content = output.getvalue().encode(encoding)
    ending = draw(st.sampled_from([".csv", ".tsv", ".csv.gz"]))
    packed = gzip.compress(content) if ending.endswith(".gz") else content
    return Written(ending, packed, tuple(rows), options, quotes_may_go=quoting is None)


@st.composite
def lines(draw: st.DrawFn) -> Written:
    """One row a line: `label ||| sentence`, fastText."""
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    form = draw(st.sampled_from(["{} ||| {}", "{}|||{}", "__label__{} {}"]))
    rows = flat(draw(tables()), "\n\r|")
    if form.startswith("__"):
        rows = [(text, label.replace(" ", "-")) for text, label in rows]
    content = "".join(f"{form.format(label, text)}{line_end}" for text, label in rows)
    return Written(
        ".txt", content.encode(draw(st.sampled_from(["utf-8", "utf-16"]))), tuple(rows), {}
    )


@st.composite
def records(draw: st.DrawFn) -> Written:
    """JSON lines, a JSON array, Parquet and Excel, with labels as words or as numbers."""
    rows = draw(tables())
    as_number: Callable[[str], object] = float if draw(st.booleans()) else str
    values = [as_number(label) if label[0].isdigit() else label for _, label in rows]
    objects = [
        {"text": text, "label": value} for (text, _), value in zip(rows, values, strict=True)
    ]
    ending = draw(st.sampled_from([".jsonl", ".json", ".parquet", ".xlsx"]))
    if ending in (".jsonl", ".json"):
        ascii_only = draw(st.booleans())
        written = [json.dumps(item, ensure_ascii=ascii_only) for item in objects]
        as_array = ending == ".json" and draw(st.booleans())
        content = f"[{', '.join(written)}]" if as_array else "\n".join(written)
        return Written(ending, content.encode(), tuple(rows), {})
    if ending == ".xlsx":  # whose format has no carriage return, and trims nothing
        rows = flat(rows, "\r")
        objects = [{**item, "text": text} for item, (text, _) in zip(objects, rows, strict=True)]
    output, frame = io.BytesIO(), pd.DataFrame(objects)
    if ending == ".parquet":
        frame.to_parquet(output)
    else:
        frame.to_excel(output, index=False, engine="openpyxl")
    return Written(ending, output.getvalue(), tuple(rows), {})


def comparable(rows: Sequence[Row], *, without_quotes: bool) -> list[Row]:
    """The rows as they are read: stripped, equal numbers alike."""
    return [
        (
            (text.replace('"', "") if without_quotes else text).strip(),
            re.sub(r"^(\d+)\.0$", r"\1", label),
        )
        for text, label in rows
    ]


def outcome(source: DataSource) -> tuple[TextData | None, str]:
    """The data, or None and why they were refused."""
    try:
        return read_data(source), ""
    except Refused as refused:
        return None, str(refused)


@settings(max_examples=500)
@given(st.one_of(separated(), separated(), lines(), records()))
def test_rows_out_are_rows_in_or_a_refusal_names_the_line(written: Written) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "dev"):
            (Path(folder) / f"{split}{written.name}").write_bytes(written.content)
        source = DataSource(name=folder, **written.options)  # type: ignore[arg-type] # as in YAML
        data, message = outcome(source)
        event("refused" if data is None else "read")
        if data is None:
            place = rf"(train|dev){re.escape(written.name)}:(item )?\d+: "
            assert re.search(place, message), message
            return
        for part in data.splits.values():
            names = [data.classes[label] for label in part.labels]
            rows = list(zip(part.texts, names, strict=True))
            loose = written.quotes_may_go
            assert comparable(rows, without_quotes=loose) == comparable(
                written.rows, without_quotes=loose
            )
