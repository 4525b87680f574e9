"""Finds the settings of a log's runs in command lines, argument lines and headings. Pure.

A log is untrusted: a command line is only split into words, never run.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import dropwhile, zip_longest
from typing import Literal

from trytable.records import Scalar, is_finite
from trytable.trainers.script.logs.values import parse_literal

SettingSource = Literal["command line", "arguments", "heading", "file"]

_ALIASES = {
    "dropout": (
        "hidden_dropout_prob", "hidden_dropout", "dropout_prob", "dropout_rate", "dropout_p",
        "p_dropout",
    ),
    "lr": ("learning_rate", "base_lr", "init_lr", "学习率", "初始学习率"),
    "weight_decay": ("wd", "weightdecay", "l2", "权重衰减"),
    "batch_size": (
        "batch", "bs", "batchsize", "train_batch_size", "per_device_train_batch_size",
        "批次大小", "批大小",
    ),
    "epochs": (
        "epoch", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "训练轮数", "轮数",
    ),
    "warmup": ("warmup_ratio", "warmup_steps"),
}  # fmt: skip
_KNOB_BY_ALIAS = {alias: knob for knob, aliases in _ALIASES.items() for alias in aliases}

_COMMAND = re.compile(
    r"\s{0,8}(?:[$>%]\s{1,4})?(?:!\s?)?(?:[A-Za-z_]\w{0,60}=\S{0,200}\s+){0,20}"
    r"(?:(?:srun|nohup|time|exec|uv run|poetry run)\s+){0,3}"
    r"(?:\S{0,200}/)?(?:python[\d.]{0,6}|torchrun|accelerate|deepspeed|\w[\w.-]{0,100}\.(?:py|sh))"
    r"\s+\S"
)
_PAIR = re.compile(
    r"(?P<name>[^\W\d]\w{0,60})\s{0,4}[=＝]\s{0,4}"
    r"(?P<value>[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,4})?)(?![\w.])"
)
_RATE = re.compile(r"[#\s=*_`:-]{0,40}(\d(?:\.\d{1,8})?[eE]-\d{1,2})[\s=*_`:-]{0,40}")
_FLAG = re.compile(r"--?([A-Za-z_][\w.-]{0,80})(?:=(.*))?", re.DOTALL)
_ASSIGNED = re.compile(r"([A-Za-z_][\w.]{0,80})=(.+)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class LoggedSetting:
    """A setting that a log names.

    Attributes:
        name: Trytable's name of the knob.
        value: its value.
        source: the kind of place that names it.
        line: the line's number, counted from 1.
        conflict: another place that names another value and was passed over, in words.
    """

    name: str
    value: Scalar
    source: SettingSource
    line: int
    conflict: str = ""

    @property
    def place(self) -> str:
        """`heading, line 77`, followed by the conflict."""
        return f"{self.source}, line {self.line}" + (f"; {self.conflict}" if self.conflict else "")


def knob_name(name: str) -> str:
    """Return Trytable's name of a setting: `dropout` for `hidden_dropout_prob`."""
    plain = name.strip("-").replace("-", "_").rpartition(".")[2].lower()
    return _KNOB_BY_ALIAS.get(plain, plain)


def is_command(line: str) -> bool:
    """Return whether a line starts a program, as typed into a shell."""
    return _COMMAND.match(line) is not None


def from_command(line: str, number: int) -> dict[str, LoggedSetting]:
    """Return the settings on a command line: numbers and booleans that are spelled out.

    Paths and other words are left out, because trials are not compared by them.
    """
    settings = {}
    # Assignments before the program set its environment.
    words = list(dropwhile(lambda word: _ASSIGNED.fullmatch(word) or word in "$>%", _words(line)))
    for name, text in _options(words):
        value = _scalar(text)
        if value is not None:
            knob = knob_name(name)
            settings[knob] = LoggedSetting(knob, value, "command line", number)
    return settings


def from_arguments(arguments: Mapping[str, object], number: int) -> dict[str, LoggedSetting]:
    """Return the settings of a line such as `args: {...}` or `Namespace(...)`."""
    return {
        knob_name(name): LoggedSetting(knob_name(name), value, "arguments", number)
        for name, value in arguments.items()
        if isinstance(value, bool | int | float) and is_finite(value)
    }


def from_heading(text: str, number: int) -> dict[str, LoggedSetting]:
    """Return the settings in a heading: `dropout=0.7`, or only a number such as `1e-5`.

    A lone number with a negative exponent is a learning rate.
    """
    settings = {}
    for match in _PAIR.finditer(text):
        name, value = knob_name(match["name"]), _scalar(match["value"])
        if value is not None:
            settings[name] = LoggedSetting(name, value, "heading", number)
    rate = _RATE.fullmatch(text)
    if rate is not None:
        settings["lr"] = LoggedSetting("lr", float(rate[1]), "heading", number)
    return settings


def merge_settings(
    base: Mapping[str, LoggedSetting], override: Mapping[str, LoggedSetting]
) -> dict[str, LoggedSetting]:
    """Return both; if they differ, the one of `override`, which notes the other as a conflict."""
    settings = dict(base)
    for name, setting in override.items():
        other = base.get(name)
        conflict = ""
        if other is not None and other.value != setting.value:
            conflict = f"{other.source} of line {other.line} says {other.value}"
        settings[name] = replace(setting, conflict=conflict)
    return settings


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, posix=True)
    except ValueError:  # an unclosed quote
        return line.split()


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of `--name value`, `--name=value` and `name=value`."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        flag = None if _NUMBER.fullmatch(word) else _FLAG.fullmatch(word)
        if flag is not None:
            yield flag[1], flag[2] if flag[2] is not None else following
        elif assigned := _ASSIGNED.fullmatch(word):
            yield assigned[1], assigned[2]


def _scalar(text: str) -> Scalar:
    """Return a number or a boolean, else None."""
    if not _NUMBER.fullmatch(text) and text.lower() not in ("true", "false"):
        return None
    value = parse_literal(text.lower())
    return value if isinstance(value, bool | int | float) and is_finite(value) else None
