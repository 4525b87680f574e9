"""What goes along with a model that is handed over: its predictions, its making, its card."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.text.escape import markdown, spreadsheet
from trytable.results.text.format import clean, format_value

_USE = """\
```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
batch = tokenizer(
    ["a text"], truncation=True, max_length={max_length}, padding=True, return_tensors="pt"
)
print([model.config.id2label[i] for i in model(**batch).logits.argmax(1).tolist()])
```"""

_COMMANDS = {
    "again": "From the study, with the same threads",
    "anew": "From the sweep's file, as Try 1 of a study of its own",
}


@dataclass(frozen=True)
class ModelExport:
    """A try that is handed over.

    `predicted` are class indices by split, as the written folder predicts them; `recorded` what
    the try predicted when it was trained; `gold` has no entry for a split without labels.
    `commands` are those that train it `again` from its record, and `anew` without it.
    """

    study: StudyResult
    trial: TrialResult
    classes: tuple[str, ...]
    predicted: Mapping[str, tuple[int, ...]]
    recorded: Mapping[str, tuple[int, ...]]
    gold: Mapping[str, tuple[int, ...]]
    commands: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def matching_predictions(self) -> dict[str, int]:
        """How many predictions of each split are those of the training."""
        return {
            split: sum(a == b for a, b in zip(found, self.recorded.get(split, ()), strict=False))
            for split, found in self.predicted.items()
        }


def predictions_csv(
    classes: tuple[str, ...], predicted: tuple[int, ...], gold: tuple[int, ...] | None
) -> str:
    """A row a text, in the order of its file: its number from 1, gold and predicted class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("text", "gold", "gold_class", "predicted", "predicted_class"))
    for number, label in enumerate(predicted):
        known = ("", "") if gold is None else (gold[number], _cell(classes[gold[number]]))
        writer.writerow((number + 1, *known, label, _cell(classes[label])))
    return text.getvalue()


def _cell(name: str) -> str:
    return spreadsheet(clean(name))


def provenance(handed: ModelExport) -> dict[str, Any]:
    """All that made the model, as plain values for a JSON file."""
    study, one = handed.study, handed.trial
    last = one.attempts[-1]
    return {
        "study": study.name,
        "try": one.number + 1,
        "trial_uid": one.uid,
        "commands": dict(handed.commands),
        "seed": one.seed,
        "data": {**study.sweep["data"], "sha256": last.data_hash},
        "model": {"name": study.sweep["model"], "sha256": study.facts.get("model_hash")},
        "objective": study.objective.name,
        "best_epoch": one.best_epoch,
        "best_value": one.best_value,
        "dev_accuracy": one.best_dev_accuracy,
        "test_accuracy": one.test_accuracy,
        "requested": dict(one.settings),
        "effective": dict(one.effective),
        "device": last.device,
        "threads": last.threads,
        "precision": last.precision,
        "trainer_sha256": last.code_hash,
        "pins": dict(study.facts.get("pins") or {}),
        "handed_over_with": dict(handed.versions),
        "predictions_as_recorded": {
            split: {"same": same, "of": len(handed.predicted[split])}
            for split, same in handed.matching_predictions.items()
        },
    }


def model_card(handed: ModelExport) -> str:
    """README.md of the folder."""
    study, one = handed.study, handed.trial
    names = ", ".join(_text(name) for name in handed.classes)
    trained = f"{_text(study.sweep['model'])}, fine-tuned on {_text(study.sweep['data']['name'])}"
    parts = [
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\n---",
        f"# {_text(study.name)}, {one.label}",
        f"{trained}, to tell {len(handed.classes)} classes apart: {names}.",
        _results(handed),
        "## Use",
        _USE.format(max_length=one.settings["max_length"]),
        "`trust_remote_code` has transformers load `text_classifier.py` of this folder, which puts "
        "backbone, pooling and head together. Without it transformers would set an untrained head "
        "of its own on the backbone. `AutoModel.from_pretrained(folder)` loads the backbone alone.",
        "## How it was made",
        *_made(handed),
        "`made_by.json` holds every setting, what was read back of it, seed, hashes and versions. "
        "`dev.csv` and `test.csv` hold the predictions of this very folder.",
    ]
    return "\n\n".join(parts) + "\n"


def _results(handed: ModelExport) -> str:
    one = handed.trial
    rows = (
        ("dev accuracy", format_value(one.best_dev_accuracy, "accuracy")),
        ("test accuracy", format_value(one.test_accuracy, "accuracy")),
        ("best epoch", format_value(one.best_epoch, "count")),
        *(
            (f"{split} predictions as in training", f"{same} of {len(handed.predicted[split])}")
            for split, same in handed.matching_predictions.items()
        ),
    )
    lines = [f"| {term} | {value} |" for term, value in rows if value]
    return "\n".join(["| what | value |", "| --- | ---: |", *lines])


def _made(handed: ModelExport) -> list[str]:
    last = handed.trial.attempts[-1]
    told = [
        f"{_COMMANDS[name]}:\n\n```\n{_code(command)}\n```"
        for name, command in handed.commands.items()
    ]
    pins = handed.study.facts.get("pins") or {}
    facts = (
        ("seed", handed.trial.seed),
        ("sha256 of the data", last.data_hash),
        ("sha256 of the model it began with", handed.study.facts.get("model_hash")),
        ("trained on", f"{last.device}, CPU threads {last.threads}, {last.precision}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in pins.items())),
    )
    return [*told, "\n".join(f"- {term}: {_text(value)}" for term, value in facts)]


def _text(value: object) -> str:
    return markdown(clean(str(value)))


def _code(text: str) -> str:
    # A fence ends at three backquotes only; a command of ours holds no new line either.
    return clean(text).replace("```", "` ` `").replace("\n", " ")
