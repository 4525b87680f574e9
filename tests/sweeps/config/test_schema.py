"""The file's own keys: form, defaults, samplers, pruners, budgets."""

import json

import pytest

from tests.sweeps.conftest import Read, Refuse
from trytable.records import DataSource, Objective
from trytable.sweeps.config.loader import SweepError
from trytable.sweeps.config.schema import EarlyStopping

PARAMETERS = "parameters: {dropout: [0.0, 0.1]}\n"


def test_a_short_file_gets_defaults(read: Read) -> None:
    sweep = read(PARAMETERS)
    assert (sweep.name, sweep.trainer, sweep.model) == ("mine", "finetune", "minilm")
    assert sweep.data == DataSource("docstrings", "text", None, "label")
    assert (sweep.seed, sweep.attempts, sweep.trials, sweep.hours) == (42, 3, None, None)
    assert (sweep.sampler.name, sweep.pruner.name, sweep.enqueue) == ("grid", "none", ())


@pytest.mark.parametrize(
    ("line", "gate"),
    [
        ("", EarlyStopping(kinds=("no_learning",))),
        ("gate: none\n", EarlyStopping(kinds=())),
        ("gate: divergence\n", EarlyStopping(kinds=("divergence",))),
        ("gate: [no_learning, non_finite]\n", EarlyStopping(kinds=("no_learning", "non_finite"))),
        ("gate: {window_steps: 500}\n", EarlyStopping(window_steps=500)),
    ],
)
def test_the_gate_may_be_said_in_short(line: str, gate: EarlyStopping, read: Read) -> None:
    assert read(PARAMETERS + line).gate == gate
    assert read(PARAMETERS + line, gate="none").gate.kinds == ()


def test_knobs_that_are_not_fixed_take_the_trainers_defaults(read: Read) -> None:
    baseline = read(PARAMETERS + "baseline: {lr: 1e-5, epochs: 7}\n").baseline
    assert (baseline["lr"], baseline["epochs"]) == (1e-5, 7)
    assert (baseline["dropout"], baseline["schedule"]) == (0.1, "linear")


