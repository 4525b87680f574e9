"""What labels mean: names, indices from 0 or 1, or no classes, which are refused by line."""

import json
from pathlib import Path

import datasets
import pandas as pd
import pytest

from trytable.records import DataSource, Refused
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.splits import TextData

STARS = ["1", "2", "3", "4", "5"]


def write(folder: Path, labels: list[object], split: str = "train") -> None:
    texts = [f"{split} text {number}" for number in range(len(labels))]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(folder / f"{split}.csv", index=False)


def read(
    folder: Path, column: list[object], dev: list[object] | None = None, **options: object
) -> TextData:
    write(folder, column)
    write(folder, column[:2] if dev is None else dev, "dev")
    return read_data(DataSource(name=str(folder), **options))  # type: ignore[arg-type] # as in YAML


def refusal(folder: Path, column: list[object], **options: object) -> str:
    with pytest.raises(Refused) as refused:
        read(folder, column, **options)  # type: ignore[arg-type] # as above
    return str(refused.value)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4], [1, 2, 3, 4], [4, 1]])
def test_a_stored_class_label_is_an_index_even_if_names_are_numbers(
    odd: Path, labels: list[int]
) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=STARS)}
    )
    columns = {"text": [f"text {label}" for label in labels], "label": labels}
    table = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(odd / "saved")
    data = read_data(DataSource(name=str(odd / "saved")))
    assert data.classes == tuple(STARS)
    assert data.splits["train"].labels == tuple(labels)


TOPICS = ["World", "Sports", "Business", "Sci/Tech"]


@pytest.mark.parametrize(
    ("labels", "dev", "indices"),
    [
        ([1, 2, 3, 4], [1, 2], (0, 1)),
        ([1, 2, 3], [4, 1], (3, 0)),
        ([0, 1, 2], [3, 1], (3, 1)),
        ([1, 2, 3], [0, 1], (0, 1)),
        (["Sports", "World"], ["Sci/Tech", "World"], (3, 0)),
    ],
)
def test_the_range_of_all_labels_shows_where_indices_start(
    odd: Path, labels: list[object], dev: list[object], indices: tuple[int, ...]
) -> None:
    (odd / "label-mapping.json").write_text(json.dumps(TOPICS))
    data = read(odd, labels, dev)
    assert data.classes == tuple(TOPICS)
    assert data.splits["dev"].labels == indices


def test_indices_that_may_start_at_0_or_at_1_are_refused(odd: Path) -> None:
    (odd / "label-mapping.json").write_text(json.dumps(TOPICS))
    message = refusal(odd, [1, 2, 3])
    assert "the labels 1, 2, 3 can be read in 2 ways" in message
    assert "data.labels" in message
    for first, indices in ((0, (1, 2)), (1, (0, 1))):
        mapping = {str(number): name for number, name in enumerate(TOPICS, start=first)}
        (odd / "label-mapping.json").write_text(json.dumps(mapping))
        assert read(odd, [1, 2, 3]).splits["dev"].labels == indices
    (odd / "label-mapping.json").write_text(json.dumps(TOPICS))
    data = read(odd, [1, 2, 3], labels={"1": "World", "2": "Sports", "3": "Business"})
    assert data.splits["dev"].labels == (0, 1)


def test_labels_outside_both_ranges_are_refused_by_line(odd: Path) -> None:
    (odd / "label-mapping.json").write_text(json.dumps(TOPICS))
    message = refusal(odd, [0, 1, 2, 4])
    assert "train.csv:5: label '4' is not one of the classes" in message


def test_numbers_are_one_class_however_they_are_spelled(odd: Path) -> None:
    data = read(odd, ["1.0", "0.0", "2.00"], ["1", "0", "2"])
    assert data.classes == ("0", "1", "2")
    assert data.splits["train"].labels == data.splits["dev"].labels == (1, 0, 2)
    (odd / "label-mapping.json").write_text('["no", "yes", "eh"]')
    assert read(odd, ["1.0", "0.0", "2.0"]).splits["train"].labels == (1, 0, 2)
    (odd / "label-mapping.json").unlink()
    assert read(odd, ["v1.0", "v1"]).classes == ("v1", "v1.0")


def test_a_header_that_is_repeated_is_refused_by_line(odd: Path) -> None:
    (odd / "train.csv").write_text("text,label\na,1\ntext,label\nb,0\n")
    write(odd, [1, 0], "dev")
    with pytest.raises(Refused, match=r"train\.csv:3: the row 'label', 'text' repeats the header"):
        read_data(DataSource(name=str(odd)))
    for name in ("train", "dev"):
        (odd / f"{name}.csv").unlink()
        (odd / f"{name}.txt").write_text("label ||| sentence\n1 ||| a\n0 ||| b\n")
    with pytest.raises(Refused, match=r"train\.txt:1: the row .* repeats the header; delete"):
        read_data(DataSource(name=str(odd)))


