"""What one printed line says: the built-in patterns, and the person's own.

Every built-in expression is linear in the line. A person's own may not be, so it has a time limit.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import regex

from trytable.trainers.script.logs.metric_names import (
    LONGEST,
    canonical,
    is_metric,
    is_of_dev_or_test,
)

OWN_PATTERN_SECONDS = 0.2
"""A person's pattern that needs longer for one line is taken out of use."""

_NUMBER_TEXT = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
_NUMBER = re.compile(rf"(?<![\w.])({_NUMBER_TEXT})(?!\w)(?!\.\d)(%?)(\.?)", re.IGNORECASE)
_EPOCH = re.compile(
    r"\bepoch\b[^\w\n+-]{0,4}(\d+(?:\.\d+)?)(?![\d.]*\w)(?:\s{0,2}(?:/|of)\s{0,2}\d+)?",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\b(?:global[_ ]step|step|batch|iter|iteration)\b[^\w\n+-]{0,4}(\d+)(?![\d.]*\w)"
    r"(?:\s{0,2}(?:/|of)\s{0,2}\d+)?",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]|[\x08\x0b\x0c\x7f]")
# Every repetition that may be tried again from another place has an upper bound.
_BAR = re.compile(
    r"\d{1,3}%\|[^|]{0,300}\|[^\[\n]{0,60}(?:\[[^\]\n]{0,1000}\])?|\b\d{1,18}it \[[^\]\n]{0,1000}\]"
)
_LIGHTNING = re.compile(
    r"\bEpoch (\d{1,9}): {1,4}100%\|[^|]{0,300}\| {0,4}(\d{1,18})/(\d{1,18}) {0,4}"
    r"\[([^\]\n]{0,2000})\]"
)
_KERAS = re.compile(r"^\s*(\d+)/(\d+)\s[^-]{0,200}\s- ")
_PAIR = re.compile(
    r"""(?P<q>['"])(?P<name>[^'"\\]{1,80})(?P=q)\s{0,9}:\s{0,9}
        (?P<value>'(?:[^'\\]|\\.){0,2000}'|"(?:[^"\\]|\\.){0,2000}"|[^\s,{}\[\]'"()]+)""",
    re.VERBOSE,
)
_ASSIGNED = re.compile(
    r"\b([^\W\d]\w{0,80})="
    r"('(?:[^'\\]|\\.){0,2000}'|\"(?:[^\"\\]|\\.){0,2000}\"|[^\s,()\[\]'\"]+)"
)
_ARGUMENTS = re.compile(r"\b(?:arg|config|hyper|param|setting|option)\w*\W{0,4}\{", re.IGNORECASE)
_SPLITTERS = re.compile(r"[,;|\t\[\]{}<>]|\s[-–—•]\s|:\s|\)\s")
_SEPARATOR = " \t:=~≈→>*"
_NOISE = ("runtime", "per_second", "flos", "flops", "jit_compilation_time")
_CLOSING = "train_runtime"


@dataclass(frozen=True)
class OwnPattern:
    """A person's own expression with named groups: `epoch`, `step`, and metrics by their names.

    Raises ValueError, with the reason, for an expression that is none or names no metric.
    """

    text: str

    def __post_init__(self) -> None:
        compiled(self.text)


def compiled(text: str) -> "regex.Pattern[str]":
    """Compile a person's expression. Raises ValueError with the reason."""
    try:
        found = regex.compile(text)
    except regex.error as error:
        raise ValueError(str(error)) from error
    if not set(found.groupindex) - {"epoch", "step"}:
        raise ValueError("it has no named group for a metric, such as (?P<dev_f1>[0-9.]+)")
    return found


