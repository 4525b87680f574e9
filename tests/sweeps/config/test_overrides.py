"""`SET="key=value ..."`: typed and checked like the file, and never a shell's business."""

import contextlib
import json
import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sweeps.conftest import Read, Refuse
from trytable.sweeps.config.loader import SweepError, parse_overrides

TEXT = """description: mine
data: {name: ./old, text: sentence}
baseline: {lr: 1e-4}
parameters: {dropout: [0.0, 0.1]}
pruner: {name: median, patience: 2}
"""


def test_words_become_typed_values() -> None:
    assert parse_overrides(
        "epochs=3 lr=2e-5 data.name='my folder' parameters.dropout=[0.1,0.2] "
        "\"parameters.lr={low: 1e-5, high: 1}\" hours= model='a: b' description='\"5\"' freeze=none"
    ) == {
        "epochs": 3,
        "lr": 2e-5,
        "data.name": "my folder",
        "parameters.dropout": [0.1, 0.2],
        "parameters.lr": {"low": 1e-5, "high": 1},
        "hours": None,
        "model": "a: b",
        "description": "5",
        "freeze": "none",
    }
    assert parse_overrides("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "SET: 'epochs' is not of the form key=value."),
        ("=3", "SET: '=3' is not of the form key=value."),
        ("data.name=my folder", "SET: 'folder' is not of the form key=value. Quote a value"),
        ("lr=1 lr=2", "SET: lr: is given twice."),
        ("a='b", 'SET: "a=\'b" cannot be split: No closing quotation.'),
        ("a=[1", "SET: a: '[1' cannot be used: this is not YAML:"),
        ("a='[1] [2]'", "SET: a: '[1] [2]' cannot be used: this is not YAML:"),
        ("a='[!foo 1]'", "SET: a: '[!foo 1]' cannot be used: a tag ('!foo') is not allowed."),
        ("a='[&a 1]'", "SET: a: '[&a 1]' cannot be used: anchors (&) and aliases (*) are not"),
        ("a='{x: 1, x: 2}'", "SET: a: '{x: 1, x: 2}' cannot be used: is given twice"),
        ("a='[1]\nb: 2'", "SET: a: '[1]\\nb: 2' cannot be used: it holds more than one value."),
    ],
)
def test_a_mistaken_word_is_explained(text: str, message: str) -> None:
    with pytest.raises(SweepError) as caught:
        parse_overrides(text)
    assert str(caught.value).startswith(message)


def test_all_mistaken_words_come_in_one_message() -> None:
    with pytest.raises(SweepError) as caught:
        parse_overrides("epochs lr=[ =1")
    assert len(str(caught.value).splitlines()) == 3


def test_top_level_keys_knobs_and_paths_are_overridden(read: Read) -> None:
    sweep = read(
        TEXT, seed=7, epochs=5, data__name="./new", parameters__dropout=[0.5], parameters__lr=[1e-4]
    )
    assert sweep.seed == 7
    assert (sweep.baseline["epochs"], sweep.baseline["lr"]) == (5, 1e-4)
    assert (sweep.data.name, sweep.data.text) == ("./new", "sentence")
    assert [one.largest for one in sweep.parameters.values()] == [0.5, 1e-4]


def test_a_name_alone_replaces_all_options(read: Read) -> None:
    sweep = read(TEXT, pruner="asha", sampler="tpe", trials=4, data="./new")
    assert (sweep.pruner.name, sweep.sampler.name) == ("asha", "tpe")
    assert (sweep.data.name, sweep.data.text) == ("./new", "text")


def test_options_are_added_to_a_name_alone(read: Read) -> None:
    sweep = read("sampler: tpe\ntrials: 3\n" + TEXT, sampler__startup_trials=2)
    assert (sweep.sampler.name, sweep.sampler.options) == ("tpe", {"startup_trials": 2})


def test_a_part_that_the_file_lacks_is_made(read: Read) -> None:
    assert read("parameters: {lr: [1e-4]}\n", dropout=0.2).baseline["dropout"] == 0.2


def test_the_trainer_set_decides_what_is_a_knob(read: Read, refuse: Refuse) -> None:
    text = "parameters: {value: [0.1, 0.2]}\n"
    assert read(text, crash="exit", trainer="scripted").baseline["crash"] == "exit"
    assert refuse(text.replace("value", "lr"), crash="exit")[0].startswith("SET: crash: 'crash' is")


def test_an_override_mends_the_file(read: Read) -> None:
    assert read(TEXT.replace("1e-4", "9"), lr=1e-3).baseline["lr"] == 1e-3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lr": 2}, "SET: baseline.lr: 2 is not allowed. Allowed: a number above 0 and at most 1."),
        ({"lr": "2e-5"}, "SET: baseline.lr: '2e-5' is not allowed."),
        (
            {"drop_out": 0.1},
            "SET: drop_out: 'drop_out' is not a key of a sweep or a knob. Did you mea",
        ),
        ({"seed.x": 1}, "SET: seed.x: 'x'"),
        ({"description.x": 1}, "SET: description.x: description holds 'mine', which has no keys."),
        ({"parameters.drpout": [1]}, "SET: parameters.drpout: 'drpout' is not a knob of trainer"),
        ({"parameters.dropout": [0, 2]}, "SET: parameters.dropout[1]: 2 is not allowed."),
        ({"pruner.min_epochs": 2}, "SET: pruner.min_epochs: median has no such option"),
        ({"sampler": "grd"}, "SET: sampler.name: 'grd' is not allowed. Did you mean grid?"),
        ({"trials": 0}, "SET or TRIALS: trials: 0 is not allowed."),
        ({"hours": -1}, "SET or HOURS: hours: -1 is not allowed."),
        ({"model": 5}, "SET or MODEL: model: 5 is not allowed."),
        ({"data": ""}, "SET or DATA: data.name: '' is not allowed."),
        ({"": 1}, "SET: '': '' is not a key of a sweep or a knob."),
        ({"baseline..lr": 1}, "SET: baseline.''"),
    ],
)
def test_a_mistaken_override_names_set(
    overrides: dict[str, object], message: str, refuse: Refuse
) -> None:
    if "seed.x" in overrides:
        message = "SET: seed.x: seed holds 3, which has no keys."
    said = refuse("seed: 3\n" + TEXT, **overrides)
    assert said[0].startswith(message), said


flow = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**62), 2**62),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
keys = st.from_regex(r"[a-z_]+(\.[a-z_]+)?", fullmatch=True)


@given(st.dictionaries(keys, flow, max_size=4))
def test_overrides_come_back_as_they_were_written(overrides: dict[str, object]) -> None:
    text = " ".join(shlex.quote(f"{key}={json.dumps(value)}") for key, value in overrides.items())
    assert parse_overrides(text) == overrides


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_text_is_split_or_refused(read: Read, text: str) -> None:
    with contextlib.suppress(SweepError):
        overrides = parse_overrides(text)
        read(TEXT, **{key.replace(".", "__"): value for key, value in overrides.items()})