@pytest.mark.parametrize("label", ["-", "nan", "--", "?"])
def test_a_label_that_says_there_is_none_is_refused(odd: Path, label: str) -> None:
    labels: list[object] = ["yes", label, "no", label]
    message = refusal(odd, labels, dev=["yes", "no"])
    assert f"train.csv:3: the label {label!r} of 2 rows looks like none" in message
    assert "class_weights" not in message
    data = read(odd, labels, dev=["yes", "no"], labels={label: None})
    assert data.classes == ("no", "yes")
    assert data.splits["train"].labels == (1, 0)
    assert "data.labels leaves out 2 of 4 rows" in data.notes[0]
    kept = read(odd, labels, dev=["yes", "no"], labels={label: label})
    assert len(kept.classes) == 3


@pytest.mark.parametrize("classes", [("+", "-"), (":(", ":)"), ("☹", "🙂"), ("*", "**")])
def test_symbols_may_be_classes(odd: Path, classes: tuple[str, str]) -> None:
    assert read(odd, [*classes]).classes == classes


@pytest.mark.parametrize("other", ["Positive", "positive ", "POSITIVE"])
def test_classes_that_differ_only_in_case_are_refused(odd: Path, other: str) -> None:
    labels: list[object] = ["positive", "negative", "positive", other, "negative"]
    if other.strip() == "positive":
        assert read(odd, labels).classes == ("negative", "positive")
        return
    message = refusal(odd, labels)
    assert f"train.csv:5: the labels 'positive' (3 rows), {other!r} (1 row)" in message
    data = read(odd, labels, labels={other: "positive"})
    assert data.classes == ("negative", "positive")
    assert data.splits["train"].labels == (1, 0, 1, 1, 0)
    assert len(read(odd, labels, labels={other: other, "positive": "positive"}).classes) == 3


@pytest.mark.parametrize("label", ["0,1", "0|1", "[0, 1]", "0,5"])
def test_several_labels_of_one_text_are_named_as_such(odd: Path, label: str) -> None:
    message = refusal(odd, ["0", label, "1"], dev=["0", "1"])
    assert f"train.csv:3: the label {label!r} is a list" in message
    assert "multi-label classification" in message


def test_a_list_of_labels_in_json_is_named_as_such(odd: Path) -> None:
    for name in ("train", "dev"):
        (odd / f"{name}.jsonl").write_text('{"text": "a", "label": [0, 1]}\n' * 3)
    with pytest.raises(Refused, match=r"train\.jsonl:1: .*multi-label.* The same in lines 2, 3"):
        read_data(DataSource(name=str(odd)))


def test_a_class_with_a_comma_in_its_name_is_no_list(odd: Path) -> None:
    assert read(odd, ["Food, Drink", "Sports"]).classes == ("Food, Drink", "Sports")


def test_scores_are_named_as_a_regression(odd: Path) -> None:
    scores: list[object] = [number / 5 for number in range(26)]
    message = refusal(odd, scores)
    assert "train.csv:3: the labels are 26 different numbers from 0 to 5, such as 0.2" in message
    assert "regression" in message
    assert "class_weights" not in message
    few = read(odd, [0.5, 1.0, 1.5, 2.0])
    assert "scores are read as classes" in " ".join(few.notes)


def test_a_mistyped_label_is_noted_with_its_line(odd: Path) -> None:
    labels: list[object] = ["yes", "no"] * 100
    data = read(odd, [*labels, "ye s"])
    assert "of class 'ye s' (train.csv, line 202)" in " ".join(data.notes)


def test_a_label_that_may_mean_none_is_noted(odd: Path) -> None:
    data = read(odd, ["none", "hate"])
    assert "class 'none' has 1 train text; if they have no label" in " ".join(data.notes)


def test_a_label_of_the_sweep_that_no_row_has_is_refused(odd: Path) -> None:
    message = refusal(odd, ["yes", "no"], labels={"maybe": None})
    assert "data.labels: 'maybe' is not a label of the data; found: no, yes" in message


def test_labels_that_leave_no_row_are_refused(odd: Path) -> None:
    message = refusal(odd, ["yes", "no", "-"], dev=["-"], labels={"-": None})
    assert "dev.csv: data.labels leaves out every row" in message
