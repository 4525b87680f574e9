"""A command with values in it: every value arrives whole, in every style."""

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from trytable.records import LaunchSettings, Refused, Scalar
from trytable.trainers.script.command import CommandContext, argument_text, build_invocation
from trytable.trainers.script.configs import dump_config, merge_config

pyyaml: Any = importlib.import_module("yaml").safe_load  # it ships no types
GIVEN = CommandContext(seed=7, out=Path("/out"), device="cuda", python="py")
VALUES: dict[str, Scalar] = {"lr": 1e-5, "note": "a 'b' \"c\" $HOME", "flag": "--no", "deep": True}


def words(command: list[str], values: dict[str, Scalar] = VALUES, **options: Any) -> list[str]:
    launch = LaunchSettings(command=tuple(command), **options)
    return list(build_invocation(launch, values, GIVEN).words)


@pytest.mark.parametrize(
    ("style", "found"),
    [
        ("--k v", ["--lr", "1e-05", "--note", VALUES["note"], "--flag=--no", "--deep", "true"]),
        ("--k=v", ["--lr=1e-05", f"--note={VALUES['note']}", "--flag=--no", "--deep=true"]),
        ("k=v", ["lr=1e-05", f"note={VALUES['note']}", "flag=--no", "deep=true"]),
    ],
)
def test_a_style_spells_what_has_no_place_of_its_own(style: str, found: list[str]) -> None:
    assert words(["run", "{params}"], style=style) == ["run", *found]
    assert words(["run", "{lr}", "{params}"], {"lr": 1, "b": 2}, style="k=v") == ["run", "1", "b=2"]


def test_a_negative_number_is_a_word_of_its_own() -> None:
    assert words(["{params}"], {"a": -1.5}) == ["--a", "-1.5"]


def test_a_switch_is_there_or_not() -> None:
    assert words(["{params}"], {"a": True, "b": False}, switches=["a", "b"]) == ["--a"]
    with pytest.raises(Refused, match=r"a is a switch\. Allowed: true or false, not 3"):
        words(["{params}"], {"a": 3}, switches=["a"])


def test_what_is_ours_is_filled_in() -> None:
    found = words(["{python}", "x{seed}y", "{{seed}}", "{out}/a", "{device}", '{"a": {}}'], {})
    assert found == ["py", "x7y", "{seed}", "/out/a", "cuda", '{"a": {}}']
    assert words(["{seed}"], {"seed": 1}) == ["1"]


def test_environment_folder_and_metrics_file_are_filled_in() -> None:
    launch = LaunchSettings(
        command=("run",), cwd="/in/{lr}", env={"RATE": "{lr}"}, metrics_file="{out}/log.csv"
    )
    call = build_invocation(launch, {"lr": 0.5}, GIVEN)
    assert (call.cwd, call.env) == (Path("/in/0.5"), {"RATE": "0.5"})
    assert call.metrics_file == Path("/out/log.csv")


VALUE = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUE, max_size=5))
def test_a_file_of_parameters_holds_them(values: dict[str, Scalar]) -> None:
    assert json.loads(dump_config(values, "json")) == values
    assert tomllib.loads(dump_config(values, "toml")) == values
    text = dump_config(values, "yaml")
    assert pyyaml(text) == YAML(typ="safe").load(text) == values


@given(VALUE)
def test_a_value_is_spelled_so_that_it_reads_back(value: Scalar) -> None:
    assert isinstance(value, str) or json.loads(argument_text(value)) == value


def test_any_word_reaches_a_program_whole(tmp_path: Path) -> None:
    values: dict[str, Scalar] = {
        "a": "x y",
        "b": "-v",
        "c": "'\"\\\n\t*?$(x)`x`;|&",
        "d": "",
        "é": "ü",
    }
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    found = words(["{python}", "-c", show, "{params}"], values, style="--k=v")
    out = subprocess.run([sys.executable, *found[1:]], capture_output=True, check=True).stdout
    assert json.loads(out) == [f"--{name}={value}" for name, value in values.items()]


YAML_TEXT = """\
# how it is trained
lr: 1e-3  # the peak
optimizer: {name: adam, decay: 0.1}
epochs: 3
a.b: whole
"""


def test_a_yaml_copy_keeps_the_rest_and_reads_everywhere(tmp_path: Path) -> None:
    base = tmp_path / "base.yml"
    base.write_text(YAML_TEXT)
    text = merge_config(base, {"lr": 1e-5, "optimizer.decay": 1e16, "a.b": "no"})
    assert "# how it is trained" in text
    for found in (pyyaml(text), YAML(typ="safe").load(text)):
        assert found == {
            "lr": 1e-5, "optimizer": {"name": "adam", "decay": 1e16}, "epochs": 3, "a.b": "no"
        }  # fmt: skip
    assert base.read_text() == YAML_TEXT


def test_json_and_toml_copies(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"b": 1}, "c": [1]}')
    text = merge_config(tmp_path / "a.json", {"a.b": "x"})
    assert json.loads(text) == {"a": {"b": "x"}, "c": [1]}
    (tmp_path / "a.toml").write_text("# kept\nlr = 1.0\n[model]\nwidth = 2\n")
    text = merge_config(tmp_path / "a.toml", {"model.width": 3, "lr": 1e-5})
    assert "# kept" in text
    assert tomllib.loads(text) == {"lr": 1e-5, "model": {"width": 3}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "lr: 1", "has no key lrr"),
        ("a.yaml", "- 1", "is not a mapping"),
        ("a.yaml", "a: [", "is not valid yaml"),
        ("a.json", "{", "is not valid json"),
        ("a.toml", "=", "is not valid toml"),
        ("a.yaml", "lrr: !!python/object/apply:os.getcwd []", None),
    ],
)
def test_a_config_that_cannot_take_the_values_is_refused(
    name: str, text: str, said: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    if said is None:  # a tag is kept as text and makes no object
        assert "lrr: 1" in merge_config(tmp_path / name, {"lrr": 1})
        return
    with pytest.raises(Refused, match=said):
        merge_config(tmp_path / name, {"lrr": 1})


def test_a_config_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read: No such file"):
        merge_config(tmp_path / "a.json", {})


def test_a_name_is_a_value_or_a_mapping() -> None:
    assert json.loads(dump_config({"a.b": 1, "a.c": 2}, "json")) == {"a": {"b": 1, "c": 2}}
    for values in ({"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}):
        with pytest.raises(Refused):
            dump_config(dict(values), "json")