def test_every_key_reaches_the_ledger(read: Read) -> None:
    text = """
description: all of it
trainer: finetune
model: ./my model
data: {name: ./texts, text: sentence, text_pair: other, label: gold}
seed: 7
baseline: {lr: 1e-4}
parameters: {lr: {low: 1e-5, high: 1e-3, log: true}, freeze: [none, 2]}
sampler: {name: tpe, startup_trials: 4}
pruner: {name: median, startup_trials: 2, warmup_epochs: 1, patience: 3}
trials: 20
hours: 1.5
attempts: 2
gpu_failures: 5
max_per_gpu: 4
silence_minutes: 7.5
enqueue: [{freeze: 2}]
gate: {kinds: [no_learning, non_finite], window_steps: 500, tolerance: 0.02}
"""
    plain = json.loads(json.dumps(read(text).to_json()))
    baseline = plain.pop("baseline")
    assert baseline["lr"] == 1e-4
    assert plain == {
        "name": "mine",
        "description": "all of it",
        "trainer": "finetune",
        "model": "./my model",
        "data": {"name": "./texts", "text": "sentence", "text_pair": "other", "label": "gold"},
        "seed": 7,
        "parameters": {
            "lr": {
                "kind": "range", "low": 1e-5, "high": 1e-3,
                "log": True, "step": None, "integer": False,
            },
            "freeze": {"kind": "choice", "values": ["none", 2]},
        },
        "sampler": {"name": "tpe", "startup_trials": 4},
        "pruner": {"name": "median", "startup_trials": 2, "warmup_epochs": 1, "patience": 3},
        "trials": 20,
        "hours": 1.5,
        "attempts": 2,
        "gpu_failures": 5,
        "max_per_gpu": 4,
        "silence_minutes": 7.5,
        "enqueue": [{"lr": 1e-4, "freeze": 2}],
        "objective": {"name": "dev_accuracy", "direction": "maximize"},
        "gate": {"kinds": ["no_learning", "non_finite"], "window_steps": 500, "tolerance": 0.02},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "smapler: grid",
            "smapler: 'smapler' is not a valid key. Did you mean sampler? Allowed: desc",
        ),
        (
            "trainer: finetun",
            "trainer: 'finetun' is not a trainer. Did you mean finetune? Allowed: f",
        ),
        ("trainer: [a]", "trainer: a list is not allowed. Allowed: a text"),
        ("model: 3", "model: 3 is not allowed. Allowed: a text, quoted where it looks like a nu"),
        ("model: ''", "model: '' is not allowed. Allowed: a text"),
        ("seed: -1", "seed: -1 is not allowed. Allowed: a whole number at least 0 and below"),
        ("seed: true", "seed: true is not allowed. Allowed: a whole number"),
        ("trials: 0", "trials: 0 is not allowed. Allowed: a whole number at least 1"),
        ("trials: many", "trials: 'many' is not allowed. Allowed: a whole number at least 1"),
        ("hours: 0", "hours: 0 is not allowed. Allowed: a number above 0."),
        ("hours: .inf", "hours: inf is not allowed. Allowed: a number above 0."),
        ("attempts: 0", "attempts: 0 is not allowed. Allowed: a whole number at least 1 and at m"),
        ("max_per_gpu: 0", "max_per_gpu: 0 is not allowed. Allowed: a whole number at least 1 and"),
        ("data: [a]", "data: a list is not allowed. Allowed: a name or a mapping of name, text, "),
        (
            "data: {nam: a}",
            "data.nam: 'nam' is not a valid key. Did you mean name? Allowed: name, te",
        ),
        ("baseline: 3", "baseline: 3 is not allowed. Allowed: a mapping."),
        ("enqueue: {lr: 1}", "enqueue: a mapping is not allowed. Allowed: a list."),
        ("enqueue: [3]", "enqueue[0]: 3 is not allowed. Allowed: a mapping."),
        ("sampler: tpr", "sampler.name: 'tpr' is not allowed. Did you mean tpe? Allowed: grid, ra"),
        (
            "sampler: {name: grid, startup_trials: 3}",
            "sampler.startup_trials: grid has no such option; it belongs to tpe, gp. Allowed",
        ),
        ("sampler: tpe", "trials: is missing. Sampler tpe needs it: a whole number at least 1"),
        ("sampler: random", "trials: is missing. Sampler random needs it"),
        ("gate: no_lerning", "gate.kinds[0]: 'no_lerning' is not allowed. Did you mean no_learnin"),
        ("gate: [overfit]", "gate.kinds[0]: 'overfit' is not allowed. Allowed: no_learning, di"),
        (
            "gate: {window: 3}",
            "gate.window: 'window' is not a valid key. Did you mean window_steps?",
        ),
        ("gate: {window_steps: 3}", "gate.window_steps: 3 is not allowed. Allowed: a whole number"),
        ("gate: {tolerance: 0}", "gate.tolerance: 0 is not allowed. Allowed: a number above 0 and"),
        ("pruner: asa", "pruner.name: 'asa' is not allowed. Did you mean asha? Allowed: none, me"),
        (
            "pruner: {name: asha, patience: 2}",
            "pruner.patience: asha has no such option; it belongs to median. Patience "
            "around successive halving would write late epochs into early rungs. Allowed with",
        ),
        (
            "pruner: {name: hyperband, warmup_epochs: 1}",
            "pruner.warmup_epochs: hyperband has no such option; it belongs to median. "
            "Successive halving spares early epochs with min_epochs. Allowed with hyperband: m",
        ),
        (
            "pruner: {name: median, min_epochs: 1}",
            "pruner.min_epochs: median has no such option; it belongs to asha, hyperband. "
            "The median pruner spares early epochs with warmup_epochs. Allowed with median",
        ),
        (
            "pruner: {patience: 2}",
            "pruner.patience: none has no such option; it belongs to median.",
        ),
        (
            "pruner: {name: median, foo: 2}",
            "pruner.foo: 'foo' is not a valid key. Allowed: name, st",
        ),
        (
            "pruner: {name: asha, reduction_factor: 1}",
            "pruner.reduction_factor: 1 is not allowed. Allowed: a whole number at least 2",
        ),
        (
            "pruner: {name: hyperband, min_epochs: 9}",
            "pruner.min_epochs: 9 is more than the baseline's epochs. Allowed with hyperband: 1 t",
        ),
    ],
)
def test_a_mistake_says_where_and_what_is_allowed(line: str, message: str, refuse: Refuse) -> None:
    (said,) = refuse(f"{PARAMETERS}{line}\n")
    # A key that is missing stands in no line of its own.
    where = "mine.yaml:1: " if "is missing" in message else "mine.yaml:2: "
    assert said.startswith(where + message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\n", "mine.yaml:1: parameters: is missing. parameters must be given."),
        ("seed: 1\nparameters: {}\n", "mine.yaml:2: parameters: nothing is swept."),
        ("seed: 1\nparameters:\n", "mine.yaml:2: parameters: nothing is not allowed. Allowed: a m"),
        ("parameters: [lr]\n", "mine.yaml:1: parameters: a list is not allowed. Allowed: a map"),
    ],
)
def test_something_must_be_swept(text: str, message: str, refuse: Refuse) -> None:
    assert refuse(text)[0].startswith(message)


