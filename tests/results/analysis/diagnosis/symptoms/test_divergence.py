"""divergence, non_finite, exploding_weights, and what the layers tell."""

from dataclasses import replace

import pytest

from tests.results.analysis.diagnosis.curves import (
    ALL_OF_FIVE,
    FIVE,
    Rows,
    step,
    steps_of,
    trial_of,
)
from trytable.results.analysis.diagnosis.symptoms.divergence import (
    divergence,
    exploding_weights,
    non_finite,
)
from trytable.results.analysis.diagnosis.symptoms.sanity import label_range
from trytable.results.analysis.diagnosis.symptoms.trainable import dead_gradients, frozen_too_much
from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial, Task

FOUR = Task(classes=4)
SWINGING = DiagnosedTrial(steps=(step(100, 1.6831), step(500, 2.8455), step(1000, 3.1209)))
"""A rate of 1e-4 with batches of 16."""
STEADY = DiagnosedTrial(steps=(step(100, 1.6831), step(500, 1.4320), step(1000, 1.2155)))
"""The same with 2e-5."""


def test_a_loss_that_doubles_over_a_thousand_steps() -> None:
    found = divergence(SWINGING, FOUR)
    assert found is not None
    assert found.variant == "rose"
    assert found.evidence["ratio"] == pytest.approx(3.1209 / 1.6831)
    assert found.advice[0].parameter == "lr"
    assert divergence(STEADY, FOUR) is None


def test_a_loss_that_falls_back_to_guessing() -> None:
    falling = [1.6 - 0.02 * i for i in range(50)]
    found = divergence(DiagnosedTrial(steps=tuple(steps_of([*falling, *[1.62] * 20]))), FIVE)
    assert found is not None
    assert found.variant == "fell_back"
    assert found.evidence["lowest_loss"] == pytest.approx(0.68)
    assert divergence(DiagnosedTrial(steps=tuple(steps_of([*falling, 1.62]))), FIVE) is None


@pytest.mark.parametrize("rows", ALL_OF_FIVE)
def test_real_courses_do_not_diverge_even_where_a_tiny_loss_grows_tenfold(rows: Rows) -> None:
    assert divergence(trial_of(rows), FIVE) is None


def test_a_loss_that_never_came_is_not_finite() -> None:
    trial = DiagnosedTrial(steps=(step(10, 1.4, lr=1e-3), step(20, None, lr=2e-3)))
    found = non_finite(trial)
    assert found is not None
    assert (found.evidence["step"], found.evidence["what"]) == (20, "loss")
    assert (found.evidence["loss_before"], found.evidence["lr"]) == (1.4, 2e-3)
    assert non_finite(STEADY) is None


def test_weights_ten_times_their_start() -> None:
    def trial(last: float) -> DiagnosedTrial:
        norms = [0.0312, 0.0324, last]
        return DiagnosedTrial(
            steps=tuple(
                step(100 * i, 5.9, weight_norm=80.0, layer_weights={"head": one, "layer.0": 8.0})
                for i, one in enumerate(norms, start=1)
            )
        )

    assert exploding_weights(trial(0.31)) is None
    found = exploding_weights(trial(0.3121))
    assert found is not None
    assert (found.evidence["block"], found.evidence["step"]) == ("head", 300)
    assert found.evidence["ratio"] == pytest.approx(0.3121 / 0.0312)


def test_blocks_without_any_gradient() -> None:
    cut = {"head": 0.0847, "layer.1": 0.02, "layer.0": 0.0}
    steps = (step(1, layer_gradients=cut), step(2), step(51, layer_gradients=cut))
    found = dead_gradients(DiagnosedTrial(steps=steps))
    assert found is not None
    assert (found.evidence["blocks"], found.evidence["trained"]) == ("layer.0", 3)
    assert found.evidence["steps_measured"] == 2
    awake = (*steps, step(101, layer_gradients={**cut, "layer.0": 1e-3}))
    assert dead_gradients(DiagnosedTrial(steps=awake)) is None
    assert dead_gradients(DiagnosedTrial(steps=(step(1),))) is None


def test_260_thousand_of_168_million_parameters() -> None:
    trial = DiagnosedTrial(
        parameters=168_000_000, trainable_parameters=260_000, settings={"freeze": 9}
    )
    found = frozen_too_much(trial, learns=False)
    assert found is not None
    assert found.severity == "error"
    assert found.evidence["share"] == pytest.approx(0.00155, abs=1e-5)
    assert [(one.parameter, one.direction) for one in found.advice] == [("freeze", "lower")]
    linear = frozen_too_much(trial, learns=True)
    assert linear is not None
    assert linear.severity == "warning"
    adapters = replace(trial, settings={"freeze": "none", "lora_rank": 8})
    assert frozen_too_much(adapters, learns=True) is None
    assert frozen_too_much(adapters, learns=False) is not None
    # Of a base model, its upper half.
    half = replace(trial, parameters=109_000_000, trainable_parameters=54_000_000)
    assert frozen_too_much(half, learns=True) is None


def test_labels_beyond_the_classes() -> None:
    task = Task(classes=400, lowest_label=0, highest_label=425)
    found = label_range(DiagnosedTrial(), task)
    assert found is not None
    assert (found.evidence["highest"], found.evidence["last_class"]) == (425, 399)
    assert label_range(DiagnosedTrial(), replace(task, highest_label=399)) is None


def test_labels_that_the_loss_refused() -> None:
    trial = DiagnosedTrial(status="failed", messages=("error: Target 425 is out of bounds.",))
    found = label_range(trial, Task(classes=400))
    assert found is not None
    assert (found.evidence["split"], found.evidence["highest"]) == ("train", 425)
