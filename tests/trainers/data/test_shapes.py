"""The shapes that people's data have: what a folder holds, and formats that are no CSV."""

import json
import sys
from pathlib import Path

import datasets
import pandas as pd
import pytest

from trytable.records import DataSource, Refused
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.splits import TextData

ROWS = [("a", "yes"), ("b", "no"), ("c", "yes")]
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])


def read(folder: Path, **options: object) -> TextData:
    return read_data(DataSource(name=str(folder), **options))  # type: ignore[arg-type] # as in YAML


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(Refused) as refused:
        read(folder, **options)
    return str(refused.value)


def fill(folder: Path, name: str, content: str) -> None:
    for split in ("train", "dev"):
        (folder / name.format(split)).write_text(content)


def pairs(data: TextData, split: str = "train") -> list[tuple[str, str]]:
    part = data.splits[split]
    names = [data.classes[label] for label in part.labels]
    return list(zip(part.texts, names, strict=True))


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_a_table(odd: Path, ending: str, indent: int | None) -> None:
    items = [{"text": text, "label": label} for text, label in ROWS]
    fill(odd, f"{{}}.{ending}", json.dumps(items, indent=indent))
    assert pairs(read(odd)) == ROWS
    fill(odd, f"{{}}.{ending}", json.dumps([*items, {"text": "d"}], indent=indent))
    assert f"train.{ending}:item 4: no value for 'label'" in refusal(odd)
    fill(odd, f"{{}}.{ending}", json.dumps([*items, 3], indent=indent))
    assert f"train.{ending}:item 4: found 3; expected a JSON object" in refusal(odd)


def test_keys_that_no_object_has_are_named_once(odd: Path) -> None:
    fill(odd, "{}.jsonl", '{"sentence": "a", "gold_label": 1}\n' * 30)
    message = refusal(odd)
    assert "train.jsonl:1: no key 'text', 'label'; found: sentence, gold_label." in message
    assert "The same" not in message


def test_an_excel_workbook_is_read_by_its_columns(odd: Path) -> None:
    for split in ("train", "dev"):
        with pd.ExcelWriter(odd / f"{split}.xlsx", engine="openpyxl") as writer:
            pd.DataFrame({"note": ["made by hand"]}).to_excel(writer, sheet_name="About")
            FRAME.to_excel(writer, sheet_name="Data", index=False)
    (odd / "~$train.xlsx").write_bytes(b"Excel's lock file")
    assert pairs(read(odd)) == ROWS
    assert "no column 'gold'" in refusal(odd, label="gold") or "more than one sheet" in refusal(
        odd, label="gold"
    )
    frame = pd.DataFrame({"text": ["a", None, "c"], "label": [1, 0, 1]})
    frame.to_excel(odd / "train.xlsx", index=False)
    assert "train.xlsx:3: no value for 'text'" in refusal(odd)
    (odd / "train.xlsx").write_bytes(b"no workbook")
    assert "train.xlsx: not readable as an Excel workbook" in refusal(odd)


