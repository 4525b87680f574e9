"""A repetition against its record: the same to the last bit, or where it parted, and why."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.results.analysis import reproducibility
from trytable.results.analysis.reproducibility import (
    FirstDifference,
    Measurements,
    Reproduction,
    TrainingConditions,
)
from trytable.results.storage.rows import AttemptRow, EpochRow, FindingRow, StepRow

NOW = TrainingConditions((1,), ("cpu",), ("fp32",), ("c" * 64,), {"torch": "2.13.0"})


def step(number: int, loss: float, attempt: int = 1) -> StepRow:
    return StepRow("u", attempt, number, 1, loss, 1e-3, 1.0, None)


def epoch(number: int, dev_loss: float, attempt: int = 1) -> EpochRow:
    return EpochRow(
        "u",
        attempt,
        number,
        9,
        train_loss=0.7,
        running_accuracy=0.5,
        probe_accuracy=0.5,
        dev_loss=dev_loss,
        dev_accuracy=0.5,
        dev_macro_f1=0.5,
        seconds=number / 7,
    )


def trained(shift: float = 0.0, labels: tuple[int, ...] = (0, 1, 1)) -> Measurements:
    return reproducibility.collect_measurements(
        [step(n, 1 / n) for n in (1, 2, 3)],
        [epoch(1, 0.6), epoch(2, 0.5 + shift)],
        {"dev": labels},
    )


def compared(
    recorded: Measurements, again: Measurements, obstacles: tuple[str, ...] = ()
) -> Reproduction:
    return Reproduction(
        study="lr",
        label="Try 3",
        recorded_end="completed",
        repeated_end="completed",
        recorded=recorded,
        repeated=again,
        reasons=obstacles,
        difference=reproducibility.first_difference(recorded, again),
    )


def test_the_same() -> None:
    found = compared(trained(), trained())
    assert found.is_identical
    told = "The same to the last bit: 2 epochs, 3 logged steps, 3 predictions."
    assert reproducibility.verdict(found) == told
    assert all(one["same"] for one in reproducibility.to_document(found)["epochs"])


def test_one_bit_is_seen() -> None:
    found = compared(trained(), trained(shift=math.ulp(0.5)))
    assert found.difference == FirstDifference("epoch 2", "dev_loss", 0.5, 0.5 + math.ulp(0.5))
    assert "The first difference is at epoch 2: dev_loss 0.5 then, 0.5000000000000001 now." in (
        reproducibility.verdict(found)
    )
    assert "the same bits were expected" in reproducibility.verdict(found)
    assert [one["same"] for one in reproducibility.to_document(found)["epochs"]] == [True, False]


def test_a_step_is_told_before_its_epoch_and_a_prediction_last() -> None:
    other = reproducibility.collect_measurements([step(1, 1.0), step(2, 0.4)], [epoch(1, 0.9)], {})
    parting = reproducibility.first_difference(trained(), other)
    assert parting == FirstDifference("step 2", "loss", 0.5, 0.4)
    parting = reproducibility.first_difference(trained(), trained(labels=(0, 1, 0)))
    assert parting == FirstDifference("dev predictions", "text 3", 1, 0)
    assert reproducibility.first_difference(trained(), trained(labels=(0,))) == FirstDifference(
        "dev predictions", "number", 3, 1
    )


def test_what_did_not_come_again_is_a_difference() -> None:
    found = compared(
        trained(), reproducibility.collect_measurements([step(n, 1 / n) for n in (1, 2, 3)], [], {})
    )
    assert found.difference == FirstDifference("epoch 1", "all values", "measured", "missing")
    assert [one["again"] for one in reproducibility.to_document(found)["epochs"]] == [{}, {}]


def test_the_repetition_may_go_on_where_the_try_was_stopped() -> None:
    recorded = reproducibility.collect_measurements([step(1, 1.0)], [epoch(1, 0.6)], {})
    assert compared(recorded, trained()).is_identical


def test_nothing_to_compare_is_not_the_same() -> None:
    found = compared(reproducibility.collect_measurements([], [], {}), trained())
    assert not found.is_identical
    assert "nothing to compare" in reproducibility.verdict(found)


def test_the_last_attempts_numbers_count() -> None:
    rows = [epoch(1, 0.9, attempt=1), epoch(1, 0.6, attempt=2), epoch(2, 0.5, attempt=2)]
    assert reproducibility.collect_measurements([], rows, {}).epochs == trained().epochs


def test_what_was_never_recorded_cannot_differ() -> None:
    old = reproducibility.collect_measurements([replace(step(1, 1.0), gradient_norm=None)], [], {})
    assert reproducibility.first_difference(old, trained()) is None
    assert reproducibility.first_difference(trained(), old) == FirstDifference(
        "step 1", "gradient_norm", 1.0, None
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threads": (2, 1)}, "CPU threads: 2 and 1 then, 1 now"),
        ({"devices": ("GPU-1",)}, "device: GPU-1 then, cpu now"),
        ({"precisions": ("bf16",)}, "precision: bf16 then, fp32 now"),
        ({"code_hashes": ("d" * 64,)}, f"trainer's sha256: {'d' * 12} then, {'c' * 12} now"),
        ({"code_hashes": ()}, f"trainer's sha256: unknown then, {'c' * 12} now"),
        ({"versions": {"torch": "2.12.0"}}, "torch: 2.12.0 then, 2.13.0 now"),
        ({"versions": {"peft": "1.0"}}, "peft: 1.0 then, none now"),
    ],
)
def test_each_obstacle_is_named(changes: dict[str, Any], told: str) -> None:
    assert reproducibility.reasons_to_differ(NOW, NOW) == ()
    assert reproducibility.reasons_to_differ(replace(NOW, **changes), NOW) == (told,)
    found = compared(trained(), trained(shift=0.1), (told,))
    assert f"were not expected: {told}." in reproducibility.verdict(found)
    found = compared(trained(), trained(), (told,))
    assert f"That was not expected: {told}." in reproducibility.verdict(found)


def test_a_gpu_and_memory_that_ran_out_are_obstacles() -> None:
    (told,) = reproducibility.reasons_to_differ(
        replace(NOW, devices=("GPU-1",)), replace(NOW, devices=("GPU-1",))
    )
    assert "no fixed order" in told
    out = replace(NOW, ran_out_of_memory=True)
    (told,) = reproducibility.reasons_to_differ(out, NOW)
    assert told.startswith("memory ran out then, and")


def test_circumstances_are_those_of_all_attempts_that_began() -> None:
    attempts = [
        AttemptRow("u", 1, "1", "cpu", 2, 0.0, precision="fp32", code_hash="a"),
        AttemptRow("u", 2, "1", "cpu", 4, 0.0),
        AttemptRow("u", 3, "1", "cpu", 1, 0.0, precision="fp32", code_hash="a"),
    ]
    findings = [FindingRow("u", 1, "oom_retry", "warning", "", {})]
    found = reproducibility.training_conditions(attempts, findings, {"torch": "2"})
    assert found == TrainingConditions((2, 1), ("cpu",), ("fp32",), ("a",), {"torch": "2"}, True)


@given(
    st.dictionaries(st.integers(1, 5), st.floats(allow_nan=False)),
    st.dictionaries(st.integers(1, 5), st.floats(allow_nan=False)),
)
def test_the_first_parting_is_the_first(then: dict[int, float], now: dict[int, float]) -> None:
    found = reproducibility.first_difference(*(_steps(values) for values in (then, now)))
    parted = [number for number in sorted(then) if then[number] != now.get(number)]
    assert (found.place if found else None) == (f"step {parted[0]}" if parted else None)


def _steps(values: dict[int, float]) -> Measurements:
    return reproducibility.collect_measurements(
        [step(number, loss) for number, loss in values.items()], [], {}
    )


def test_the_documents_say_the_same() -> None:
    found = replace(compared(trained(), trained(shift=0.1)), recorded_end="failed: <b>|x\ny")
    document = json.loads(json.dumps(reproducibility.to_document(found)))
    assert document["first_difference"]["place"] == "epoch 2"
    assert document["epochs"][1]["recorded"]["dev_loss"] == 0.5
    text = reproducibility.to_markdown(found)
    assert r"failed: &lt;b&gt;\|x y. Now: completed." in text
    assert text.count("| 2 | ") == 2
    assert "| 0.6 | 0.5 | 0.5 | no |" in text