@dataclass(frozen=True)
class Parsed:
    """What a line says by itself.

    `within_heading`: without an epoch of its own it belongs to the one that was named last.
    `is_provisional`: a progress bar drew it, and may draw it again with other numbers.
    `decimals` are those of the numbers as printed; `cut` names numbers that end in a point.
    """

    pattern: str
    epoch: float | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)
    within_heading: bool = False
    is_within_epoch: bool = False
    is_provisional: bool = False
    decimals: Mapping[str, int] = field(default_factory=dict)
    cut: Sequence[str] = ()

    @property
    def closes_epoch(self) -> bool:
        """Whether it measured on dev or test data, which is done after an epoch."""
        return any(is_of_dev_or_test(name) for name in self.metrics)


def parse_line(
    line: str, own: Sequence[OwnPattern] = (), names: frozenset[str] = frozenset()
) -> tuple[Parsed | None, list[OwnPattern]]:
    """What a line says, or None; and those own patterns that took too long on it.

    `names` are metrics, in their one spelling, to look for besides those that are known.
    """
    slow: list[OwnPattern] = []
    for pattern in own:
        try:
            found = _own(pattern, line)
        except TimeoutError:
            slow.append(pattern)
            continue
        if found is not None:
            return found, slow
    return _built_in(line, names), slow


def _own(pattern: OwnPattern, line: str) -> Parsed | None:
    match = compiled(pattern.text).search(line, timeout=OWN_PATTERN_SECONDS)
    if match is None:
        return None
    groups = {name: number_of(text) for name, text in match.groupdict().items() if text}
    epoch, step = groups.pop("epoch", None), groups.pop("step", None)
    metrics = {canonical(name): one for name, one in groups.items() if one is not None}
    if not metrics:
        return None
    whole = int(step) if step is not None and math.isfinite(step) else None
    return Parsed("own", epoch, whole, metrics, within_heading=epoch is None)


def _built_in(line: str, names: frozenset[str]) -> Parsed | None:
    if not any(char.isdigit() for char in line) and "{" not in line and "amespace(" not in line:
        return None
    if "\x1b" in line or "\x08" in line:
        line = _ESCAPE.sub("", line)
    return (
        _arguments(line)
        or (_mapping(line, names) if "{" in line and "}" in line else None)
        or (_lightning(line, names) if "%|" in line else None)
        or _plain(line, names)
    )


def _plain(line: str, names: frozenset[str]) -> Parsed | None:
    keras = _KERAS.match(line)
    if keras is None:
        return _text(_BAR.sub(" ", line), names)
    # A bar that is not full shows means over a part of the epoch.
    return _keras(line[keras.end() - 3 :], names) if keras[1] == keras[2] else None


def _arguments(line: str) -> Parsed | None:
    """`args: {...}` or `Namespace(...)`: what the program says that it was given."""
    at = line.find("amespace(")
    if at >= 0:
        pairs = {name: value_of(text) for name, text in _ASSIGNED.findall(line, at)}
        return Parsed("args", arguments=pairs) if pairs else None
    found = _ARGUMENTS.search(line)
    if found is None:
        return None
    pairs = {pair["name"]: value_of(pair["value"]) for pair in _PAIR.finditer(line, found.start())}
    return Parsed("args", arguments=pairs) if pairs else None


def _mapping(line: str, names: frozenset[str]) -> Parsed | None:
    """A Python or JSON dictionary: HF Trainer's lines, and one JSON object a line."""
    values = {
        pair["name"]: value_of(pair["value"]) for pair in _PAIR.finditer(line, line.index("{"))
    }
    numbers = {name: one for name, text in values.items() if (one := _as_number(text)) is not None}
    epoch, step = numbers.pop("epoch", None), _first(numbers, "step", "global_step")
    metrics = {
        canonical(name): one
        for name, one in numbers.items()
        if not canonical(name).endswith(_NOISE)
    }
    known = [name for name in metrics if name in names or (is_metric(name) and name != "lr")]
    if not metrics or (epoch is None and step is None and not known):
        return None
    if _CLOSING in values:
        return Parsed("hf", metrics=metrics)
    within = "learning_rate" in values and "loss" in values
    if within and "loss" in metrics:
        metrics["train_loss"] = metrics.pop("loss")
    inside = within and (epoch is None or epoch != int(epoch))
    whole = int(step) if step is not None and math.isfinite(step) else None
    return Parsed("mapping", epoch, whole, metrics, is_within_epoch=inside)


