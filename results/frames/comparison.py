"""The frame `comparison`: each try against the best one and the baseline.

A difference belongs to a level. `models` compares two trained models on these dev texts; `settings`
compares two settings over the fresh seeds that both were trained with. Only the second may say
that one is better.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from trytable.records import DEFAULT_OBJECTIVE, Objective
from trytable.results.analysis.statistics import ALPHA, MeanDifference
from trytable.results.analysis.types import (
    Analysis,
    Confirmation,
    ConfirmedPoint,
    NoTestReason,
    PairedTest,
    TrialComparison,
)
from trytable.results.frames.schema import FrameColumn, FrameSchema
from trytable.results.frames.try_columns import TRY
from trytable.results.storage.study import StudyResult

Against = Literal["best", "baseline"]
Level = Literal["models", "settings"]
Verdict = Literal[
    "more_accurate", "less_accurate", "better", "worse", "not_significant", "untested"
]
NoSeedTestReason = Literal["no_shared_seeds", "one_seed", "equal_differences"]

COMPARISON = FrameSchema(
    name="comparison",
    row="a try against another one, at one level",
    index=(
        TRY,
        FrameColumn(
            "against",
            "category",
            "",
            "the other try: the best one (for `settings`: that of the best confirmed mean) or the "
            "baseline",
            categories=get_args(Against),
        ),
        FrameColumn(
            "level",
            "category",
            "",
            "`models`: these two trained models on these dev texts; `settings`: two settings over "
            "fresh seeds, after `trytable confirm`",
            categories=get_args(Level),
        ),
    ),
    columns=(
        FrameColumn("other", "Int64", "", "number of the other try"),
        FrameColumn(
            "metric",
            "string",
            "",
            "what is compared: `dev_accuracy` for `models`, the objective for `settings`",
        ),
        FrameColumn("difference", "Float64", "metric's", "this try's minus the other's"),
        FrameColumn(
            "low",
            "Float64",
            "metric's",
            "lower end of the 95 % interval: bootstrap over texts for `models`, t interval over "
            "seeds for `settings`",
        ),
        FrameColumn("high", "Float64", "metric's", "upper end of that interval"),
        FrameColumn(
            "p",
            "Float64",
            "",
            "two-sided p: exact McNemar test for `models`, paired t test for `settings`",
        ),
        FrameColumn(
            "p_corrected",
            "Float64",
            "",
            "the same with Holm's correction over all tries tested against that one",
        ),
        FrameColumn("texts", "Int64", "texts", "labelled dev texts that both were tested on"),
        FrameColumn("seeds", "Int64", "seeds", "seeds that both were trained with"),
        FrameColumn(
            "verdict",
            "category",
            "",
            f"by `p_corrected` below {ALPHA} and the sign of `difference`; `better` and `worse` "
            "are about `settings` alone",
            categories=get_args(Verdict),
        ),
        FrameColumn(
            "reason",
            "category",
            "",
            "why there is no test",
            categories=(*get_args(NoTestReason), *get_args(NoSeedTestReason)),
        ),
    ),
)


@dataclass(frozen=True)
class PairRecord:
    """A row of the frame; the fields are its index and its columns."""

    number: int
    against: Against
    level: Level
    other: int | None
    metric: str
    verdict: Verdict = "untested"
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    texts: int | None = None
    seeds: int | None = None
    reason: NoTestReason | NoSeedTestReason | None = None


def comparison_frame(study: StudyResult, analysis: Analysis) -> pd.DataFrame:
    """The frame `comparison`, by try, other try and level."""
    pairs = [*_model_pairs(study, analysis), *_setting_pairs(study, analysis)]
    pairs.sort(key=lambda pair: pair.number)
    levels = ([getattr(pair, name) for pair in pairs] for name in ("number", "against", "level"))
    return COMPARISON.build(pairs, *levels)


def _model_pairs(study: StudyResult, analysis: Analysis) -> Iterator[PairRecord]:
    comparison = analysis.comparison
    references: dict[Against, int | None] = {
        "best": comparison.best,
        "baseline": comparison.baseline,
    }
    for trial in study.trials:
        for against, other in references.items():
            test, reason = _model_test(comparison.trials[trial.number], against)
            yield _model_pair(trial.number, against, other, test, reason)


def _model_test(
    trial: TrialComparison, against: Against
) -> tuple[PairedTest | None, NoTestReason | None]:
    if against == "best":
        return trial.best_test, trial.best_test_missing
    return trial.baseline_test, trial.baseline_test_missing


def _model_pair(
    number: int,
    against: Against,
    other: int | None,
    test: PairedTest | None,
    reason: NoTestReason | None,
) -> PairRecord:
    label = None if other is None else other + 1
    metric = DEFAULT_OBJECTIVE.name
    if test is None:
        return PairRecord(number + 1, against, "models", label, metric, reason=reason)
    counts = test.counts
    return PairRecord(
        number + 1,
        against,
        "models",
        label,
        metric,
        verdict=_model_verdict(test),
        difference=counts.difference,
        low=counts.interval.low,
        high=counts.interval.high,
        p=counts.p,
        p_corrected=test.p_corrected,
        texts=counts.examples,
        seeds=1,
    )


def _model_verdict(test: PairedTest) -> Verdict:
    if not test.is_significant:
        return "not_significant"
    return "less_accurate" if test.is_worse else "more_accurate"


def _setting_pairs(study: StudyResult, analysis: Analysis) -> Iterator[PairRecord]:
    confirmation = analysis.confirmation
    if confirmation is None:
        return
    references: dict[Against, ConfirmedPoint | None] = {
        "best": next(iter(confirmation.points), None),
        "baseline": _baseline_point(confirmation, study),
    }
    texts = analysis.comparison.examples
    for point in confirmation.points:
        for against, other in references.items():
            yield _setting_pair(point, against, other, study.objective, texts)


def _baseline_point(confirmation: Confirmation, study: StudyResult) -> ConfirmedPoint | None:
    return confirmation.point(study.baseline.number) if study.baseline else None


def _setting_pair(
    point: ConfirmedPoint,
    against: Against,
    other: ConfirmedPoint | None,
    objective: Objective,
    texts: int | None,
) -> PairRecord:
    if against == "best":
        difference, p_corrected = point.against_best, point.against_best_p
    else:
        difference, p_corrected = point.against_baseline, point.against_baseline_p
    interval = difference.interval if difference else None
    return PairRecord(
        point.number + 1,
        against,
        "settings",
        None if other is None else other.number + 1,
        objective.name,
        verdict=_setting_verdict(difference, p_corrected, objective),
        difference=difference.mean if difference else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        p=difference.p if difference else None,
        p_corrected=p_corrected,
        texts=texts if difference else None,
        seeds=difference.count if difference else None,
        reason=_seed_test_missing(point, other, difference),
    )


def _setting_verdict(
    difference: MeanDifference | None, p_corrected: float | None, objective: Objective
) -> Verdict:
    if difference is None or p_corrected is None:
        return "untested"
    if p_corrected >= ALPHA:
        return "not_significant"
    return "better" if objective.gain(difference.mean, 0.0) > 0 else "worse"


def _seed_test_missing(
    point: ConfirmedPoint, other: ConfirmedPoint | None, difference: MeanDifference | None
) -> NoTestReason | NoSeedTestReason | None:
    if other is None:
        return "no_other"
    if other.number == point.number:
        return "itself"
    if difference is None:
        return "no_shared_seeds"
    if difference.p is None:
        return "one_seed" if difference.interval is None else "equal_differences"
    return None