def test_excel_without_its_package_names_the_extra(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "dev"):
        FRAME.to_excel(odd / f"{split}.xlsx", index=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "needs the package openpyxl (trytable[excel])" in refusal(odd)


def test_fasttext_lines(odd: Path) -> None:
    fill(odd, "{}.txt", "".join(f"__label__{label} {text}\n" for text, label in ROWS))
    assert pairs(read(odd)) == ROWS
    fill(odd, "{}.txt", "__label__a x\n__label__a __label__b y\nno label\n")
    message = refusal(odd)
    assert "train.txt:2: found 2 labels; expected one `__label__...`" in message
    assert "multi-label" in message


def test_trec_questions(odd: Path) -> None:
    fill(odd, "{}.label", "DESC:manner How ?\nENTY:animal What ?\nDESC:def Why ?\n")
    data = read(odd)
    assert pairs(data) == [("How ?", "DESC"), ("What ?", "ENTY"), ("Why ?", "DESC")]
    assert "data.label=fine" in data.notes[0]
    assert read(odd, label="fine").classes == ("DESC:def", "DESC:manner", "ENTY:animal")


def write_classes(folder: Path, classes: dict[str, list[str]]) -> None:
    for name, texts in classes.items():
        (folder / name).mkdir(parents=True)
        for number, text in enumerate(texts):
            (folder / name / f"{number}.txt").write_text(text)


def test_a_folder_per_class(odd: Path) -> None:
    write_classes(odd / "train", {"pos": ["a\nb", "c"], "neg": ["d"], "unsup": ["e"]})
    write_classes(odd / "val", {"pos": ["x"], "neg": ["y"]})
    (odd / "train" / "bag_of_words.feat").write_text("0:1")
    message = refusal(odd)
    assert f"{odd / 'train' / 'unsup' / '0.txt'}: the label 'unsup' of 1 row looks" in message
    data = read(odd, labels={"unsup": None})
    assert pairs(data) == [("d", "neg"), ("a\nb", "pos"), ("c", "pos")]
    assert pairs(data, "dev") == [("y", "neg"), ("x", "pos")]
    assert any(
        "1 file beside the texts of a class not read, such as bag" in note for note in data.notes
    )
    (odd / "train" / "pos" / "1.txt").write_bytes(b"\xff")
    assert f"{odd / 'train' / 'pos' / '1.txt'}: not utf-8" in refusal(odd, labels={"unsup": None})


@pytest.mark.parametrize("option", [{"separator": ";"}, {"quoting": "none"}, {"header": True}])
def test_an_option_that_cannot_be_applied_is_refused(odd: Path, option: dict[str, object]) -> None:
    for split in ("train", "dev"):
        FRAME.to_parquet(odd / f"{split}.parquet")
    assert pairs(read(odd)) == ROWS
    (name,) = option
    assert f"data.{name} cannot be applied to these files" in refusal(odd, **option)
    with pytest.raises(Refused, match=f"data.{name} cannot be applied to the embedded data"):
        read_data(DataSource(**option))  # type: ignore[arg-type] # as in YAML


def test_hidden_files_are_not_data(odd: Path) -> None:
    fill(odd, "{}.csv", FRAME.to_csv(index=False))
    fill(odd, "._{}.csv", "left by a Mac")
    (odd / ".train.csv.swp").write_text("left by an editor")
    assert pairs(read(odd)) == ROWS


def test_the_user_chooses_among_several_files(odd: Path) -> None:
    fill(odd, "{}.csv", FRAME.to_csv(index=False))
    (odd / "dev.csv").rename(odd / "dev_matched.csv")
    (odd / "dev_mismatched.csv").write_text("text,label\nother,no\n")
    message = refusal(odd)
    assert "more than one dev file (dev_matched.csv, dev_mismatched.csv)" in message
    assert "set data.dev=dev_matched.csv" in message
    assert pairs(read(odd, dev="dev_mismatched.csv"), "dev") == [("other", "no")]
    assert "no such file" in refusal(odd, dev="dev.csv")
    assert "this file is another split, too" in refusal(odd, dev="train.csv", train="train.csv")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet", "xlsx"])
def test_a_test_file_needs_no_labels(odd: Path, ending: str) -> None:
    fill(odd, "{}.csv", FRAME.to_csv(index=False))
    frame, path = FRAME[["text"]], odd / f"test.{ending}"
    match ending:
        case "csv":
            frame.to_csv(path)
        case "parquet":
            frame.to_parquet(path)
        case "xlsx":
            frame.to_excel(path, index=False)
        case _:
            frame.to_json(path, orient="records", lines=ending == "jsonl")
    data = read(odd)
    assert data.splits["test"].texts == ("a", "b", "c")
    assert not data.splits["test"].labelled
    assert any("predicted but not scored" in note for note in data.notes)


def test_a_saved_data_set_without_splits_is_train(odd: Path) -> None:
    columns = {"text": [f"text {n}" for n in range(20)], "label": [n % 2 for n in range(20)]}
    table = datasets.Dataset.from_dict(columns).cast_column(
        "label", datasets.ClassLabel(names=["no", "yes"])
    )
    table.save_to_disk(odd / "saved")
    assert "no dev split; found: train. data.dev=0.1 splits" in refusal(odd / "saved")
    data = read(odd / "saved", dev=0.2)
    assert (len(data.splits["train"].texts), len(data.splits["dev"].texts)) == (16, 4)
    assert data.classes == ("no", "yes")


def test_splits_of_a_saved_data_set_may_be_chosen(odd: Path) -> None:
    def table(text: str) -> datasets.Dataset:
        return datasets.Dataset.from_dict({"text": [text, f"{text} 2"], "label": [0, 1]})

    names = ("train", "validation_matched", "validation_mismatched")
    splits = datasets.DatasetDict({name: table(name) for name in names})
    splits.save_to_disk(odd / "saved")
    assert "no dev split; found: train, validation_matched" in refusal(odd / "saved")
    data = read(odd / "saved", dev="validation_mismatched")
    assert data.splits["dev"].texts[0] == "validation_mismatched"
    assert "no split x; found: train" in refusal(odd / "saved", dev="x")
