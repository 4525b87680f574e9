"""When a sweep goes on in its study, and when it does not."""

from typing import Any

from trytable.orchestrator.study.compatibility import matching_study_name, sweep_differences
from trytable.results.storage.rows import StudyRow

SWEEP: dict[str, Any] = {
    "trainer": "finetune",
    "model": "minilm",
    "data": {"name": "docstrings"},
    "seed": 1,
    "trials": 3,
    "baseline": {"lr": 1e-3, "epochs": 3},
    "parameters": {
        "dropout": {"kind": "float", "values": [0.1, 0.2]},
        "freeze": {"kind": "choice", "values": ["none", 1]},
    },
    "sampler": {"name": "grid"},
}


def found(now: dict[str, Any], facts: dict[str, str] | None = None) -> list[str]:
    return sweep_differences(
        SWEEP, {**SWEEP, **now}, {"data_hash": "a"}, facts or {"data_hash": "a"}
    )


def test_budgets_samplers_and_grid_values_may_change() -> None:
    grown = {**SWEEP["parameters"], "dropout": {"kind": "float", "values": [0.1, 0.2, 0.3]}}
    assert found({"trials": 9, "sampler": {"name": "random"}, "parameters": grown}) == []


def test_every_other_difference_is_told() -> None:
    choices = {**SWEEP["parameters"], "freeze": {"kind": "choice", "values": ["none"]}}
    assert found({"baseline": {"lr": 1e-4, "epochs": 3}, "seed": 2, "parameters": choices}) == [
        "baseline.lr: 0.001 then, 0.0001 now",
        "parameters.freeze.values: ['none', 1] then, ['none'] now",
        "seed: 1 then, 2 now",
    ]
    assert "more" in str(found({"parameters": {**SWEEP["parameters"], "more": {"kind": "int"}}}))
    assert found({}, {"data_hash": "b"}) == [
        "the content of the data changed: docstrings then, docstrings now"
    ]


def test_a_study_is_of_one_data_set_and_one_model() -> None:
    studies = [
        StudyRow(name, name, {}, {"data_hash": data, "model_hash": model})
        for name, data, model in (("s", "a", "m"), ("s@2", "b", "m"), ("t", "c", "m"))
    ]

    def fits(data: str, model: str) -> str:
        return matching_study_name("s", {"data_hash": data, "model_hash": model}, studies)

    assert [fits("a", "m"), fits("b", "m"), fits("c", "m"), fits("a", "n")] == [
        "s",
        "s@2",
        "s@3",
        "s@3",
    ]
