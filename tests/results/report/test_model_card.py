"""What goes along with a model: predictions, making and card, with harmless texts."""

import csv
import io
import json
from pathlib import Path

from tests.results.studies import Maker, Planned
from trytable.results.report.model_card import ModelExport, model_card, predictions_csv, provenance
from trytable.results.storage.reader import read_study

SWEEP = {"seed": 7, "model": "my/model", "data": {"name": "my|data", "text": "text"}}
FACTS = {"model_hash": "m" * 64, "pins": {"torch": "2.13.0"}}


def handed(folder: Path, dev: tuple[int, ...] = (0, 1, 1)) -> ModelExport:
    maker = Maker(folder / "studies.db", sweep=SWEEP, facts=FACTS)
    maker.add(Planned({"lr": 0.1}, (0.5, 0.6), test=0.7, requested={"max_length": 64}))
    study = read_study(maker.url, maker.name)
    return ModelExport(
        study=study,
        trial=study.trials[0],
        classes=("=no", "a|b"),
        predicted={"dev": (0, 1, 1), "test": (1,)},
        recorded={"dev": dev, "test": (1,)},
        gold={"dev": (0, 0, 1)},
        commands={"again": "make rerun NAME=dropout TRY=1", "anew": "make sweep 'SET=a\nb ```'"},
        versions={"torch": "2.14.0"},
    )


def test_predictions_stand_beside_the_gold_labels() -> None:
    text = predictions_csv(("=no", "yes"), (0, 1), (1, 1))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["text", "gold", "gold_class", "predicted", "predicted_class"]
    assert rows[1:] == [["1", "1", "yes", "0", "'=no"], ["2", "1", "yes", "1", "yes"]]


def test_predictions_of_texts_without_labels() -> None:
    rows = list(csv.reader(io.StringIO(predictions_csv(("no", "yes"), (1, 0), None))))
    assert rows[1:] == [["1", "", "", "1", "yes"], ["2", "", "", "0", "no"]]


def test_what_made_it(folder: Path) -> None:
    found = json.loads(json.dumps(provenance(handed(folder, dev=(0, 1, 0)))))
    assert (found["seed"], found["data"]["sha256"], found["best_epoch"]) == (7, "d" * 64, 2)
    assert found["model"] == {"name": "my/model", "sha256": "m" * 64}
    assert found["requested"]["lr"] == 0.1
    assert found["pins"] == {"torch": "2.13.0"}
    assert found["handed_over_with"] == {"torch": "2.14.0"}
    assert found["predictions_as_recorded"]["dev"] == {"same": 2, "of": 3}


def test_the_card(folder: Path) -> None:
    text = model_card(handed(folder, dev=(0, 1, 0)))
    assert text.startswith("---\nlibrary_name: transformers\n")
    assert r"my/model, fine-tuned on my\|data, to distinguish 2 classes: =no, a\|b." in text
    assert "| dev accuracy | 0.600 |" in text
    assert "| dev predictions as in training | 2 of 3 |" in text
    assert "| test predictions as in training | 1 of 1 |" in text
    assert "max_length=64" in text
    assert "```\nmake sweep 'SET=a b ` ` `'\n```" in text
    assert text.count("```") % 2 == 0
