"""The files beside an exported model: its predictions, provenance and model card."""

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
    "anew": "From the sweep's file, as Try 1 of a new study",
}


@dataclass(frozen=True)
class ModelExport:
    """A trial whose model is exported.

    By split, `predicted` has the class indices that the exported folder predicts, `recorded` those
    of the training, and `gold` the labels if there are any. `commands` train the model once more:
    `again` from the trial's record, `anew` from the sweep's file (these keys are stored).
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
        """How many predictions of each split equal those of the training."""
        return {
            split: sum(a == b for a, b in zip(labels, self.recorded.get(split, ()), strict=False))
            for split, labels in self.predicted.items()
        }


def predictions_csv(
    classes: tuple[str, ...], predicted: tuple[int, ...], gold: tuple[int, ...] | None
) -> str:
    """Return a row per text in the order of its file: number from 1, gold and predicted class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("text", "gold", "gold_class", "predicted", "predicted_class"))
    for number, label in enumerate(predicted):
        gold_cells = ("", "") if gold is None else (gold[number], _cell(classes[gold[number]]))
        writer.writerow((number + 1, *gold_cells, label, _cell(classes[label])))
    return text.getvalue()


def _cell(name: str) -> str:
    return spreadsheet(clean(name))


def provenance(export: ModelExport) -> dict[str, Any]:
    """Return the study, settings, seed, hashes and versions behind the model, for a JSON file."""
    study, trial = export.study, export.trial
    last = trial.attempts[-1]
    return {
        "study": study.name,
        "try": trial.number + 1,
        "trial_uid": trial.uid,
        "commands": dict(export.commands),
        "seed": trial.seed,
        "data": {**study.sweep["data"], "sha256": last.data_hash},
        "model": {"name": study.sweep["model"], "sha256": study.facts.get("model_hash")},
        "objective": study.objective.name,
        "best_epoch": trial.best_epoch,
        "best_value": trial.best_value,
        "dev_accuracy": trial.best_dev_accuracy,
        "test_accuracy": trial.test_accuracy,
        "requested": dict(trial.settings),
        "effective": dict(trial.effective),
        "device": last.device,
        "threads": last.threads,
        "precision": last.precision,
        "trainer_sha256": last.code_hash,
        "pins": dict(study.facts.get("pins") or {}),
        "handed_over_with": dict(export.versions),
        "predictions_as_recorded": {
            split: {"same": count, "of": len(export.predicted[split])}
            for split, count in export.matching_predictions.items()
        },
    }


def model_card(export: ModelExport) -> str:
    """Return the README.md of the exported folder."""
    study, trial = export.study, export.trial
    names = ", ".join(_text(name) for name in export.classes)
    trained = f"{_text(study.sweep['model'])}, fine-tuned on {_text(study.sweep['data']['name'])}"
    parts = [
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\n---",
        f"# {_text(study.name)}, {trial.label}",
        f"{trained}, to distinguish {len(export.classes)} classes: {names}.",
        _results(export),
        "## Use",
        _USE.format(max_length=trial.settings["max_length"]),
        "With `trust_remote_code` transformers loads `text_classifier.py` from this folder, which "
        "combines backbone, pooling and head. Without it transformers would put an untrained head "
        "on the backbone. `AutoModel.from_pretrained(folder)` loads only the backbone.",
        "## How it was made",
        *_how_made(export),
        "`made_by.json` has all requested and effective settings, the seed, hashes and versions. "
        "`dev.csv` and `test.csv` have the predictions of the model in this folder.",
    ]
    return "\n\n".join(parts) + "\n"


def _results(export: ModelExport) -> str:
    trial = export.trial
    rows = (
        ("dev accuracy", format_value(trial.best_dev_accuracy, "accuracy")),
        ("test accuracy", format_value(trial.test_accuracy, "accuracy")),
        ("best epoch", format_value(trial.best_epoch, "count")),
        *(
            (f"{split} predictions as in training", f"{count} of {len(export.predicted[split])}")
            for split, count in export.matching_predictions.items()
        ),
    )
    lines = [f"| {term} | {value} |" for term, value in rows if value]
    return "\n".join(["| result | value |", "| --- | ---: |", *lines])


def _how_made(export: ModelExport) -> list[str]:
    last = export.trial.attempts[-1]
    commands = [
        f"{_COMMANDS[name]}:\n\n```\n{_code(command)}\n```"
        for name, command in export.commands.items()
    ]
    pins = export.study.facts.get("pins") or {}
    facts = (
        ("seed", export.trial.seed),
        ("sha256 of the data", last.data_hash),
        ("sha256 of the pretrained model", export.study.facts.get("model_hash")),
        ("trained on", f"{last.device}, CPU threads {last.threads}, {last.precision}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in pins.items())),
    )
    return [*commands, "\n".join(f"- {term}: {_text(value)}" for term, value in facts)]


def _text(value: object) -> str:
    return markdown(clean(str(value)))


def _code(text: str) -> str:
    # Three backquotes would end the fence; our commands contain no newline either.
    return clean(text).replace("```", "` ` `").replace("\n", " ")
