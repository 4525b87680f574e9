"""The file as YAML 1.2: what is read, and what is refused before a word of it is believed."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweeps.conftest import Read, Refuse
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.sweeps.config.messages import SweepError
from trytable.sweeps.config.yaml_source import MAX_BYTES, parse, plain_scalar, read_text

PARAMETERS = "parameters: {dropout: [0.0, 0.1]}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("2E+3", 2000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("-7", -7),
        ("true", True),
        ("off", "off"),
        ("yes", "yes"),
        ("none", "none"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("1e", "1e"),
        ("", None),
        ("~", None),
        ("null", None),
        ("-.inf", -math.inf),
        ("9" * 5000, math.inf),
    ],
)
def test_words_are_read_as_yaml_1_2_does(text: str, value: object) -> None:
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml:1: is empty. A sweep needs at least `parameters`."),
        ("# nothing\n", "mine.yaml:1: is empty. A sweep needs at least `parameters`."),
        ("- a\n", "mine.yaml:1: holds a list; a mapping (`key: value`) is expected."),
        ("word", "mine.yaml:1: holds 'word'; a mapping (`key: value`) is expected."),
        ("a: b: c\n", "mine.yaml:1: this is not YAML: mapping values are not allowed here."),
        ("seed: 1\na: 'x\n", "mine.yaml:3: this is not YAML: found unexpected end of stream."),
        ("seed: 1\n\nx: \x07\n", "special characters are not allowed."),
        ('a: "\\UFFFFFFFF"', "mine.yaml:1: this is not YAML: an escape names no character."),
        (b"seed: 1\nmodel: \xff\n", "mine.yaml:2: is not UTF-8 text."),
        (b"\x00\x01\x02", "special characters are not allowed."),
        ("a: " + "[" * 50_000, "mine.yaml:1: this is not YAML: nested more than 8 deep."),
        (
            "x" * (MAX_BYTES + 1),
            f"mine.yaml: is larger than {MAX_BYTES} bytes, the limit for a sweep.",
        ),
    ],
)
def test_what_is_no_mapping_is_refused(text: str | bytes, message: str, refuse: Refuse) -> None:
    assert refuse(text)[0].endswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model: a\nmodel: b", "mine.yaml:3: model: is given twice; the first is in line 2."),
        ("model: !!str a", "mine.yaml:2: model: a tag ('tag:yaml.org,2002:str') is not allowed."),
        (
            "model: !!python/object/apply:os.system [id]",
            "mine.yaml:2: model: a tag ('tag:yaml.org,2002:python/object/apply:os.system') "
            "is not allowed.",
        ),
        ("data: !mine {name: a}", "mine.yaml:2: data: a tag ('!mine') is not allowed."),
        ("model: &a b", "mine.yaml:2: model: anchors (&) and aliases (*) are not allowed."),
        ("model: *a", "mine.yaml:2: model: anchors (&) and aliases (*) are not allowed."),
        ("? [a, b]\n: c", "mine.yaml:2: a key must be one word."),
        ("---\nmodel: b", "mine.yaml:2: a second YAML document begins here."),
    ],
)
def test_magic_is_refused_where_it_stands(line: str, message: str, refuse: Refuse) -> None:
    assert refuse(f"{PARAMETERS}{line}\n")[0] == message


def test_aliases_do_not_grow(refuse: Refuse) -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    assert any("anchors (&) and aliases (*)" in line for line in refuse(PARAMETERS + bomb))


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(read: Read) -> None:
    assert read(b"\xef\xbb\xbfseed: 7\r\n" + PARAMETERS.encode()).seed == 7


def test_lines_are_those_of_the_file(refuse: Refuse) -> None:
    text = f"# a comment\n\n{PARAMETERS}baseline:\n  lr: 1e-4\n\n  dropout:\n    2\n"
    assert refuse(text) == [
        "mine.yaml:7: baseline.dropout: 2 is not allowed. Allowed: a number at least 0 and below 1."
    ]


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "unreadable"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "unreadable":
        path.symlink_to(path)  # a loop: nobody, root neither, can read it
    with pytest.raises(SweepError, match=r"mine\.yaml: (is not|does not|cannot be)"):
        read_text(path)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    said = "mine.yaml"
    try:
        parse(text, "mine.yaml").require_data()
    except SweepError as error:
        said = str(error)
    assert said.startswith("mine.yaml")


yaml_values = st.recursive(
    st.sampled_from(["1", "-3", "0.5", "1e-5", "true", "none", "half", "tpe", "~", ".nan", "''"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(
            st.sampled_from(["name", "low", "high", "log", "step", "lr", "dropout", "freeze", "x"]),
            inner,
            max_size=3,
        ).map(lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items.items()) + "}"),
    ),
    max_leaves=8,
)
KEYS = [*Sweep.model_fields, "foo", "0"]


@given(st.dictionaries(st.sampled_from(KEYS), yaml_values, max_size=6))
def test_any_document_is_read_or_refused_with_a_place(
    tmp_path_factory: Any, document: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("any") / "mine.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in document.items()))
    said = f"{path}:"
    try:
        read_sweep(path, KINDS)
    except SweepError as error:
        said = str(error)
    assert all(line.startswith(f"{path}:") for line in said.splitlines())
