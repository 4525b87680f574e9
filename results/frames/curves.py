"""The frames `epochs` and `steps`: what each try measured after every epoch and logged step."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeVar

import pandas as pd

from trytable.records import EPOCH_METRICS
from trytable.results.frames.schema import FrameColumn, FrameFamily, FrameSchema, family_columns
from trytable.results.frames.try_columns import TRY
from trytable.results.storage.study import StudyResult

T = TypeVar("T")

_EPOCH_TEXTS: Mapping[str, tuple[str, str]] = {
    "value": ("objective's", "the objective"),
    "train_loss": ("nats", "mean train loss per text"),
    "running_accuracy": ("share", "accuracy of the batches as they were trained"),
    "probe_accuracy": ("share", "accuracy on a fixed sample of train texts, in eval mode"),
    "dev_loss": ("nats", "mean dev loss per text"),
    "dev_accuracy": ("share", "dev accuracy"),
    "dev_macro_f1": ("share", "mean F1 over classes on dev"),
    "seconds": ("seconds", "wall time of the epoch"),
}

EPOCHS = FrameSchema(
    name="epochs",
    row="an epoch of a try, as its last attempt trained it",
    index=(TRY, FrameColumn("epoch", "Int64", "epochs", "number of the epoch, from 1")),
    columns=tuple(FrameColumn(name, "Float64", *_EPOCH_TEXTS[name]) for name in EPOCH_METRICS),
    families=(
        FrameFamily(
            "metrics_", "Float64", "metric's", "what a script or an imported log measured besides"
        ),
    ),
)

STEPS = FrameSchema(
    name="steps",
    row="a logged optimizer step of a try, as its last attempt took it",
    index=(TRY, FrameColumn("step", "Int64", "steps", "number of the step, from 1")),
    columns=(
        FrameColumn("epoch", "Int64", "epochs", "epoch of the step, from 1"),
        FrameColumn("attempt", "Int64", "", "attempt that took the step"),
        FrameColumn("loss", "Float64", "nats", "train loss per text"),
        FrameColumn("lr", "Float64", "", "learning rate"),
        FrameColumn(
            "gradient_norm",
            "Float64",
            "",
            "L2 norm of all gradients, before clipping",
        ),
        FrameColumn("weight_norm", "Float64", "", "L2 norm of all trained weights"),
        FrameColumn(
            "running_accuracy",
            "Float64",
            "share",
            "share of correct predictions in the epoch so far",
        ),
    ),
    families=(
        FrameFamily(
            "layer_gradients_", "Float64", "", "L2 norm of the gradients of a block of the model"
        ),
        FrameFamily(
            "layer_weights_", "Float64", "", "L2 norm of the weights of a block of the model"
        ),
    ),
)


def epochs_frame(study: StudyResult) -> pd.DataFrame:
    """The frame `epochs`, by try and epoch."""
    numbers, epochs = _flatten(study, [trial.curve for trial in study.trials])
    frame = EPOCHS.build(epochs, numbers, [epoch.epoch for epoch in epochs])
    return _with_families(frame, {"metrics_": [epoch.metrics for epoch in epochs]})


def steps_frame(study: StudyResult) -> pd.DataFrame:
    """The frame `steps`, by try and step."""
    numbers, steps = _flatten(study, [trial.steps for trial in study.trials])
    frame = STEPS.build(steps, numbers, [step.step for step in steps])
    families = {
        "layer_gradients_": [step.layer_gradients or {} for step in steps],
        "layer_weights_": [step.layer_weights or {} for step in steps],
    }
    return _with_families(frame, families)


def _flatten(study: StudyResult, curves: Sequence[Sequence[T]]) -> tuple[list[int], list[T]]:
    """The number of the try of every point, and all points, try by try."""
    numbers = [
        trial.number + 1 for trial, curve in zip(study.trials, curves, strict=True) for _ in curve
    ]
    return numbers, list(chain.from_iterable(curves))


def _with_families(
    frame: pd.DataFrame, families: Mapping[str, Sequence[Mapping[str, float]]]
) -> pd.DataFrame:
    columns = {
        column: pd.array([values.get(name) for values in rows], dtype="Float64")
        for prefix, rows in families.items()
        for name, column in family_columns(prefix, chain.from_iterable(rows)).items()
    }
    return pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis="columns")
