"""Data files in every form, and each mistake in them with its file, line and what was expected."""

import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pandas as pd
import pytest

from tests.trainers.small import label_rows, lines
from trytable.records import DataSource, Refused
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.splits import TextData, from_json, to_json

ROWS = [("It 's a lovely film , 50 % \\/ 'wow' .", 1), ('a,b\tc "d" \u2028 e', 0), ("plain", 1)]


def write_sst(path: Path) -> None:
    path.write_text(lines(*(f"{label} ||| {text}" for text, label in ROWS)))


def write_frame(path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    match path.suffix:
        case ".parquet":
            frame.to_parquet(path)
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case _:
            frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def fill(folder: Path, ending: str, write: Callable[[Path], None]) -> DataSource:
    for name in ("my-train", "valid_set", "x.test"):
        write(folder / f"{name}{ending}")
    return DataSource(name=str(folder))


@pytest.mark.parametrize("ending", [".txt", ".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_form_reads_the_same(odd: Path, ending: str) -> None:
    source = fill(odd, ending, write_sst if ending == ".txt" else write_frame)
    data = read_data(source)
    assert data.classes == ("0", "1")
    for name in ("train", "dev", "test"):
        split = data.splits[name]
        assert list(zip(split.texts, split.labels, strict=True)) == ROWS
    assert from_json(to_json(data)) == TextData(data.classes, data.splits)


def test_a_label_mapping_names_the_classes(odd: Path) -> None:
    source = fill(odd, ".txt", write_sst)
    (odd / "sst-label-mapping.json").write_text(json.dumps(["awful", "good", "never seen"]))
    assert read_data(source).classes == ("awful", "good", "never seen")


def test_words_are_classes_too(odd: Path) -> None:
    for name in ("train", "dev"):
        (odd / f"{name}.txt").write_text("yes ||| one\nno ||| two\n")
    data = read_data(DataSource(name=str(odd)))
    assert data.classes == ("no", "yes")
    assert data.splits["train"].labels == (1, 0)
    assert "There is no test file, so there is no test accuracy." in data.notes


def test_columns_as_named_and_pairs(odd: Path) -> None:
    frame = pd.DataFrame({"premise": ["a", "b"], "claim": ["c", "d"], "gold": [0, 1]})
    for name in ("train", "dev"):
        frame.to_csv(odd / f"{name}.csv", index=False)
    source = DataSource(name=str(odd), text="premise", text_pair="claim", label="gold")
    assert read_data(source).splits["dev"].pairs == ("c", "d")


def test_a_test_file_of_minus_ones_is_unlabelled(odd: Path) -> None:
    source = fill(odd, ".txt", write_sst)
    (odd / "x.test.txt").write_text(label_rows([-1, -1]))
    data = read_data(source)
    assert not data.splits["test"].labelled
    assert "no gold labels: it is predicted but not scored" in " ".join(data.notes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my-train.txt", b"1 ||| fine\nno separator\n", "my-train.txt:2: found 'no separator'"),
        ("my-train.txt", b"", "my-train.txt: the file is empty"),
        ("my-train.txt", b"1 ||| a\n0 |||  \n", "my-train.txt:2: the text is blank"),
        ("my-train.txt", b"1 ||| a\n0 ||| \xff\n", "my-train.txt:2: not UTF-8"),
        ("my-train.txt", b"1 ||| a\n1 ||| b\n", ":1: label '0' is not one of the classes"),
        ("my-train.txt", b"0 ||| a\n", "found only one class"),
        (
            "valid_set.txt",
            b"7 ||| a\n",
            "valid_set.txt:1: label '7' is not one of the classes (0, 1)",
        ),
        ("valid_set.txt", b"-1 ||| a\n", "valid_set.txt:1: label '-1' is not one of"),
        ("valid_set.txt", b" ||| a\n", "valid_set.txt:1: the label is blank; expected a class"),
        ("other-train.txt", b"1 ||| a\n", "more than one train file"),
        (
            "my-train.txt",
            b"-1 ||| a\n",
            "my-train.txt: found no label; expected at least two classes",
        ),
        ("a-label-mapping.json", b'["x", "x"]', "a class name appears twice"),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    odd: Path, name: str, content: bytes, message: str
) -> None:
    source = fill(odd, ".txt", write_sst)
    (odd / name).write_bytes(content)
    if "one class" in message:
        for other in ("valid_set.txt", "x.test.txt"):
            (odd / other).write_bytes(content)
    if "label '0'" in message:
        (odd / "sst-label-mapping.json").write_text('["only", "1"]')
        (odd / name).write_bytes(b"2 ||| a\n")
        message = "label '2' is not one of the classes (only, 1)"
    with pytest.raises(Refused) as refusal:
        read_data(source)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\nHello, world,0\n", "my-train.csv:2: more fields than columns"),
        (b'text,label\na,0\n"b,1\nc,1\n', "my-train.csv:3: unexpected end of data"),
        (b"text,label\na,0\nb\xff,1\n", "my-train.csv:3: not UTF-8"),
        (b"text,label,text\na,0,b\n", "my-train.csv:1: more than one column 'text'"),
        (b"text,label\na,\n", "my-train.csv:2: the label is blank"),
    ],
)
def test_a_bad_table_is_named_with_its_line(odd: Path, content: bytes, message: str) -> None:
    source = fill(odd, ".csv", write_frame)
    (odd / "my-train.csv").write_bytes(content)
    with pytest.raises(Refused) as refusal:
        read_data(source)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": ["a"], "label": 1}', "no value for 'text'; expected a string or a number"),
        (b'{"text": "a", "label": NaN}', "no value for 'label'; expected a string or a number"),
        (b'{"text": "\\ud800", "label": 1}', "half a surrogate pair"),
        (b"[" * 100_000, "not JSON"),
        (b'"a"', "expected a JSON object"),
    ],
)
def test_a_bad_json_line_is_named(odd: Path, content: bytes, message: str) -> None:
    source = fill(odd, ".jsonl", write_frame)
    (odd / "my-train.jsonl").write_bytes(content)
    with pytest.raises(Refused) as refusal:
        read_data(source)
    assert "my-train.jsonl:1: " in str(refusal.value)
    assert message in str(refusal.value)


