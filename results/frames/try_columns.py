"""The columns of the frame `tries`, in order: identity, results, comparison, cost."""

from typing import get_args

from trytable.results.analysis.diagnosis.symptoms.types import OverfitLevel
from trytable.results.frames.schema import FrameColumn, FrameFamily, FrameSchema
from trytable.results.storage.rows import Status

PARAMETER_PREFIX = "params_"
"""Optuna's prefix, too. It keeps a parameter named `seconds` apart from the column."""

SEVERITIES = ("info", "warning", "error")
"""From harmless to severe."""

TRY = FrameColumn("try", "Int64", "", "number of the try; Optuna's trial 0 is Try 1")

_IDENTITY = (
    FrameColumn(
        "state", "category", "", "state of the try", "trial.status", categories=get_args(Status)
    ),
    FrameColumn("reason", "string", "", "why it was pruned, stopped or failed", "trial.reason"),
    FrameColumn(
        "source",
        "string",
        "",
        "who asked for it, such as `baseline` or `sampler`; missing if it was added with Optuna",
        "trial.source",
    ),
    FrameColumn("is_baseline", "boolean", "", "whether other tries are compared with this one"),
    FrameColumn(
        "is_imported",
        "boolean",
        "",
        "whether it was run by hand and imported from a log",
        "trial.is_imported",
    ),
    FrameColumn("seed", "Int64", "", "root of its random draws", "trial.seed"),
    FrameColumn(
        "rank",
        "Int64",
        "",
        "place by `best_value`, 1 for the best; only completed tries are ranked",
    ),
)

_RESULTS = (
    FrameColumn("epochs_run", "Int64", "epochs", "last epoch evaluated", "trial.epochs_run"),
    FrameColumn(
        "best_value",
        "Float64",
        "objective's",
        "objective at the best epoch; so far, for a try that did not complete",
        "trial.best_value",
    ),
    FrameColumn(
        "best_dev_accuracy",
        "Float64",
        "share",
        "dev accuracy at the best epoch",
        "trial.best_dev_accuracy",
    ),
    FrameColumn(
        "interval_low",
        "Float64",
        "share",
        "lower end of the 95 % Wilson interval of `best_dev_accuracy`, over dev texts",
        "comparison.interval.low",
    ),
    FrameColumn(
        "interval_high",
        "Float64",
        "share",
        "upper end of that interval",
        "comparison.interval.high",
    ),
    FrameColumn("best_epoch", "Int64", "epochs", "epoch of `best_value`", "trial.best_epoch"),
    FrameColumn(
        "last_dev_accuracy",
        "Float64",
        "share",
        "dev accuracy after the last epoch",
        "trial.last_dev_accuracy",
    ),
    FrameColumn(
        "train_accuracy",
        "Float64",
        "share",
        "accuracy on a fixed sample of train texts, in eval mode, at the best epoch",
        "trial.train_accuracy",
    ),
    FrameColumn(
        "test_accuracy",
        "Float64",
        "share",
        "test accuracy at the best epoch, of the tries that `all_tests` describes",
    ),
    FrameColumn(
        "gap", "Float64", "share", "`train_accuracy` minus `best_dev_accuracy`", "trial.gap"
    ),
    FrameColumn(
        "overfit",
        "category",
        "",
        "how much it overfits; missing if train accuracy was not measured",
        categories=get_args(OverfitLevel),
        ordered=True,
    ),
)

_COMPARISON = (
    FrameColumn(
        "delta", "Float64", "objective's", "`best_value` minus the baseline's, if both completed"
    ),
    FrameColumn(
        "p_best",
        "Float64",
        "",
        "p of the difference to the best try, for these trained models on these dev texts: exact "
        "McNemar test with Holm's correction",
        "comparison.best_test.p_corrected",
    ),
    FrameColumn(
        "group",
        "Int64",
        "",
        "1: the best try and all not significantly below it; 2: the best of the others and all "
        "not significantly below that; and so on",
        "comparison.group",
    ),
    FrameColumn("stars", "Int64", "stars", "1 to 5, by a fixed rule", "comparison.stars"),
    FrameColumn(
        "confirmed_mean",
        "Float64",
        "objective's",
        "mean of `best_value` over fresh seeds, after `trytable confirm`",
        "point.over_seeds.mean",
    ),
    FrameColumn(
        "confirmed_low",
        "Float64",
        "objective's",
        "lower end of the 95 % t interval of that mean, over seeds",
        "point.over_seeds.interval.low",
    ),
    FrameColumn(
        "confirmed_high",
        "Float64",
        "objective's",
        "upper end of that interval",
        "point.over_seeds.interval.high",
    ),
    FrameColumn(
        "confirmed_seeds", "Int64", "seeds", "number of fresh seeds", "point.over_seeds.count"
    ),
    FrameColumn(
        "equal_best",
        "Float64",
        "share",
        "of a pruned or stopped try: dev accuracy at its last epoch, minus the best try's at that "
        "epoch",
        "comparison.equal_epochs.against_best",
    ),
    FrameColumn(
        "equal_baseline",
        "Float64",
        "share",
        "the same, minus the baseline's",
        "comparison.equal_epochs.against_baseline",
    ),
)

_COST = (
    FrameColumn(
        "trained",
        "Float64",
        "share",
        "share of the model's parameters that were trained",
        "trial.trainable_share",
    ),
    FrameColumn("attempts", "Int64", "attempts", "how often a worker was started"),
    FrameColumn("seconds", "Float64", "seconds", "sum over all ended attempts", "trial.seconds"),
    FrameColumn(
        "device_seconds",
        "Float64",
        "seconds",
        "the same, but tries that shared a device at a time have equal parts of that time",
        "cost.device",
    ),
    FrameColumn("started_at", "datetime64[us, UTC]", "", "start of the first attempt"),
    FrameColumn(
        "ended_at", "datetime64[us, UTC]", "", "end of the last attempt; missing while it runs"
    ),
    FrameColumn("device", "string", "", "device of the last attempt", "trial.device"),
    FrameColumn(
        "precision",
        "string",
        "",
        "numeric precision of training, such as `bf16`",
        "trial.precision",
    ),
    FrameColumn("threads", "Int64", "threads", "CPU threads of the last attempt", "trial.threads"),
    FrameColumn(
        "severity",
        "category",
        "",
        "severity of the worst finding; missing without findings",
        categories=SEVERITIES,
        ordered=True,
    ),
)

TRIES = FrameSchema(
    name="tries",
    row="a try",
    index=(TRY,),
    columns=(*_IDENTITY, *_RESULTS, *_COMPARISON, *_COST),
    families=(
        FrameFamily(
            PARAMETER_PREFIX,
            "by its values",
            "parameter's",
            "requested value of a parameter that the sweep varies or that differs between tries",
        ),
    ),
)