@pytest.mark.parametrize(
    "trainer", ["trainer: scripted", "trainer: script\ncommand: [train, '{value}']"]
)
def test_trials_whose_memory_nobody_tells_share_no_gpu(
    trainer: str, read: Read, refuse: Refuse
) -> None:
    text = (
        f"{trainer}\nbaseline: {{value: 0.5}}\nparameters: {{value: [0.1, 0.5]}}\n"
        "objective: {name: dev_accuracy, direction: maximize}\nmax_per_gpu: "
    )
    assert read(text + "1\n").max_per_gpu == 1
    (said,) = refuse(text + "2\n")
    assert "does not report its memory" in said
    assert "Allowed with it: 1; SLOTS=number" in said


def test_all_mistakes_come_in_one_message_by_line(refuse: Refuse) -> None:
    text = """seed: x
model: a
model: b
baseline: {lr: 9, freez: none}
parameters: {dropout: [2]}
trials: 0
"""
    lines = refuse(text, hours=-1)
    assert [line.split(" ")[0] for line in lines] == [
        "mine.yaml:1:", "mine.yaml:3:", "mine.yaml:4:", "mine.yaml:4:",
        "mine.yaml:5:", "mine.yaml:6:", "SET",
    ]  # fmt: skip
    assert lines[-1].startswith("SET or HOURS: hours: -1 is not allowed.")


def test_a_long_or_unprintable_value_stays_on_one_short_line(refuse: Refuse) -> None:
    (said,) = refuse(f'{PARAMETERS}trainer: "{"x" * 500}\\n\\e[31m"\n')
    assert len(said) < 200
    assert said.isprintable()


def test_a_key_cannot_forge_a_line_of_the_message(refuse: Refuse) -> None:
    lines = refuse(f'{PARAMETERS}"a\\nmine.yaml:9: seed": 1\n')
    assert len(lines) == 1


def test_the_error_is_one_of_its_own(read: Read) -> None:
    with pytest.raises(SweepError):
        read("")


def test_the_objective_is_a_name_or_a_name_and_its_direction(read: Read) -> None:
    assert read(PARAMETERS).objective == Objective("dev_accuracy", "maximize")
    assert read(PARAMETERS + "objective: dev_loss\n").objective == Objective("dev_loss", "minimize")
    long = "objective: {name: dev_macro_f1, direction: maximize}\n"
    assert read(PARAMETERS + long).objective == Objective("dev_macro_f1", "maximize")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("dev_f1", "dev_macro_f1"),
        ("{name: dev_loss, direction: maximize}", "would find the worst value"),
        ("{name: dev_loss, direction: up}", "Allowed: maximize, minimize"),
    ],
)
def test_an_objective_that_the_trainer_does_not_have_is_refused(
    refuse: Refuse, given: str, said: str
) -> None:
    assert said in " ".join(refuse(PARAMETERS + f"objective: {given}\n"))


def test_a_seed_may_be_left_to_be_drawn(read: Read) -> None:
    assert read(PARAMETERS + "seed: null\n").seed is None
