"""Trainer script: its own keys, free parameters, and that every one of them reaches the command."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweeps.conftest import Read, Refuse
from trytable.sweeps.config.schema import Range, Values
from trytable.sweeps.config.script import placeholders

HEAD = """
trainer: script
objective: {name: val_loss, direction: minimize}
"""
SHORT = f"{HEAD}command: [python, train.py, '{{params}}']\n"


def test_a_command_is_split_once_by_shell_rules(read: Read) -> None:
    sweep = read(HEAD + "command: python 'my train.py' --lr {lr} \"a b\" $HOME ;\n"
                 "parameters: {lr: [1e-3, 1]}\n")  # fmt: skip
    assert sweep.script is not None
    assert sweep.script.command == (
        "python", "my train.py", "--lr", "{lr}", "a b", "$HOME", ";"
    )  # fmt: skip
    assert sweep.parameters == {"lr": Values("float", (1e-3, 1.0))}
    assert sweep.baseline == {"lr": 1e-3}


def test_parameters_are_of_the_kind_of_all_their_values(read: Read) -> None:
    sweep = read(
        SHORT
        + """
baseline: {epochs: 3, note: "a b", deep: false, dropout: 0}
parameters:
  dropout: [0.1, 0.2]
  layers: {low: 1, high: 4}
  lr: {low: 1e-5, high: 1e-3, log: true}
  mode: [fast, 2, true]
sampler: random
trials: 3
"""
    )
    assert sweep.parameters["layers"] == Range(1, 4, integer=True)
    assert sweep.parameters["lr"] == Range(1e-5, 1e-3, log=True)
    assert sweep.parameters["mode"] == Values("choice", ("fast", 2, True))
    assert sweep.baseline | {"lr": 0, "layers": 0, "mode": 0} == {
        "epochs": 3, "note": "a b", "deep": False, "dropout": 0.0, "lr": 0, "layers": 0, "mode": 0
    }  # fmt: skip
    assert isinstance(sweep.baseline["dropout"], float)


def test_every_key_of_a_script_reaches_the_ledger(read: Read) -> None:
    text = """
trainer: script
command: [run, --config, "{config}", "{seed}"]
style: k=v
cwd: work
env: {A: "{lr}"}
config: base.yaml
metrics: {patterns: ['loss=(?P<val_loss>.*)'], file: "{out}/log.jsonl"}
observe: false
no_progress_minutes: 2
grace_seconds: 3
objective: {name: val_loss, direction: minimize}
parameters: {lr: [1, 2], optimizer.name: [a, b]}
"""
    assert json.loads(json.dumps(read(text).to_json()))["script"] == {
        "command": ["run", "--config", "{config}", "{seed}"],
        "style": "k=v",
        "switches": [],
        "cwd": "work",
        "env": {"A": "{lr}"},
        "config": "base.yaml",
        "patterns": ["loss=(?P<val_loss>.*)"],
        "metrics_file": "{out}/log.jsonl",
        "observe": False,
        "no_progress_minutes": 2.0,
        "grace_seconds": 3.0,
    }


def test_set_reaches_a_scripts_parameters_and_keys(read: Read) -> None:
    text = SHORT + "baseline: {epochs: 3}\nparameters: {lr: [1, 2]}\n"
    sweep = read(text, epochs=5, style="k=v")
    assert sweep.baseline["epochs"] == 5
    assert sweep.script is not None
    assert sweep.script.style == "k=v"


LR = "parameters: {lr: [1, 2]}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + LR, ["command: is missing"]),
        (HEAD + LR + "command: python 'x\n", ['command: "python \'x" cannot be split']),
        (HEAD + LR + "command: []\n", ["command: names no program"]),
        (HEAD + LR + "command: [a, 3, 1e-5]\n", ["command[2]: 1e-05 is not allowed: quote"]),
        (
            HEAD + LR + "command: [a]\nbaseline: {wd: 1}\n",
            ["parameters.lr: the command never uses it", "baseline.wd: the command never uses it"],
        ),
        (HEAD + LR + "command: [a, '{lrr}', '{lr}']\n", ["Did you mean lr?"]),
        (SHORT + "parameters: {out: [a, b]}\n", ["parameters.out: {out} is Trytable's own"]),
        (SHORT + "parameters: {'a b': [1, 2]}\n", ["cannot be a parameter's name"]),
        (SHORT + "parameters: {a: [[1], 2]}\n", ["parameters.a[0]: a list is not allowed"]),
        (SHORT + "parameters: {a: [.nan, 2]}\n", ["is not finite"]),
        (SHORT + "parameters: {a: {low: 1, high: 2}}\nbaseline: {a: x}\n", ["only numbers have"]),
        (SHORT + LR + "config: a.yaml\n", ["config: config: FILE and {config}"]),
        (HEAD + LR + "command: [a, '{config}']\nconfig: a.ini\n", ["'a.ini' has no supported"]),
        (HEAD + LR + "command: [a, 'x{params}']\n", ["a word of its own"]),
        (HEAD + LR + "command: [a, '{lr}']\nswitches: [lr]\n", ["switches[0]: switches need"]),
        (SHORT + LR + "switches: [lrr]\n", ["switches[0]: 'lrr' is not a parameter"]),
        (
            SHORT + LR + "env: {A: '{params}'}\n",
            ["env: 'params' is not a parameter or placeholder"],
        ),
        (SHORT + LR + "metrics: {patterns: ['(']}\n", ["is not a regular expression"]),
        (SHORT + LR + "metrics: {patterns: ['a']}\n", ["names no metric"]),
        (SHORT + LR + "enqueue: [{lrr: 1}]\n", ["'lrr' is not a parameter. Did you mean lr?"]),
        (SHORT + LR + "pruner: hyperband\n", ["hyperband divides a trial's epochs"]),
        (
            SHORT.replace(", direction: minimize", "") + LR,
            ["Trytable does not know which way 'val_loss' is better"],
        ),
        ("command: [a]\nparameters: {dropout: [0.1]}\n", ["command: is a key of trainer script"]),
    ],
)
def test_a_mistake_is_named(text: str, said: list[str], refuse: Refuse) -> None:
    lines = "\n".join(refuse(text))
    for words in said:
        assert words in lines


def test_a_parameter_may_take_the_seeds_place(read: Read) -> None:
    sweep = read(HEAD + "command: [a, '{seed}']\nparameters: {seed: [1, 2]}\n")
    assert sweep.baseline == {"seed": 1}


@given(st.lists(st.text(), max_size=4))
def test_any_text_has_places_or_none(texts: list[Any]) -> None:
    assert all("{" + name + "}" in "".join(texts) for name in placeholders(texts))
