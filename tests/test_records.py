"""The leaf that every room imports: it is light, and it decides which value is better."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from trytable.records import DEFAULT_OBJECTIVE, Objective, finite_or_none, is_finite, is_number

LOSS = Objective("dev_loss", "minimize")

PROGRAM = """
import sys
before = set(sys.modules)
def imported():
    tops = {name.partition('.')[0] for name in sys.modules.keys() - before}
    return sorted(tops - set(sys.stdlib_module_names))
import trytable
print(imported())
import trytable.records
print(imported())
"""


def test_the_leaf_needs_the_standard_library_alone() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert result.stdout.split("\n")[:2] == ["['trytable']", "['trytable']"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_the_best_value_is_the_first_that_no_other_beats(values: list[float]) -> None:
    for objective, choose in ((DEFAULT_OBJECTIVE, max), (LOSS, min)):
        best = objective.best(range(len(values)), lambda index: values[index])
        assert best == values.index(choose(values))
        assert not any(objective.is_better(value, values[best]) for value in values)


def test_any_value_beats_none() -> None:
    assert DEFAULT_OBJECTIVE.is_better(0.0, None)
    assert LOSS.gain(0.5, over=0.75) == 0.25


def test_a_stored_objective_is_checked() -> None:
    adapter = TypeAdapter(Objective)
    assert adapter.validate_python({}) == DEFAULT_OBJECTIVE
    for wrong in ({"name": "x", "way": "up"}, {"direction": "up"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_what_is_a_number_and_finite() -> None:
    assert [is_number(value) for value in (1, 1.5, True, "1", None)] == [True, True, *[False] * 3]
    assert is_finite(10**400)
    assert not is_finite(float("nan"))
    assert [finite_or_none(value) for value in (1.0, float("inf"), None)] == [1.0, None, None]
