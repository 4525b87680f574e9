"""Tries against the best and the baseline, from predictions that a ledger holds."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped]  # it ships no types
from statsmodels.stats.multitest import (  # type: ignore[import-untyped]  # it ships no types
    multipletests,
)

from tests.results.studies import Maker, Planned
from trytable.records import DEFAULT_OBJECTIVE, Objective
from trytable.results.analysis import comparison
from trytable.results.analysis.diagnosis.api import overfit_levels
from trytable.results.analysis.statistics import wilson
from trytable.results.analysis.types import StudyComparison
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult, TrialResult

SIZE = 400
GOLD = tuple(n % 3 for n in range(SIZE))


def answers(right: range, extra: range = range(0)) -> tuple[int, ...]:
    """Predictions that are right at those places and nowhere else."""
    places = {*right, *extra}
    return tuple(label if n in places else (label + 1) % 3 for n, label in enumerate(GOLD))


def planned(dropout: float, right: range, extra: range = range(0), **given: object) -> Planned:
    share = len({*right, *extra}) / SIZE
    made = Planned({"dropout": dropout}, (share / 2, share), predicted=answers(right, extra))
    return replace(made, **given)  # type: ignore[arg-type]  # the fields of a Planned


def compare(study: StudyResult) -> StudyComparison:
    return comparison.compare(study, overfit_levels(study))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    maker = Maker(tmp_path_factory.mktemp("compared") / "studies.db", gold=GOLD)
    maker.add(
        planned(0.1, range(160), source="baseline"),
        planned(0.3, range(200)),
        planned(0.5, range(196)),
        planned(0.7, range(100, 220), range(300, 320)),
        planned(0.9, range(40)),
        Planned({"dropout": 0.2}, (0.3, 0.45)),
        Planned({"dropout": 0.4}, (0.2, 0.3), status="pruned"),
        planned(0.6, range(100), status="failed"),
    )
    return read_study(maker.url, maker.name)


def test_the_tests_are_scipys_and_statsmodels(study: StudyResult) -> None:
    found = compare(study)
    assert (found.best, found.baseline, found.examples) == (1, 0, SIZE)
    pairs = {0: (0, 40), 2: (0, 4), 3: (40, 100), 4: (0, 160)}
    p_values = [binomtest(one, one + other).pvalue for one, other in pairs.values()]
    corrected = multipletests(p_values, method="holm")[1]
    for (number, pair), p, holm in zip(pairs.items(), p_values, corrected, strict=True):
        versus = found.trials[number].best_test
        assert versus is not None
        assert (versus.counts.only_first, versus.counts.only_second) == pair
        assert (versus.counts.p, versus.p_corrected) == pytest.approx((p, holm))
        assert versus.counts.difference == pytest.approx((pair[0] - pair[1]) / SIZE)
        assert versus.counts.interval.low <= versus.counts.difference <= versus.counts.interval.high


def test_what_cannot_be_told_from_the_best_shares_its_group(study: StudyResult) -> None:
    found = compare(study)
    assert [found.trials[n].group for n in range(8)] == [2, 1, 1, 2, 3, None, None, None]
    assert found.group(1) == (1, 2)
    assert found.group(2) == (0, 3)


def test_what_cannot_be_tested_stays_missing_with_its_reason(study: StudyResult) -> None:
    tries = compare(study).trials
    reasons = [tries[n].best_test_missing for n in range(8)]
    assert reasons == [
        None, "itself", None, None, None, "no_predictions", "not_completed", "not_completed",
    ]  # fmt: skip
    assert all((tries[n].best_test is None) == (reasons[n] is not None) for n in range(8))
    assert tries[0].baseline_test_missing == "itself"
    assert tries[5].interval == wilson(180, SIZE), "an interval needs no predictions"
    assert tries[5].stars is not None


def test_a_best_try_without_predictions_leaves_no_groups(study: StudyResult) -> None:
    tries = tuple(replace(one, predictions={}) if one.number == 1 else one for one in study.trials)
    found = compare(replace(study, trials=tries))
    assert found.best == 1
    assert {one.group for one in found.trials.values()} == {None}
    assert found.trials[2].best_test_missing == "other_untold"
    assert found.trials[1].baseline_test_missing == "no_predictions"
    assert found.trials[2].baseline_test is not None


def test_without_gold_labels_there_is_no_test(study: StudyResult) -> None:
    for gold, why in (
        ({}, "no_gold"),
        ({"dev": (-1,) * SIZE}, "no_gold"),
        ({"dev": (1,)}, "other_size"),
    ):
        found = compare(replace(study, gold=gold))
        assert found.trials[2].best_test_missing == why
        assert found.trials[2].interval is None or gold == {"dev": (1,)}
    sized = compare(replace(study, gold={}, facts={"sizes": {"dev": SIZE}}))
    assert sized.trials[1].interval == wilson(200, SIZE)


def test_sentences_without_a_label_do_not_count(study: StudyResult) -> None:
    gold = tuple(-1 if n >= 300 else label for n, label in enumerate(GOLD))
    found = compare(replace(study, gold={"dev": gold}))
    assert found.examples == 300
    versus = found.trials[3].best_test
    assert versus is not None
    assert (versus.counts.only_first, versus.counts.examples) == (20, 300)


def test_a_pruned_try_is_compared_at_its_own_last_epoch(study: StudyResult) -> None:
    pruned = compare(study).trials[6]
    assert pruned.stars is None
    assert pruned.equal_epochs is not None
    assert (pruned.equal_epochs.epoch, pruned.equal_epochs.dev_accuracy) == (2, 0.3)
    assert pruned.equal_epochs.against_best == pytest.approx(0.3 - 0.5)
    assert pruned.equal_epochs.against_baseline == pytest.approx(0.3 - 0.4)
    longer = tuple(
        replace(one, curve=one.curve[:1]) if one.number == 1 else one for one in study.trials
    )
    shorter = compare(replace(study, trials=longer)).trials[6].equal_epochs
    assert shorter is not None
    assert shorter.against_best is None, "the best has no second epoch"


def test_by_another_objective_the_accuracies_are_tested_all_the_same(study: StudyResult) -> None:
    tries = tuple(replace(one, best_value=float(one.number)) for one in study.trials)
    found = compare(replace(study, trials=tries, objective=Objective("dev_macro_f1")))
    assert found.best == 5
    tries = tuple(one for one in tries if one.number != 5)
    found = compare(replace(study, trials=tries, objective=Objective("dev_macro_f1")))
    assert found.best == 4
    versus = found.trials[1].best_test
    assert versus is not None
    assert versus.is_significant
    assert not versus.is_worse
    assert found.trials[1].group == 1, "more accurate than the best is no worse group"


def test_an_empty_study() -> None:
    found = compare(StudyResult("s", None, DEFAULT_OBJECTIVE, {}, {}, None, ()))
    assert found == StudyComparison(None, None, None, {}, comparison.DEFAULT_STANDARD_ERROR)


@settings(max_examples=40)
@given(st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=6))
def test_groups_cover_all_and_keep_the_order_of_their_leaders(right: list[list[bool]]) -> None:
    tries = tuple(_try(number, row) for number, row in enumerate(right))
    study = StudyResult("s", None, DEFAULT_OBJECTIVE, {}, {}, None, tries, gold={"dev": (1,) * 12})
    found = compare(study)
    groups = [found.trials[one.number].group or 0 for one in study.ranked]
    assert groups[0] == 1
    assert set(groups) == set(range(1, max(groups) + 1))
    for one in study.trials:
        versus = found.trials[one.number].best_test
        if versus is not None:
            assert (found.trials[one.number].group == 1) == (not versus.is_worse)
            assert 0 <= versus.counts.p <= versus.p_corrected <= 1


def _try(number: int, right: list[bool]) -> TrialResult:
    share = sum(right) / len(right)
    return TrialResult(
        number=number,
        uid=None,
        status="completed",
        reason="",
        source="sampler",
        params={},
        distributions={},
        requested={},
        effective={},
        curve=(),
        best_epoch=None,
        best_value=share,
        best_dev_accuracy=share,
        test_accuracy=None,
        attempts=(),
        findings=(),
        seconds=None,
        predictions={"dev": tuple(int(answer) for answer in right)},
    )