def _first(numbers: dict[str, float], *names: str) -> float | None:
    found = [numbers.pop(name) for name in names if name in numbers]
    return found[0] if found else None


def _lightning(line: str, names: frozenset[str]) -> Parsed | None:
    """A full bar of Lightning's: its last drawing of an epoch has the epoch's metrics."""
    match = _LIGHTNING.search(line)
    if match is None or match[2] != match[3]:
        return None
    found = _numbers(match[4].partition(", ")[2], names)
    metrics = {name: one.value for name, one in found.items()}
    if not metrics:
        return None
    return Parsed("lightning", float(match[1]), metrics=metrics, is_provisional=True)


def _keras(line: str, names: frozenset[str]) -> Parsed | None:
    """` - loss: 0.6 - val_loss: 0.5` behind a full bar; what has no split is of training."""
    metrics = {
        name if is_of_dev_or_test(name) or name == "lr" else f"train_{name}": one.value
        for name, one in _numbers(line, names).items()
    }
    if not metrics:
        return None
    return Parsed("keras", metrics=metrics, within_heading=True, is_provisional=True)


def _text(line: str, names: frozenset[str]) -> Parsed | None:
    """`epoch 3: train loss :: 1.419, dev acc :: 0.383` and whatever is written like it."""
    epoch = _EPOCH.search(line)
    if epoch is not None and "best" in line[max(0, epoch.start() - 12) : epoch.start()].lower():
        epoch = None
    step = _STEP.search(line)
    found = _numbers(line, names)
    number = float(epoch[1]) if epoch else None
    if not found and epoch is None:
        return None
    metrics = {name: one.value for name, one in found.items() if not one.is_cut}
    return Parsed(
        "text",
        number,
        int(step[1]) if step else None,
        metrics,
        within_heading=True,
        decimals={name: one.decimals for name, one in found.items() if one.decimals},
        cut=tuple(name for name, one in found.items() if one.is_cut),
    )


@dataclass(frozen=True)
class _Found:
    value: float
    decimals: int
    is_cut: bool


def _numbers(line: str, names: frozenset[str]) -> dict[str, _Found]:
    """The numbers of a line that a metric's name precedes."""
    found: dict[str, _Found] = {}
    end = 0
    for match in _NUMBER.finditer(line):
        before, end = line[max(end, match.start() - LONGEST) : match.start()], match.end(2)
        name = _name_at_end(before)
        if not name or not (name in names or is_metric(name)):
            continue
        share = 100 if match[2] else 1
        is_cut = bool(match[3]) and not line[match.end() :].strip()
        _, _, decimals = match[1].lower().partition("e")[0].partition(".")
        found[name] = _Found(float(match[1]) / share, len(decimals), is_cut)
    return found


def _name_at_end(text: str) -> str:
    """The name that a number's text before it ends in, in its one spelling, or nothing."""
    stripped = text.rstrip(_SEPARATOR + "([")
    if stripped == text and text:
        return ""  # glued to the number
    return canonical(_SPLITTERS.split(stripped)[-1])


def number_of(text: str) -> float | None:
    """A printed number; one with a percent sign as a share; None for what is none."""
    text = text.strip()
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def value_of(text: str) -> object:
    """A printed value as Python or JSON writes it: a text, truth value, nothing or a number."""
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    words: dict[str, object] = {"True": True, "true": True, "False": False, "false": False}
    if text in words or text in ("None", "null"):
        return words.get(text)
    number = number_of(text)
    if number is None or "%" in text:
        return text
    is_whole = re.fullmatch(r"[-+]?\d{1,18}", text) is not None
    return int(text) if is_whole else number


def _as_number(value: object) -> float | None:
    """A number, also one that was printed as a text, as newer HF Trainers do."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return number_of(value)
    return float(value) if isinstance(value, int | float) else None
