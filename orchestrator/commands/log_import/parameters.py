"""What a log says of the settings of its runs: command lines, argument lines, headings. Pure.

Nothing here is ever run: a command line is split into words and looked at.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import dropwhile, zip_longest
from typing import Literal

from trytable.records import Scalar, is_finite
from trytable.trainers.script.logs.values import parse_literal

Where = Literal["command line", "arguments", "heading", "file"]

_SAME = {
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
_KNOWN = {other: name for name, others in _SAME.items() for other in others}
"""Our name for a setting, by what others call it."""

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
class Given:
    """A setting that a log names: our name for it, where and on which line it stands.

    `instead` says what another place, which does not count, has for it.
    """

    name: str
    value: Scalar
    where: Where
    line: int
    instead: str = ""

    @property
    def place(self) -> str:
        """`heading, line 77`, with what was passed over."""
        return f"{self.where}, line {self.line}" + (f"; {self.instead}" if self.instead else "")


def our_name(name: str) -> str:
    """Our name for a setting: `hidden_dropout_prob` is dropout."""
    plain = name.strip("-").replace("-", "_").rpartition(".")[2].lower()
    return _KNOWN.get(plain, plain)


def is_command(line: str) -> bool:
    """Whether a line starts a program, as typed into a shell."""
    return _COMMAND.match(line) is not None


def from_command(line: str, number: int) -> dict[str, Given]:
    """The settings on a command line: numbers, and truth values that are spelt out.

    Paths and other words are no settings that tries are compared by.
    """
    found = {}
    # What stands before the program sets its environment.
    words = list(dropwhile(lambda word: _ASSIGNED.fullmatch(word) or word in "$>%", _words(line)))
    for name, text in _options(words):
        value = _scalar(text)
        if value is not None:
            found[our_name(name)] = Given(our_name(name), value, "command line", number)
    return found


def from_arguments(arguments: Mapping[str, object], number: int) -> dict[str, Given]:
    """The settings of a line such as `args: {...}` or `Namespace(...)`."""
    return {
        our_name(name): Given(our_name(name), value, "arguments", number)
        for name, value in arguments.items()
        if isinstance(value, bool | int | float) and is_finite(value)
    }


def from_heading(text: str, number: int) -> dict[str, Given]:
    """The settings in a heading: `dropout=0.7`, or nothing but a number such as `1e-5`.

    A number alone that is written with a negative exponent is a learning rate.
    """
    found = {}
    for match in _PAIR.finditer(text):
        name, value = our_name(match["name"]), _scalar(match["value"])
        if value is not None:
            found[name] = Given(name, value, "heading", number)
    alone = _RATE.fullmatch(text)
    if alone is not None:
        found["lr"] = Given("lr", float(alone[1]), "heading", number)
    return found


def merged(below: Mapping[str, Given], above: Mapping[str, Given]) -> dict[str, Given]:
    """Both, where `above` counts more; where they differ, it says what was passed over."""
    found = dict(below)
    for name, given in above.items():
        other = below.get(name)
        told = ""
        if other is not None and other.value != given.value:
            told = f"{other.where} of line {other.line} says {other.value}"
        found[name] = Given(given.name, given.value, given.where, given.line, told)
    return found


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, posix=True)
    except ValueError:  # a quote without its end
        return line.split()


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """`--name value`, `--name=value` and `name=value`."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        flag = None if _NUMBER.fullmatch(word) else _FLAG.fullmatch(word)
        if flag is not None:
            yield flag[1], flag[2] if flag[2] is not None else following
        elif assigned := _ASSIGNED.fullmatch(word):
            yield assigned[1], assigned[2]


def _scalar(text: str) -> Scalar:
    """A number or a truth value, else nothing."""
    if not _NUMBER.fullmatch(text) and text.lower() not in ("true", "false"):
        return None
    value = parse_literal(text.lower())
    return value if isinstance(value, bool | int | float) and is_finite(value) else None
