"""The rule of the stars, and that it gives what people gave by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.results.analysis.diagnosis.symptoms.types import OverfitLevel
from trytable.results.analysis.stars import stars
from trytable.results.analysis.statistics import standard_error

LEVELS: tuple[OverfitLevel | None, ...] = (None, "none", "slight", "moderate", "severe")


@pytest.mark.parametrize(
    ("accuracy", "level", "given_by_hand"),
    [
        (0.435, "slight", 5),
        (0.432, "severe", 3),
        (0.430, "severe", 3),
        (0.419, "severe", 2),
        (0.418, "severe", 2),
    ],
)
def test_as_people_gave_them(accuracy: float, level: OverfitLevel, given_by_hand: int) -> None:
    error = standard_error(0.435, 1101)
    assert stars(0.435 - accuracy, error, None, level) == given_by_hand


def test_each_loss_costs_what_the_rule_says() -> None:
    assert stars(0, 0.01, False, "none") == 5
    assert stars(0.0049, 0.01, False, None) == 5
    assert stars(0.0051, 0.01, False, None) == 4
    assert stars(0.02, 0.01, True, None) == 2
    assert stars(0, 0.01, False, "moderate") == 4
    assert stars(1, 0.01, True, "severe") == 1
    assert stars(-0.2, 0.01, False, None) == 5, "more accurate than the best by another objective"


@given(
    st.floats(0, 1), st.floats(0.001, 0.1), st.booleans(), st.sampled_from(LEVELS), st.floats(0, 1)
)
def test_more_to_blame_is_never_more_stars(
    shortfall: float, error: float, apart: bool, level: OverfitLevel | None, more: float
) -> None:
    found = stars(shortfall, error, apart, level)
    assert 1 <= found <= 5
    assert stars(shortfall + more, error, apart, level) <= found
    assert stars(shortfall, error, True, level) <= found
    assert stars(shortfall, error, apart, "severe") <= found
