"""How sure the best try is, in words: against the others, the baseline, and on fresh seeds."""

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
from trytable.results.text.catalog import Words
from trytable.results.text.format import format_value

PERCENTAGE_POINTS = 100
"""Points of an accuracy that is a share."""

_MOST_NAMED = 5
LOSS_OBJECTIVE = "dev_loss"
"""The objective that is no share, so nothing of it is told in points."""


def verdict_sentences(study: StudyResult, analysis: Analysis, words: Words) -> list[str]:
    """Whole sentences; only what is known."""
    comparison = analysis.comparison
    if comparison.best is None:
        return []
    best = comparison.trials[comparison.best]
    told = [
        _interval(best, comparison.examples, words),
        _same(study, comparison, words),
        _baseline(study, best, words),
        _early(comparison, words),
        *_spent(analysis.cost, words),
    ]
    if analysis.confirmation is None and len(study.ranked) > 1 and can_train_more(study):
        told.append(words.text("verdict.unconfirmed", count=len(study.ranked), study=study.name))
    return [sentence for sentence in told if sentence]


def can_train_more(study: StudyResult) -> bool:
    """Whether its tries can be trained again: not those that were imported, nor a confirmation."""
    return study.sweep.get("seed") is not None and not study.is_confirmation


def confirmation_sentences(
    study: StudyResult, found: Confirmation | None, words: Words
) -> list[str]:
    """What fresh seeds say, in whole sentences; nothing where nothing was trained again."""
    if found is None:
        return []
    told = [_mean(study, one, words) for one in found.points]
    told += [_over_baseline(study, one, words) for one in found.points if one.against_baseline]
    return told + _optimism(study, found, words)


def _interval(best: TrialComparison, examples: int | None, words: Words) -> str:
    found = best.interval
    if found is None:
        return ""
    return words.text("verdict.interval", low=found.low, high=found.high, examples=examples)


def _same(study: StudyResult, comparison: StudyComparison, words: Words) -> str:
    tested = sum(one.best_test is not None for one in comparison.trials.values())
    others = [n for n in comparison.group(1) if n != comparison.best]
    if not tested:
        return _untested(comparison, words)
    if not others:
        return words.text("verdict.alone", tested=tested)
    labels = {one.number: one.label for one in study.trials}
    named = join_labels([labels[number] for number in others], words)
    return words.text("verdict.same", named=named, tested=tested)


def _untested(comparison: StudyComparison, words: Words) -> str:
    reasons = (one.best_test_missing for one in comparison.trials.values())
    missing = [why for why in reasons if why not in (None, "itself", "not_completed")]
    if not missing:
        return ""
    return words.text("verdict.untested", why=words.text(f"missing.{missing[0]}"))


def join_labels(labels: list[str], words: Words) -> str:
    """The first few labels by name, the rest by their number."""
    named, rest = labels[:_MOST_NAMED], len(labels) - _MOST_NAMED
    if rest > 0:
        return words.text("list.more", named=words.join(named), count=rest)
    if len(named) == 1:
        return named[0]
    return words.text("list.and", first=words.join(named[:-1]), last=named[-1])


def _baseline(study: StudyResult, best: TrialComparison, words: Words) -> str:
    versus: PairedTest | None = best.baseline_test
    if versus is None or study.baseline is None:
        return ""
    interval = versus.counts.interval
    return words.text(
        "verdict.baseline_apart" if versus.is_significant else "verdict.baseline_same",
        label=study.baseline.label,
        points=PERCENTAGE_POINTS * versus.counts.difference,
        low=PERCENTAGE_POINTS * interval.low,
        high=PERCENTAGE_POINTS * interval.high,
        p=format_value(versus.p_corrected, "p"),
    )


def _early(comparison: StudyComparison, words: Words) -> str:
    count = sum(one.equal_epochs is not None for one in comparison.trials.values())
    return words.count("verdict.early", count) if count else ""


def _spent(cost: Cost, words: Words) -> list[str]:
    told = []
    if cost.trials:
        told.append(words.text("verdict.cost", device=format_value(cost.total.device, "seconds")))
    saved = sum(cost.saved.values())
    if saved:
        told.append(words.text("verdict.saved", saved=format_value(saved, "seconds")))
    if cost.device_seconds_per_point is not None:
        seconds = format_value(cost.device_seconds_per_point, "seconds")
        told.append(words.text("verdict.per_point", seconds=seconds))
    return told


def _label(study: StudyResult, number: int) -> str:
    return next(one.label for one in study.trials if one.number == number)


def _mean(study: StudyResult, one: ConfirmedPoint, words: Words) -> str:
    label, found = _label(study, one.number), one.over_seeds
    if found.interval is None:
        return words.text("confirmed.mean_alone", label=label, mean=found.mean)
    return words.text(
        "confirmed.mean",
        label=label,
        count=found.count,
        mean=found.mean,
        low=found.interval.low,
        high=found.interval.high,
    )


def _over_baseline(study: StudyResult, one: ConfirmedPoint, words: Words) -> str:
    found = one.against_baseline
    if found is None or found.interval is None:
        return ""
    p = one.against_baseline_p
    return words.text(
        "confirmed.baseline",
        label=_label(study, one.number),
        count=found.count,
        difference=found.mean,
        low=found.interval.low,
        high=found.interval.high,
        p="" if p is None else words.text("confirmed.p", p=format_value(p, "p")),
    )


def _optimism(study: StudyResult, found: Confirmation, words: Words) -> list[str]:
    won = found.point(found.winner)
    value = next(one.best_value for one in study.trials if one.number == found.winner)
    told = []
    in_points = study.objective.name != LOSS_OBJECTIVE
    unit = PERCENTAGE_POINTS if in_points else 1
    field = "points" if in_points else "difference"
    ending = "" if in_points else "_units"
    if won is not None and found.optimism is not None:
        fields = {
            "found": value,
            "label": _label(study, found.winner),
            "mean": won.over_seeds.mean,
            field: unit * found.optimism,
        }
        told.append(words.text(f"confirmed.optimism{ending}", **fields))
    if found.expected_optimism is not None and found.deviation is not None:
        noise = {field: unit * found.expected_optimism, "deviation": unit * found.deviation}
        told.append(words.text(f"confirmed.expected{ending}", draws=found.draws, **noise))
    return told
