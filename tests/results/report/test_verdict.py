"""What is said of how sure the best try is: right, in every language, no more than is known."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.results.studies import Maker, Planned
from trytable.records import Language, Objective
from trytable.results.analysis.analysis import analyze
from trytable.results.analysis.confirmation import confirm
from trytable.results.analysis.statistics import wilson
from trytable.results.analysis.types import Analysis, PairedTest
from trytable.results.frames.frames import StudyFrames
from trytable.results.report.story import build_story
from trytable.results.report.verdict import confirmation_sentences, verdict_sentences
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.results.tables.pairs import pairs_table
from trytable.results.text.catalog import LANGUAGES, Words
from trytable.results.text.format import format_value

SIZE = 400
GOLD = tuple(n % 3 for n in range(SIZE))
SWEEP = {
    "name": "dropout",
    "trainer": "finetune",
    "seed": 42,
    "parameters": {"dropout": {"kind": "float", "values": [0.1, 0.3, 0.5, 0.7]}},
}
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e-?\d+)?")


def answers(right: int) -> tuple[int, ...]:
    """Predictions of which the first `right` are right."""
    return tuple(label if n < right else (label + 1) % 3 for n, label in enumerate(GOLD))


def planned(dropout: float, right: int, **given: object) -> Planned:
    share = right / SIZE
    made = Planned(
        {"dropout": dropout},
        (share / 2, share, share - 0.05),
        (0.4, 0.6, 0.9),
        predicted=answers(right),
    )
    return replace(made, **given)  # type: ignore[arg-type]  # the fields of a Planned


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """Baseline 160 of 400 right, the best 200, one beside it with 196, one pruned."""
    maker = Maker(tmp_path_factory.mktemp("verdict") / "studies.db", sweep=SWEEP, gold=GOLD)
    maker.add(
        planned(0.1, 160, source="baseline"),
        planned(0.3, 196),
        planned(0.5, 200),
        Planned({"dropout": 0.7}, (0.1,), status="pruned"),
    )
    return read_study(maker.url, maker.name)


@pytest.fixture(scope="module")
def analysis(study: StudyResult) -> Analysis:
    return analyze(study)


def _only(text: str, found: list[str]) -> str:
    (sentence,) = (one for one in found if text in one)
    return sentence


def test_the_interval_is_wilsons(study: StudyResult, analysis: Analysis) -> None:
    found = wilson(200, SIZE)
    sentence = _only("Wilson", verdict_sentences(study, analysis, Words()))
    assert f"{found.low:.3f} to {found.high:.3f}" in sentence
    assert "400 dev examples" in sentence


def test_who_shares_the_bests_group_is_named(study: StudyResult, analysis: Analysis) -> None:
    sentence = _only("McNemar", verdict_sentences(study, analysis, Words()))
    assert sentence.startswith(
        "The best try does not differ significantly from Try 2 (exact McNemar"
    )
    assert "Holm-corrected for 2 tries" in sentence


def test_the_best_against_the_baseline_in_points(study: StudyResult, analysis: Analysis) -> None:
    sentence = _only("to the baseline", verdict_sentences(study, analysis, Words()))
    assert sentence.startswith("Its difference to the baseline, Try 1, is +10.0 points")
    assert sentence.endswith("and significant.")
    versus = analysis.comparison.trials[2].baseline_test
    assert versus is not None
    assert f"p = {format_value(versus.p_corrected, 'p')}" in sentence
    interval = versus.counts.interval
    assert f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}" in sentence


def test_the_luck_of_the_best_of_several_is_said_until_fresh_seeds_were_trained(
    study: StudyResult, analysis: Analysis
) -> None:
    assert "best of 3 tries" in _only("make confirm", verdict_sentences(study, analysis, Words()))
    assert confirmation_sentences(study, None, Words()) == []
    again = replace(analysis, confirmation=confirm(study, _again(study)))
    assert not [one for one in verdict_sentences(study, again, Words()) if "make confirm" in one]


def _again(study: StudyResult) -> StudyResult:
    """The baseline and the winner on two fresh seeds each."""
    values = {(0, 11): 0.40, (0, 12): 0.42, (2, 11): 0.45, (2, 12): 0.49}
    tries = tuple(
        replace(
            study.trials[number],
            number=place,
            params={**study.trials[number].params, "seed": seed},
            best_value=value,
        )
        for place, ((number, seed), value) in enumerate(values.items())
    )
    return replace(study, name=f"{study.name}@confirm", trials=tries)


def test_means_over_fresh_seeds_and_the_optimism_of_the_search_in_points(
    study: StudyResult,
) -> None:
    told = confirmation_sentences(study, confirm(study, _again(study)), Words())
    assert told[0].startswith("Over 2 fresh seeds, Try 3 has a mean of 0.470")
    assert told[1].startswith("Over 2 fresh seeds, Try 1 has a mean of 0.410")
    assert "+0.060" in _only("Over 2 shared seeds, Try 3 differs from the baseline", told)
    assert "the winner, Try 3, had 0.500; fresh seeds gave 0.470" in told[-2]
    assert "off by +3.0 points" in told[-2]
    assert "the best of 3 equally good tries" in told[-1]


def test_without_predictions_the_reason_stands_in_the_tests_place(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "studies.db")
    maker.add(Planned({"dropout": 0.1}, (0.5,)), Planned({"dropout": 0.3}, (0.6,)))
    found = read_study(maker.url, maker.name)
    assert (
        "The best try was not tested against others: no predictions are stored."
        in verdict_sentences(found, analyze(found), Words())
    )


def test_what_cannot_be_trained_again_is_not_said_to_be(study: StudyResult) -> None:
    imported = replace(study, sweep={"objective": {"name": "dev_accuracy"}})
    for one in (imported, replace(study, name="dropout@confirm")):
        told = build_story(one, analyze(one), Words())
        assert told is not None
        said = [
            *verdict_sentences(one, analyze(one), Words()),
            *(section.text for section in told.sections),
        ]
        assert "NAME=" not in " ".join(said)


def test_nothing_completed_says_nothing(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "studies.db")
    maker.add(Planned({"dropout": 0.1}, status="failed"))
    found = read_study(maker.url, maker.name)
    assert verdict_sentences(found, analyze(found), Words()) == []
    assert build_story(found, analyze(found), Words()) is None


def test_the_story_has_the_parts_that_people_write(study: StudyResult, analysis: Analysis) -> None:
    told = build_story(study, analysis, Words())
    assert told is not None
    assert told.title == "How Try 3 went"
    parts = {section.title: section.text for section in told.sections}
    assert list(parts) == [
        "What was changed.", "Key figures.", "Phases.", "Compared with earlier tries.",
        "Next steps.",
    ]  # fmt: skip
    assert parts["What was changed."] == (
        "Try 3 has dropout 0.5 instead of 0.1; everything else is as in the baseline."
    )
    figures = parts["Key figures."]
    peak = "Dev accuracy started at 0.250, was best at 0.500 (epoch 2) and ended at 0.450"
    assert peak in figures
    assert "Train loss went from 1.600 to 0.533" in figures
    assert "Train accuracy went from 0.400 to 0.900" in figures
    assert "train accuracy was 0.600, a gap of +0.100 to dev accuracy" in figures
    assert parts["Phases."].startswith("Rise (epochs 1 to 2)")
    assert "Overfitting (epoch 3): dev accuracy fell from 0.500 to 0.450" in parts["Phases."]
    assert parts["Compared with earlier tries."] == (
        "The best earlier try was Try 2 (dropout 0.3) with 0.490; "
        "this one differs from it by +1.0 points, which may be chance."
    )
    assert "its dropout, 0.5, is the highest value tried: search above it" in (
        parts["Next steps."].lower()
    )
    assert "make suggest NAME=dropout" in parts["Next steps."]


def test_a_best_that_is_the_baseline_says_so(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "studies.db", sweep=SWEEP, gold=GOLD)
    maker.add(planned(0.1, 200, source="baseline"), planned(0.3, 100))
    found = read_study(maker.url, maker.name)
    told = build_story(found, analyze(found), Words())
    assert told is not None
    assert told.sections[0].text == "Try 1 is the baseline itself; no change improved on it."
    assert "No earlier try completed." in [section.text for section in told.sections]


def test_of_a_loss_nothing_is_said_in_points(study: StudyResult) -> None:
    losses = replace(study, objective=Objective("dev_loss", "minimize"))
    told = build_story(losses, analyze(losses), Words())
    assert told is not None
    assert "points" not in " ".join(section.text for section in told.sections)
    found = confirmation_sentences(losses, confirm(losses, _again(losses)), Words())
    assert found
    assert "points" not in " ".join(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_gives_the_same_numbers(study: StudyResult, language: Language) -> None:
    words, english = Words(language), Words()
    analysis_here = analyze(study, language)
    again = confirm(study, _again(study))
    both = []
    for spoken in (words, english):
        told = build_story(study, analysis_here, spoken)
        assert told is not None
        sentences = [
            *verdict_sentences(study, analysis_here, spoken),
            *confirmation_sentences(study, again, spoken),
        ]
        both.append([*sentences, *(section.text for section in told.sections[1:3])])
    for here, there in zip(*both, strict=True):
        assert sorted(map(float, NUMBER.findall(here))) == sorted(map(float, NUMBER.findall(there)))


def test_the_pairs_hold_every_number_and_why_one_is_missing(
    study: StudyResult, analysis: Analysis
) -> None:
    table = pairs_table(StudyFrames(study, analysis))
    titles = [column.key for column in table.columns]
    rows = {row.number: dict(zip(titles, row.cells, strict=True)) for row in table.rows}
    assert list(rows) == [3, 2, 1], "completed tries, the best first"
    versus: PairedTest | None = analysis.comparison.trials[1].best_test
    assert versus is not None
    assert rows[2]["best_difference"] == pytest.approx(-0.01)
    assert rows[2]["best_p"] == versus.counts.p
    assert rows[2]["best_corrected"] == versus.p_corrected
    assert rows[3]["best_p"] is None
    assert rows[3]["best_reason"] == "it is the same try"
    assert rows[1]["baseline_reason"] == "it is the same try"
    assert rows[1]["best_reason"] is None