def test_a_text_may_be_longer_than_the_csv_module_likes(odd: Path) -> None:
    source = fill(odd, ".csv", write_frame)
    (odd / "my-train.csv").write_text(lines("text,label", f"{'a' * 200_000},0", "b,1"))
    assert len(read_data(source).splits["train"].texts[0]) == 200_000


def test_a_file_that_fits_two_splits_is_refused(odd: Path) -> None:
    (odd / "train-latest.txt").write_text(label_rows([0, 1]))
    (odd / "dev.txt").write_text(label_rows([0, 1]))
    with pytest.raises(
        Refused, match=r"train-latest\.txt: the file name matches test and another split"
    ):
        read_data(DataSource(name=str(odd)))


def test_two_label_mappings_are_refused(odd: Path) -> None:
    source = fill(odd, ".txt", write_sst)
    for name in ("a", "b"):
        (odd / f"{name}-label-mapping.json").write_text('["x", "y"]')
    with pytest.raises(Refused, match="more than one label mapping"):
        read_data(source)


def test_numbers_as_labels_need_not_begin_at_nought(odd: Path) -> None:
    for name in ("train", "dev"):
        (odd / f"{name}.txt").write_text(label_rows([10, 9, 1_000_000]))
    data = read_data(DataSource(name=str(odd)))
    assert data.classes == ("9", "10", "1000000")
    assert data.splits["dev"].labels == (1, 0, 2)


