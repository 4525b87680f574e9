"""A sweep of Trytable beside `Trainer.hyperparameter_search` over the same points.

Both train the same model on the same texts for the same epochs, with AdamW, batches by length, a
linear schedule with a tenth of warm-up, gradients clipped to 1, and bf16 on a card. The heads
differ: Trytable's is one linear layer on the first token's state, transformers' is its own.
"""

import itertools
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu import trials
from benchmarks.gpu.card import Meter
from benchmarks.gpu.records import Notes, read_notes
from benchmarks.gpu.space import Space
from trytable.trainers.protocol.messages import AnyEvent, Epoch

TOGETHER_ON_CARD = 4
ACCURACY = "best dev accuracy"
RATE = "trials an hour"
LEARNT = 0.5
"""Dev accuracy that guessing among four topics does not reach."""

CLOSE = 0.05
"""The two heads differ, and so do the random draws: the best accuracies may differ by so much."""


def sweep(space: Space, notes: Notes) -> None:
    """Run the sweep; several trials at once on a card, as its memory allows."""
    sizes = space.sizes
    together = TOGETHER_ON_CARD if space.card else 1
    baseline = {"epochs": sizes.epochs, "batch_size": sizes.batch, "pooling": "cls"}
    points = {"lr": sizes.lrs, "weight_decay": sizes.decays}
    began = time.monotonic()
    with Meter(space.card) as meter:
        study = trials.run_study(space, "search", points, baseline, together=together)
    seconds = time.monotonic() - began
    notes.require(study.all_completed, f"{[trial.reason for trial in study.trials]}")
    notes.figure("trials", len(study.trials))
    notes.figure("at once", together)
    _note_rate(len(study.trials), seconds, meter, notes)
    best = [trial.best_dev_accuracy for trial in study.trials if trial.best_dev_accuracy]
    _note_accuracies(best, notes)
    notes.require(max(best, default=0.0) > LEARNT, "no trial learnt, so accuracies show nothing")
    last = [_last_accuracy(study.events(trial.number)) for trial in study.trials]
    notes.figure("median last dev accuracy", statistics.median(filter(None, last)))
    for line in study.printed.splitlines():
        if "fit" in line and "GPU" in line:
            notes.figure("said", line)


def _last_accuracy(events: Sequence[AnyEvent]) -> float | None:
    epochs = [event for event in events if isinstance(event, Epoch)]
    return epochs[-1].dev_accuracy if epochs else None


def _note_rate(count: int, seconds: float, meter: Meter, notes: Notes) -> None:
    notes.figure("seconds", seconds)
    notes.figure(RATE, count * 3600 / seconds)
    notes.figure("card busy percent", meter.mean_busy)


def _note_accuracies(values: Sequence[float], notes: Notes) -> None:
    notes.figure(ACCURACY, max(values))
    notes.figure("median dev accuracy", statistics.median(values))


def trainer(space: Space, notes: Notes) -> None:
    """Run transformers' own search over the same points, one after the other."""
    points = list(itertools.product(space.sizes.lrs, space.sizes.decays))
    began = time.monotonic()
    with Meter(space.card) as meter:
        accuracies = _search(space, points)
    _note_rate(len(points), time.monotonic() - began, meter, notes)
    notes.require(len(accuracies) == len(points), f"{len(accuracies)} of {len(points)} trials")
    _note_accuracies(accuracies, notes)
    ours = read_notes(notes.path.with_name("sweep.json")).figures
    if ACCURACY not in ours:
        notes.skip("the comparison", "the step sweep has no result")
        return
    notes.figure("Trytable's trials an hour, in multiples", ours[RATE] / notes.figures[RATE])
    apart = abs(ours[ACCURACY] - max(accuracies))
    notes.figure("best accuracies apart", apart)
    if (
        space.card
    ):  # in little, a few steps of a tiny model depend on chance, and imports take longest
        notes.require(apart <= CLOSE, f"the best accuracies are {apart:.3f} apart")
        notes.require(ours[RATE] > notes.figures[RATE], "Trytable ran fewer trials an hour")


def _search(space: Space, points: Sequence[tuple[float, float]]) -> list[float]:
    """Return the best dev accuracy of every point."""
    from optuna.samplers import GridSampler  # noqa: PLC0415 - this step alone needs these

    hf = _trainer(space)
    best: dict[int, float] = {}
    current = [0]

    def hp_space(trial: Any) -> dict[str, float]:
        current[0] = trial.number
        learning_rate, decay = points[trial.suggest_categorical("point", range(len(points)))]
        trial.set_user_attr("point", [learning_rate, decay])
        return {"learning_rate": learning_rate, "weight_decay": decay}

    def objective(metrics: dict[str, float]) -> float:
        accuracy = metrics["eval_accuracy"]
        best[current[0]] = max(accuracy, best.get(current[0], 0.0))
        return accuracy

    hf.hyperparameter_search(
        hp_space=hp_space,
        compute_objective=objective,
        n_trials=len(points),
        direction="maximize",
        backend="optuna",
        sampler=GridSampler({"point": list(range(len(points)))}, seed=trials.SEED),
    )
    return list(best.values())


def _trainer(space: Space) -> Any:
    """Return transformers' Trainer with settings as close to the sweep's as it has them."""
    from transformers import (  # noqa: PLC0415 - this step alone needs these
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    sizes, folder = space.sizes, str(space.model("bert"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = {
        name: _rows(space.texts / f"{name}.txt", tokenizer, sizes.tokens)
        for name in ("train", "dev")
    }
    classes = len({row["labels"] for row in rows["train"]})
    arguments = TrainingArguments(
        output_dir=str(space.folder / "trainer"),
        per_device_train_batch_size=sizes.batch,
        per_device_eval_batch_size=64,
        num_train_epochs=sizes.epochs,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        bf16=space.card is not None,
        use_cpu=space.card is None,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=trials.SEED,
    )
    return Trainer(
        args=arguments,
        model_init=lambda _: AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=classes
        ),
        train_dataset=rows["train"],
        eval_dataset=rows["dev"],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_accuracy,
    )


def _accuracy(prediction: Any) -> dict[str, float]:
    hits = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"accuracy": float(hits.mean())}


def _rows(path: Path, tokenizer: Any, tokens: int) -> list[dict[str, Any]]:
    """Read sentences as Trytable does: classes in the order of their names."""
    pairs = [line.split(" ||| ") for line in path.read_text().splitlines()]
    names = sorted({label for label, _ in pairs})
    encoded = tokenizer([text for _, text in pairs], truncation=True, max_length=tokens)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": names.index(label)}
        for ids, mask, (label, _) in zip(
            encoded["input_ids"], encoded["attention_mask"], pairs, strict=True
        )
    ]
