"""The learning rate in the report is the one that the optimizer used."""

from dataclasses import replace
from typing import Any

from tests.results.studies import Maker, report_content
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import StepRow
from trytable.results.storage.study import StudyResult


def step(number: int, lr: float | None) -> StepRow:
    return StepRow("u", 1, number, 1, 1.0, lr, 1.0, 1.0)


def test_every_course_of_the_rate_is_drawn_once_and_as_it_was(full: Maker) -> None:
    study = read_study(full.url, full.name)
    first, second, third, *rest = study.trials
    courses: list[Any] = [
        [(1, 1e-5), (2, 2e-5), (3, 1e-5)],
        [(1, 1e-5), (2, 2e-5), (3, 1e-5)],
        [(1, 3e-4), (2, None), (3, 1e-4)],
    ]
    tries = tuple(
        replace(one, steps=tuple(step(*row) for row in course))
        for one, course in zip((first, second, third), courses, strict=True)
    )
    study = replace(study, trials=(*tries, *rest))
    assert _courses(study) == [
        ("Try 2: dropout 0.3", (1, 2, 3), (1e-5, 2e-5, 1e-5)),
        ("Try 3: dropout 0.7", (1, 3), (3e-4, 1e-4)),
    ]


def test_a_long_course_keeps_its_swings(full: Maker) -> None:
    study = read_study(full.url, full.name)
    first, *rest = study.trials
    course = tuple(step(n, 1e-3 if n == 7777 else 1e-4 * n / 10_000) for n in range(1, 10_001))
    study = replace(study, trials=(replace(first, steps=course), *rest))
    ((_, steps, rates),) = _courses(study)
    assert len(steps) <= 402
    assert list(steps) == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, 10_000)
    assert dict(zip(steps, rates, strict=True))[7777] == 1e-3


def test_a_study_without_steps_has_no_such_plot(full: Maker) -> None:
    names = [one.name for one in report_content(read_study(full.url, full.name)).plots]
    assert "curves" in names
    assert "rates" not in names


def _courses(study: StudyResult) -> list[tuple[str, tuple[float, ...], tuple[float | None, ...]]]:
    picture = next(one for one in report_content(study).plots if one.name == "rates")
    curves = [curve for layer in picture.layers for curve in layer.curves]  # type: ignore[union-attr]  # all are lines
    return sorted((one.hover, one.x, one.y) for one in curves)