def test_labels_with_gaps_are_whole_numbers_all_the_same(odd: Path) -> None:
    for name in ("train", "dev"):
        frame = pd.DataFrame({"text": ["a", "b"], "label": [0.0, 1.0]})
        frame.to_parquet(odd / f"{name}.parquet")
    assert read_data(DataSource(name=str(odd))).classes == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "indices"), [([0, 1, 2], (0, 1, 2)), ([1, 2, 3], (0, 1, 2)), ([3, 1, 1], (2, 0, 0))]
)
def test_class_names_that_are_numbers_are_not_taken_for_places(
    odd: Path, labels: list[int], indices: tuple[int, ...]
) -> None:
    for name in ("train", "dev"):
        (odd / f"{name}.txt").write_text(label_rows(labels))
    (odd / "label-mapping.json").write_text('["1", "2", "3"]')
    assert read_data(DataSource(name=str(odd))).splits["dev"].labels == indices


def test_a_number_is_no_word(odd: Path) -> None:
    (odd / "train.txt").write_text("no ||| a\nyes ||| b\n")
    (odd / "dev.txt").write_text("0 ||| a\n")
    with pytest.raises(Refused, match=r"label '0' is not one of the classes \(no, yes\)"):
        read_data(DataSource(name=str(odd)))


def test_all_mistakes_come_in_one_message(odd: Path) -> None:
    for name in ("train", "dev"):
        (odd / f"{name}.txt").write_text("bad\n" * 6)
    with pytest.raises(Refused) as refusal:
        read_data(DataSource(name=str(odd)))
    assert str(refusal.value).count("train.txt:1: found 'bad'; expected `label ||| sentence`") == 1
    assert str(refusal.value).count("The same in lines 2, 3, 4 and 2 more.") == 2


def test_a_missing_column_is_named_with_those_there_are(odd: Path) -> None:
    source = fill(odd, ".csv", lambda path: pd.DataFrame({"a": [1]}).to_csv(path, index=False))
    with pytest.raises(Refused, match="no column 'text', 'label'; found: a"):
        read_data(source)


def test_a_missing_split_is_named(odd: Path) -> None:
    (odd / "train.txt").write_text(label_rows([0, 1]))
    with pytest.raises(Refused, match=r"no dev file; expected \*dev\* or \*valid\*"):
        read_data(DataSource(name=str(odd)))


def test_a_folder_saved_by_datasets(odd: Path) -> None:
    columns = {"review": ["a", "b", "c"], "stars": [1, 0, 1]}
    splits = {name: datasets.Dataset.from_dict(columns) for name in ("train", "validation")}
    datasets.DatasetDict(splits).save_to_disk(odd / "saved")
    source = DataSource(name=str(odd / "saved"), text="review", label="stars")
    data = read_data(source)
    assert data.classes == ("0", "1")
    assert data.splits["dev"].texts == ("a", "b", "c")
    assert data.splits["dev"].labels == (1, 0, 1)
    with pytest.raises(Refused, match="no column 'text', 'label'; found: review, stars"):
        read_data(DataSource(name=str(odd / "saved")))
    (odd / "saved" / "dataset_dict.json").write_text("{")
    with pytest.raises(Refused, match="cannot be read as a data set"):
        read_data(source)


def test_a_saved_data_set_may_know_its_class_names(odd: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes", "eh"])}
    )
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(odd / "saved")
    data = read_data(DataSource(name=str(odd / "saved")))
    assert data.classes == ("no", "yes", "eh")
    assert data.splits["train"].labels == (1, 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "there is no such folder"),
        ("/no/such/place", "there is no such folder"),
        ("a" * 300, "cannot be read"),
        ("~no-such-user/x", "cannot be read"),
    ],
)
def test_a_folder_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        read_data(DataSource(name=name))


def test_a_disk_that_fails_is_told(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(odd, ".txt", write_sst)

    def fail(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(Refused, match=r"my-train\.txt: not readable \(Permission denied\)"):
        read_data(source)


def test_a_name_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(Refused, match="DATA=no/such cannot be read as a data set"):
        read_data(DataSource(name="no/such"))


def test_a_file_in_place_of_a_folder_is_refused(odd: Path) -> None:
    (odd / "train.txt").write_text(label_rows([0, 1]))
    with pytest.raises(Refused, match="is a file; expected a folder"):
        read_data(DataSource(name=str(odd / "train.txt")))
