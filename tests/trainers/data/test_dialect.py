"""Quotes, separators and headers of text tables: decided by the whole file, or refused by line."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from trytable.records import DataSource, Refused
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.splits import TextData

WORDS = ["opens well", '"never closes', "third", "fourth", 'ends with one"', "six", "seven", "x"]
LABELS = ["good", "bad"] * 4
UNQUOTED = "".join(f"{text}\t{label}\n" for text, label in zip(WORDS, LABELS, strict=True))


def read(folder: Path, name: str, content: str | bytes, **options: object) -> TextData:
    """Read a folder whose only files are train and dev, both with this content."""
    raw = content.encode() if isinstance(content, str) else content
    for split in ("train", "dev"):
        (folder / name.format(split)).write_bytes(raw)
    return read_data(DataSource(name=str(folder), **options))  # type: ignore[arg-type] # as in YAML


def refusal(folder: Path, name: str, content: str | bytes, **options: object) -> str:
    with pytest.raises(Refused) as refused:
        read(folder, name, content, **options)
    return str(refused.value)


def test_quotes_of_an_unquoted_table_stay_in_the_text(odd: Path) -> None:
    data = read(odd, "{}.tsv", f"text\tlabel\n{UNQUOTED}")
    assert data.splits["train"].texts == tuple(WORDS)
    assert [data.classes[label] for label in data.splits["train"].labels] == LABELS
    extent = "(8 rows from 9 lines)"
    note = f"train.tsv {extent}, dev.tsv {extent}: quotes are read as part of the text"
    assert data.notes[0].startswith(note)


def test_quotes_that_swallow_rows_of_a_comma_table_are_refused_by_line(odd: Path) -> None:
    message = refusal(odd, "{}.csv", f"text\tlabel\n{UNQUOTED}".replace("\t", ","))
    assert "train.csv:3: a quoted field takes in 4 lines, of which 4 look like rows" in message
    assert "data.quoting=none" in message


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_the_user_may_say_what_quotes_are(odd: Path, separator: str) -> None:
    content = f"text\tlabel\n{UNQUOTED}".replace("\t", separator)
    data = read(odd, "{}.csv", content, quoting="none")
    assert data.splits["train"].texts == tuple(WORDS)
    quoted = read(odd, "{}.csv", content, quoting="csv")
    assert len(quoted.splits["train"].texts) == 5
    assert any("span several lines, the first from line 3 to 6" in note for note in quoted.notes)


@pytest.mark.parametrize("order", [("text", "label"), ("label", "text"), ("id", "text", "label")])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_texts_with_line_breaks_are_one_row(
    odd: Path, order: tuple[str, ...], separator: str
) -> None:
    texts = ['two\nlines, and "quotes"', "plain", "a\n\nb\tc, d\n", "plain too"]
    output = io.StringIO()
    writer = csv.DictWriter(output, order, delimiter=separator)
    writer.writeheader()
    for number, text in enumerate(texts):
        row = {"id": number, "text": text, "label": "no" if number % 2 else "yes"}
        writer.writerow({name: row[name] for name in order})
    ending = "csv" if separator == "," else "tsv"
    data = read(odd, f"{{}}.{ending}", output.getvalue())
    assert data.splits["train"].texts == tuple(text.strip() for text in texts)
    assert "2 rows with quoted texts span several lines" in data.notes[0]


def test_a_table_that_mixes_both_ways_of_quoting_is_refused(odd: Path) -> None:
    content = 'text\tlabel\n"a ""b"" c"\t1\n"x" y\t0\n'
    assert "train.tsv:3: " in refusal(odd, "{}.tsv", content)


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_the_header_shows_the_separator(odd: Path, separator: str, word: str) -> None:
    content = f"label{separator}text\n1{separator}a, b\n0{separator}c, d\n"
    data = read(odd, "{}.csv", content)
    assert data.splits["dev"].texts == ("a, b", "c, d")
    assert f"separated by {word}" in data.notes[0] or word in data.notes[0]


def test_columns_may_have_numbers(odd: Path) -> None:
    content = '"3","Wall St.","Bears, again"\n"4","Chips","Fast, small"\n"3","Oil","Up"\n'
    message = refusal(odd, "{}.csv", content)
    assert "train.csv:1: the file has no header" in message
    assert "data.text=3 data.label=1" in message
    data = read(odd, "{}.csv", content, text="3", label="1")
    assert data.splits["train"].texts == ("Bears, again", "Fast, small", "Up")
    assert data.classes == ("3", "4")
    titled = read(odd, "{}.csv", content, text="2", text_pair="3", label="1")
    assert titled.splits["train"].pairs == ("Bears, again", "Fast, small", "Up")


def test_a_first_row_that_holds_a_columns_number_is_no_header(odd: Path) -> None:
    content = "1,2,x\n2,b,x\n1,c,x\n"
    assert len(read(odd, "{}.csv", content, text="2", label="1").splits["train"].texts) == 3
    by_pandas = "0,1\na,5\nb,6\n"
    data = read(odd, "{}.csv", by_pandas, text="0", label="1")
    assert (data.splits["train"].texts, data.classes) == (("a", "b"), ("5", "6"))
    titled = read(odd, "{}.csv", "7,1\na,5\nb,6\n", text="7", label="1", header=True)
    assert (titled.splits["train"].texts, titled.classes) == (("a", "b"), ("5", "6"))


def test_a_header_is_not_a_row_of_columns_with_numbers(odd: Path) -> None:
    numbers = "topic,words\n1,a\n2,b\n1,c\n"
    assert len(read(odd, "{}.csv", numbers, text="2", label="1").splits["train"].texts) == 3
    words = "topic,words\nx,a\ny,b\nx,c\n"
    message = refusal(odd, "{}.csv", words, text="2", label="1")
    assert "train.csv:1: this line is a header, or the only row of class 'topic'" in message
    for header, count in ((True, 3), (False, 4)):
        data = read(odd, "{}.csv", words, text="2", label="1", header=header)
        assert len(data.splits["train"].texts) == count
    assert "columns by number" in refusal(odd, "{}.csv", "text,label\na,1\n", header=False)


def test_a_text_file_without_a_header_needs_its_columns_and_separator(odd: Path) -> None:
    content = "i feel fine, today;joy\ni feel ill;sadness\nagain;joy\nno;sadness\n"
    options = {"text": "1", "label": "2", "separator": ";"}
    data = read(odd, "{}.txt", content, **options)
    assert data.classes == ("joy", "sadness")
    assert data.splits["train"].texts[0] == "i feel fine, today"
    assert "is not a separator" in refusal(odd, "{}.txt", content, **{**options, "separator": ";;"})


def test_columns_by_number_need_even_rows_to_show_the_separator(odd: Path) -> None:
    content = "1;a, b;c\n2;d;e, f\n1;g;h\n"
    data = read(odd, "{}.csv", content, text="2", label="1")
    assert data.splits["train"].texts == ("a, b", "d", "g")
    message = refusal(odd, "{}.csv", "1 a\n2 b\n", text="2", label="1")
    assert "train.csv:1: no separator gives all rows as many columns" in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_byte_order_mark_shows_the_encoding(odd: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    content = f"{mark}text\tlabel\nschön\t1\nнет\t0\n".encode(encoding)
    assert read(odd, "{}.tsv", content).splits["train"].texts == ("schön", "нет")


def test_another_encoding_is_refused_by_line_and_may_be_set(odd: Path) -> None:
    content = "text,label\nfine,1\nschön,0\nüber,0\n".encode("latin-1")
    message = refusal(odd, "{}.csv", content)
    assert "train.csv:3: not UTF-8 text" in message
    assert "The same in line 4" in message
    assert read(odd, "{}.csv", content, encoding="latin-1").splits["dev"].texts[1] == "schön"
    assert "'latin-one' is unknown" in refusal(odd, "{}.csv", content, encoding="latin-one")
    utf_16 = "text,label\na,1\nb,0\n".encode("utf-16-le")
    assert "train.csv:1: holds a NUL character" in refusal(odd, "{}.csv", utf_16)
    assert len(read(odd, "{}.csv", utf_16, encoding="utf-16-le").splits["dev"].texts) == 2


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_end_a_row(odd: Path, ending: str) -> None:
    for name, content in (
        ("{}.csv", "text,label\na,1\nb,0\n"),
        ("{}.tsv", 'text\tlabel\na "\t1\nb\t0\n'),
        ("{}.txt", "1 ||| a\n0 ||| b\n"),
        ("{}.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n'),
    ):
        data = read(odd, name, content.replace("\n", ending))
        assert len(data.splits["train"].texts) == 2
        for split in ("train", "dev"):
            (odd / name.format(split)).unlink()
    mixed = "1 ||| a\r0 ||| b\n1 ||| c\n"
    assert "train.txt:1: a carriage return joins two rows" in refusal(odd, "{}.txt", mixed)


def test_a_packed_table_is_read_like_any_other(odd: Path) -> None:
    packed = gzip.compress(b"text,label\na,1\nb,0\n")
    assert read(odd, "{}.csv.gz", packed).splits["train"].texts == ("a", "b")
    for broken in (packed[:-9], packed[:20], b"text,label\n"):
        assert "train.csv.gz: not readable" in refusal(odd, "{}.csv.gz", broken)


def test_one_cause_is_reported_once(odd: Path) -> None:
    message = refusal(odd, "{}.txt", "text with no label\n" * 364)
    assert message.count("found 'text with no label'") == 2
    assert "train.txt:1: found 'text with no label'" in message
    assert "The same in lines 2, 3, 4 and 360 more." in message
