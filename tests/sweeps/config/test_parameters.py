"""What is swept, around which baseline, with which known tries; and the points of a grid."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sweeps.conftest import Read, Refuse
from trytable.sweeps.config.loader import Values, grid_points
from trytable.sweeps.config.schema import Range


def test_listed_values_have_the_knobs_type(read: Read) -> None:
    sweep = read(
        "parameters: {dropout: [0, 0.1], batch_size: [8, 16], freeze: [none, 2], lr: [1e-5, 1]}"
    )
    assert sweep.parameters == {
        "dropout": Values("float", (0.0, 0.1)),
        "batch_size": Values("int", (8, 16)),
        "freeze": Values("choice", ("none", 2)),
        "lr": Values("float", (1e-5, 1.0)),
    }
    assert [type(point["dropout"]) for point in grid_points(sweep)] == [float] * 16


def test_a_list_of_layer_numbers_alone_stays_a_choice(read: Read) -> None:
    sweep = read("parameters: {freeze: [1, 2, 3]}")
    assert sweep.parameters["freeze"] == Values("choice", (1, 2, 3))


def test_ranges_have_the_knobs_type(read: Read) -> None:
    sweep = read(
        "baseline: {epochs: 4, weight_decay: 0}\n"
        "parameters: {dropout: {low: 0, high: 0.5}, batch_size: {low: 8, high: 64, log: true},"
        " epochs: {low: 2, high: 6, step: 2}, weight_decay: {low: 0, high: 1, step: 0.5}}",
        sampler="random",
        trials=4,
    )
    assert sweep.parameters == {
        "dropout": Range(0.0, 0.5, False, None, False),
        "batch_size": Range(8, 64, True, None, True),
        "epochs": Range(2, 6, False, 2, True),
        "weight_decay": Range(0.0, 1.0, False, 0.5, False),
    }
    assert [one.largest for one in sweep.parameters.values()] == [0.5, 64, 6, 1.0]
    assert isinstance(sweep.parameters["dropout"].largest, float)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (
            "drop_out: [0.1]",
            "drop_out: 'drop_out' is not a knob of trainer finetune. Did you mean dropout?",
        ),
        ("dropout: []", "dropout: the list is empty. Allowed: a number at least 0 and below 1."),
        ("dropout: [0.1, 1.0]", "dropout[1]: 1.0 is not allowed. Allowed: a number at least 0 an"),
        ("dropout: [0.1, '0.2']", "dropout[1]: '0.2' is not allowed. Allowed: a number"),
        ("dropout: [true]", "dropout[0]: true is not allowed. Allowed: a number"),
        ("dropout: [.nan]", "dropout[0]: nan is not allowed. Allowed: a number"),
        ("dropout: [[0.1]]", "dropout[0]: a list is not allowed. Allowed: a number"),
        ("dropout: [~]", "dropout[0]: nothing is not allowed. Allowed: a number"),
        ("dropout: [0, 0.1, 0.0]", "dropout[2]: 0.0 is already in the list."),
        ("class_weights: [none, [1.0, 2.0]]", "class_weights[1]: a list cannot be one of the val"),
        (
            "freeze: [encoder]",
            "freeze[0]: 'encoder' is not allowed. Allowed: none, embed, half, full or a whole "
            "number at least 0 or patterns of weights' names.",
        ),
        ("head_widths: [512-]", "head_widths[0]: '512-' is not allowed. Allowed: a whole number"),
        ("dropout: 0.1", "dropout: 0.1 is neither a list of values ([a, b]) nor a range ({low: a"),
        ("max_gradient_norm: [.inf]", "max_gradient_norm[0]: inf is not finite. Allowed: a number"),
        ("epochs: [2.0]", "epochs[0]: 2.0 is not allowed. Allowed: a whole number at least 1"),
        ("freeze: [none, haf]", "freeze[1]: 'haf' is not allowed. Did you mean half? Allowed: no"),
        ("freeze: [-1]", "freeze[0]: -1 is not allowed. Allowed: none, embed, half, full or a wh"),
        ("freeze: {low: 1, high: 3}", "freeze: only numbers have ranges; give a list of none, em"),
        ("lr: {low: 1e-5}", "lr.high: is missing. low, high must be given."),
        (
            "lr: {low: 0.1, high: 1, hgh: 1}",
            "lr.hgh: 'hgh' is not a valid key. Did you mean high? Allowed: l",
        ),
        ("lr: {low: a, high: 1}", "lr.low: 'a' is not allowed. Allowed: a number."),
        ("lr: {low: 1e-5, high: 1, log: 1}", "lr.log: 1 is not allowed. Allowed: true or false."),
        ("lr: {low: 1e-5, high: 2}", "lr.high: 2 is not allowed. Allowed: a number above 0 and a"),
        ("lr: {low: 0, high: 1}", "lr.low: 0 is not allowed. Allowed: a number above 0 and at mo"),
        ("lr: {low: 1e-3, high: 1e-5}", "lr: low 0.001 must be below high 1e-05."),
        ("lr: {low: 0.1, high: 0.1}", "lr: low 0.1 must be below high 0.1."),
        (
            "dropout: {low: 0, high: 0.5, log: true}",
            "dropout.low: 0.0 has no logarithm. Allowed with log: a number above 0.",
        ),
        (
            "lr: {low: 0.1, high: 0.3, log: true, step: 0.1}",
            "lr.step: log and step exclude each other: equal steps are not equal factors.",
        ),
        ("lr: {low: 0.1, high: 0.3, step: 0}", "lr.step: 0 is not allowed. Allowed: a number abo"),
        (
            "lr: {low: 0.1, high: 0.35, step: 0.1}",
            "lr.step: steps of 0.1 from 0.1 lead to 0.3, not to high 0.35.",
        ),
        ("lr: {low: 0.1, high: 0.3, step: 1}", "lr.step: 1.0 makes 0.2 steps. Allowed: 1 to 1000"),
        ("lr: {low: 0.1, high: 0.3, step: 1e-300}", "lr.step: 1e-300 makes 2e+299 steps. Allo"),
        ("epochs: {low: 1, high: 3, step: 0.5}", "epochs.step: 0.5 is not allowed. Allowed: a who"),
        ("lr: {low: 0.1, high: 0.3}", "lr: a grid needs values. Allowed: a list, or a range with"),
    ],
)
def test_a_mistaken_parameter_is_explained(parameter: str, message: str, refuse: Refuse) -> None:
    name = parameter.partition(":")[0]
    text = f"baseline: {{lr: 0.1, dropout: 0.1}}\nparameters:\n  {parameter}\n"
    said = refuse(text)
    assert said[0].startswith(f"mine.yaml:3: parameters.{message}"), said
    assert name in said[0]


@pytest.mark.parametrize(
    ("swept", "baseline", "message"),
    [
        ("{low: 1e-5, high: 1e-4, log: true}", "2e-4", "0.0002 is outside the swept range. Allo"),
        ("{low: 0.1, high: 0.5, step: 0.2}", "0.2", "0.2 is outside the swept range. Allowed: 0."),
    ],
)
def test_the_baseline_lies_in_the_range(
    swept: str, baseline: str, message: str, refuse: Refuse
) -> None:
    text = (
        f"trials: 3\nsampler: random\nbaseline: {{lr: {baseline}}}\nparameters: {{lr: {swept}}}\n"
    )
    (said,) = refuse(text)
    assert said.startswith(f"mine.yaml:3: baseline.lr: {message}")
    assert said.endswith("as parameters.lr says.")


def test_a_default_outside_the_range_is_named_at_the_baseline(refuse: Refuse) -> None:
    (said,) = refuse("trials: 3\nsampler: random\nparameters: {epochs: {low: 5, high: 9}}\n")
    assert said.startswith("mine.yaml:1: baseline.epochs: 3 is outside the swept range.")


def test_off_a_list_the_baseline_is_one_more_value(read: Read) -> None:
    sweep = read("baseline: {dropout: 0.2}\nparameters: {dropout: [0.0, 0.1]}\n")
    assert sweep.baseline["dropout"] == 0.2
    assert grid_points(sweep) == ({"dropout": 0.0}, {"dropout": 0.1})


def test_known_tries_take_the_rest_from_the_baseline(read: Read) -> None:
    sweep = read(
        "baseline: {lr: 1e-4}\nparameters: {lr: [1e-5, 1e-4], dropout: [0, 0.1]}\n"
        "enqueue: [{dropout: 0}, {lr: 1e-3}]\n"
    )
    assert sweep.enqueue == ({"lr": 1e-4, "dropout": 0.0}, {"lr": 1e-3, "dropout": 0.1})


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ("{dropout: 2}", "[0].dropout: 2 is not allowed. Allowed: a number at least 0 and below 1"),
        (
            "{drpout: 0}",
            "[0].drpout: 'drpout' is not a knob of trainer finetune. Did you mean dropou",
        ),
        ("{epochs: 2}", "[0].epochs: 'epochs' is not a swept parameter. Allowed: dropout, lr."),
        ("{lr: 0.9}", "[0].lr: 0.9 is outside the swept range. Allowed: 1e-05 to 0.001, as"),
        ("{lr: 1e-4}, {lr: 1e-4}", "[1]: is the same try as enqueue[0]."),
    ],
)
def test_a_mistaken_known_try_is_explained(known: str, message: str, refuse: Refuse) -> None:
    text = (
        "parameters: {dropout: [0, 0.1], lr: {low: 1e-5, high: 1e-3}}\n"
        f"trials: 9\nsampler: tpe\nenqueue: [{known}]\n"
    )
    (said,) = refuse(text)
    assert said.startswith(f"mine.yaml:4: enqueue{message}")


def test_a_grid_runs_through_all_points_the_baselines_first(read: Read) -> None:
    sweep = read(
        "baseline: {dropout: 0.1, freeze: half}\n"
        "parameters: {dropout: [0, 0.1], freeze: [none, half]}\n"
    )
    assert grid_points(sweep) == (
        {"dropout": 0.1, "freeze": "half"},
        {"dropout": 0.0, "freeze": "none"},
        {"dropout": 0.0, "freeze": "half"},
        {"dropout": 0.1, "freeze": "none"},
    )


def test_a_range_with_a_step_is_a_grid_of_the_decimals_written(read: Read) -> None:
    sweep = read("parameters: {dropout: {low: 0, high: 0.3, step: 0.1}}")
    assert [point["dropout"] for point in grid_points(sweep)] == [0.1, 0.0, 0.2, 0.3]


def test_a_range_without_a_step_has_no_grid(read: Read) -> None:
    sweep = read("parameters: {dropout: {low: 0, high: 0.3}}", sampler="tpe", trials=3)
    assert grid_points(sweep) == ()


def test_a_grid_too_large_to_run_is_refused(refuse: Refuse) -> None:
    steps = "{low: 0, high: 0.9, step: 0.0009}"
    (said,) = refuse(f"parameters: {{dropout: {steps}, weight_decay: {steps}}}", lr=1e-4,
                     baseline__dropout=0, baseline__weight_decay=0)  # fmt: skip
    assert said == ("mine.yaml:1: parameters: the grid has 1002001 points. Allowed: at most 10000.")


dropouts = st.lists(st.integers(0, 9).map(lambda n: n / 10), min_size=1, max_size=4, unique=True)
sizes = st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dropouts, sizes, st.integers(0, 9).map(lambda n: n / 10))
def test_a_grid_has_each_point_exactly_once(
    read: Read, dropout: list[float], batch_size: list[int], baseline: float
) -> None:
    sweep = read(
        f"baseline: {{dropout: {baseline}, batch_size: {batch_size[-1]}}}\n"
        f"parameters: {{dropout: {dropout}, batch_size: {batch_size}}}\n"
    )
    points = [(point["dropout"], point["batch_size"]) for point in grid_points(sweep)]
    assert sorted(points) == sorted(itertools.product(dropout, batch_size))
    if baseline in dropout:
        assert points[0] == (baseline, batch_size[-1])


@given(st.integers(-50, 50), st.integers(1, 40), st.integers(1, 99))
def test_a_stepped_range_holds_its_points_and_no_others(low: int, steps: int, step: int) -> None:
    made = Range(low / 100, (low + steps * step) / 100, step=step / 100)
    assert made.values == tuple((low + i * step) / 100 for i in range(steps + 1))
    assert all(made.contains(point) for point in made.values)
    assert not made.contains(made.low + step / 200)
    assert not made.contains(made.high + step / 100)


def test_a_list_in_the_baseline_of_what_is_swept_is_explained(refuse: Refuse) -> None:
    (said,) = refuse(
        "baseline: {class_weights: [1.0, 2.0]}\nparameters: {class_weights: [none, balanced]}"
    )
    assert "baseline.class_weights: a list cannot be one of the values swept" in said


def test_patterns_and_widths_are_swept_as_words(read: Read) -> None:
    sweep = read("parameters: {freeze: [none, 'embeddings.* *.bias'], head_widths: [64, 512-256]}")
    assert sweep.parameters == {
        "freeze": Values("choice", ("none", "embeddings.* *.bias")),
        "head_widths": Values("choice", (64, "512-256")),
    }
