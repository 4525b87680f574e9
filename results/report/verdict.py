"""The verdict on the best trial, in sentences: how certain it is, and what fresh seeds show."""

from collections.abc import Iterator

from trytable.results.analysis.types import (
    Analysis,
    Confirmation,
    ConfirmedPoint,
    Cost,
    PairedTest,
    StudyComparison,
    TrialComparison,
)
from trytable.results.storage.study import StudyResult
from trytable.results.tables.summary import summarize
from trytable.results.text.catalog import Words
from trytable.results.text.format import format_value

PERCENTAGE_POINTS = 100
"""The factor from an accuracy between 0 and 1 to points."""

LOSS_OBJECTIVE = "dev_loss"
"""The objective whose differences are in its own units, not in points."""

_MAX_LABELS = 5


def overview(study: StudyResult, analysis: Analysis, words: Words) -> str:
    """Return the paragraph that opens a report: the study's summary and its verdict."""
    return words.paragraph([summarize(study, words), *verdict_sentences(study, analysis, words)])


def verdict_sentences(study: StudyResult, analysis: Analysis, words: Words) -> list[str]:
    """Return how certain the best trial is and what the study cost, without what is not known."""
    comparison = analysis.comparison
    if comparison.best is None:
        return []
    best = comparison.trials[comparison.best]
    sentences = [
        _interval(best, comparison.examples, words),
        _same_group(study, comparison, words),
        _against_baseline(study, best, words),
        _ended_early(comparison, words),
        *_cost(analysis.cost, words),
    ]
    if needs_confirmation(study, analysis):
        count = len(study.ranked)
        sentences.append(words.text("verdict.unconfirmed", count=count, study=study.name))
    return [sentence for sentence in sentences if sentence]


def confirmation_sentences(
    study: StudyResult, confirmation: Confirmation | None, words: Words
) -> list[str]:
    """Return the results on fresh seeds; empty if no trial was trained again."""
    if confirmation is None:
        return []
    return [
        *(_mean(study, point, words) for point in confirmation.points),
        *(
            _over_baseline(study, point, words)
            for point in confirmation.points
            if point.against_baseline
        ),
        *_optimism(study, confirmation, words),
    ]


def can_train_more(study: StudyResult) -> bool:
    """Return whether its trials can be trained again: not if imported or a confirmation."""
    return study.sweep.get("seed") is not None and not study.is_confirmation


def needs_confirmation(study: StudyResult, analysis: Analysis) -> bool:
    """Return whether the best of several trials was not confirmed on fresh seeds, but can be."""
    return analysis.confirmation is None and len(study.ranked) > 1 and can_train_more(study)


def join_labels(labels: list[str], words: Words) -> str:
    """Return the first few labels, and the number of the others."""
    first, rest = labels[:_MAX_LABELS], len(labels) - _MAX_LABELS
    if rest > 0:
        return words.text("list.more", named=words.join(first), count=rest)
    if len(first) == 1:
        return first[0]
    return words.text("list.and", first=words.join(first[:-1]), last=first[-1])


def _interval(best: TrialComparison, examples: int | None, words: Words) -> str:
    interval = best.interval
    if interval is None:
        return ""
    return words.text("verdict.interval", low=interval.low, high=interval.high, examples=examples)


def _same_group(study: StudyResult, comparison: StudyComparison, words: Words) -> str:
    tested = sum(trial.best_test is not None for trial in comparison.trials.values())
    rivals = [number for number in comparison.group(1) if number != comparison.best]
    if not tested:
        return _no_tests(comparison, words)
    if not rivals:
        return words.text("verdict.alone", tested=tested)
    labels = join_labels([_label(study, number) for number in rivals], words)
    return words.text("verdict.same", named=labels, tested=tested)


def _no_tests(comparison: StudyComparison, words: Words) -> str:
    reasons = (trial.best_test_missing for trial in comparison.trials.values())
    missing = [reason for reason in reasons if reason not in (None, "itself", "not_completed")]
    if not missing:
        return ""
    return words.text("verdict.untested", why=words.text(f"missing.{missing[0]}"))


def _against_baseline(study: StudyResult, best: TrialComparison, words: Words) -> str:
    test: PairedTest | None = best.baseline_test
    if test is None or study.baseline is None:
        return ""
    interval = test.counts.interval
    return words.text(
        "verdict.baseline_apart" if test.is_significant else "verdict.baseline_same",
        label=study.baseline.label,
        points=PERCENTAGE_POINTS * test.counts.difference,
        low=PERCENTAGE_POINTS * interval.low,
        high=PERCENTAGE_POINTS * interval.high,
        p=format_value(test.p_corrected, "p"),
    )


def _ended_early(comparison: StudyComparison, words: Words) -> str:
    count = sum(trial.equal_epochs is not None for trial in comparison.trials.values())
    return words.count("verdict.early", count) if count else ""


def _cost(cost: Cost, words: Words) -> Iterator[str]:
    if cost.trials:
        yield words.text("verdict.cost", device=format_value(cost.total.device, "seconds"))
    saved = sum(cost.saved.values())
    if saved:
        yield words.text("verdict.saved", saved=format_value(saved, "seconds"))
    if cost.device_seconds_per_point is not None:
        seconds = format_value(cost.device_seconds_per_point, "seconds")
        yield words.text("verdict.per_point", seconds=seconds)


def _label(study: StudyResult, number: int) -> str:
    return next(trial.label for trial in study.trials if trial.number == number)


def _mean(study: StudyResult, point: ConfirmedPoint, words: Words) -> str:
    label, mean = _label(study, point.number), point.over_seeds
    if mean.interval is None:
        return words.text("confirmed.mean_alone", label=label, mean=mean.mean)
    return words.text(
        "confirmed.mean",
        label=label,
        count=mean.count,
        mean=mean.mean,
        low=mean.interval.low,
        high=mean.interval.high,
    )


def _over_baseline(study: StudyResult, point: ConfirmedPoint, words: Words) -> str:
    difference = point.against_baseline
    if difference is None or difference.interval is None:
        return ""
    p = point.against_baseline_p
    return words.text(
        "confirmed.baseline",
        label=_label(study, point.number),
        count=difference.count,
        difference=difference.mean,
        low=difference.interval.low,
        high=difference.interval.high,
        p="" if p is None else words.text("confirmed.p", p=format_value(p, "p")),
    )


def _optimism(study: StudyResult, confirmation: Confirmation, words: Words) -> Iterator[str]:
    in_points = study.objective.name != LOSS_OBJECTIVE
    unit, field = (PERCENTAGE_POINTS, "points") if in_points else (1, "difference")
    ending = "" if in_points else "_units"
    winner = confirmation.point(confirmation.winner)
    if winner is not None and confirmation.optimism is not None:
        fields = {
            "found": next(
                trial.best_value for trial in study.trials if trial.number == winner.number
            ),
            "label": _label(study, winner.number),
            "mean": winner.over_seeds.mean,
            field: unit * confirmation.optimism,
        }
        yield words.text(f"confirmed.optimism{ending}", **fields)
    expected, deviation = confirmation.expected_optimism, confirmation.deviation
    if expected is not None and deviation is not None:
        noise = {field: unit * expected, "deviation": unit * deviation}
        yield words.text(f"confirmed.expected{ending}", draws=confirmation.draws, **noise)
