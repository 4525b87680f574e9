"""The learning rate in the report is the one that the optimizer used."""

from dataclasses import replace
from typing import Any

from results.plots import figures
from results.rows import StepRow
from results.series import rate_curves
from results.study import read_study
from tests.results.studies import Maker


def step(number: int, lr: float | None) -> StepRow:
    return StepRow("u", 1, number, 1, 1.0, lr, 1.0, 1.0)


def test_every_course_of_the_rate_is_drawn_once_and_as_it_was(full: Maker) -> None:
    study = read_study(full.url, full.name)
    first, second, third, *rest = study.tries
    courses: list[Any] = [
        [(1, 1e-5), (2, 2e-5), (3, 1e-5)],
        [(1, 1e-5), (2, 2e-5), (3, 1e-5)],
        [(1, 3e-4), (2, None), (3, 1e-4)],
    ]
    tries = tuple(
        replace(one, steps=tuple(step(*row) for row in course))
        for one, course in zip((first, second, third), courses, strict=True)
    )
    study = replace(study, tries=(*tries, *rest))
    found = {curve.steps: curve.rates for curve in rate_curves(study)}
    assert found == {(1, 2, 3): (1e-5, 2e-5, 1e-5), (1, 3): (3e-4, 1e-4)}
    drawn = figures(study)["plot-rates"].data
    assert sorted(list(trace.y) for trace in drawn) == [[1e-5, 2e-5, 1e-5], [3e-4, 1e-4]]


def test_a_study_without_steps_has_no_such_picture(full: Maker) -> None:
    assert "plot-rates" not in figures(read_study(full.url, full.name))
