"""What one printed line says: the built-in patterns, and the user's own.

Every built-in expression takes time linear in the line's length: each repetition that could be
retried from another position has an upper bound. A user's expression may take exponential time, so
it runs with a time limit.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import regex

from trytable.trainers.script.logs.metric_names import (
    MAX_NAME_LENGTH,
    canonical_name,
    is_evaluation_metric,
    is_metric_name,
)
from trytable.trainers.script.logs.values import number_from, parse_literal, parse_number

CUSTOM_PATTERN_SECONDS = 0.2
"""A custom pattern that takes longer on one line is not used again."""

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
_PROGRESS_BAR = re.compile(
    r"\d{1,3}%\|[^|]{0,300}\|[^\[\n]{0,60}(?:\[[^\]\n]{0,1000}\])?|\b\d{1,18}it \[[^\]\n]{0,1000}\]"
)
_LIGHTNING = re.compile(
    r"\bEpoch (\d{1,9}): {1,4}100%\|[^|]{0,300}\| {0,4}(\d{1,18})/(\d{1,18}) {0,4}"
    r"\[([^\]\n]{0,2000})\]"
)
_KERAS = re.compile(r"^\s*(\d+)/(\d+)\s[^-]{0,200}\s- ")
_KEY_VALUE = re.compile(
    r"""(?P<q>['"])(?P<name>[^'"\\]{1,80})(?P=q)\s{0,9}:\s{0,9}
        (?P<value>'(?:[^'\\]|\\.){0,2000}'|"(?:[^"\\]|\\.){0,2000}"|[^\s,{}\[\]'"()]+)""",
    re.VERBOSE,
)
_ASSIGNMENT = re.compile(
    r"\b([^\W\d]\w{0,80})="
    r"('(?:[^'\\]|\\.){0,2000}'|\"(?:[^\"\\]|\\.){0,2000}\"|[^\s,()\[\]'\"]+)"
)
_ARGUMENTS = re.compile(r"\b(?:arg|config|hyper|param|setting|option)\w*\W{0,4}\{", re.IGNORECASE)
_NAME_BOUNDARY = re.compile(r"[,;|\t\[\]{}<>]|\s[-–—•]\s|:\s|\)\s")
_SEPARATOR = " \t:=~≈→>*"
_RUNTIME_SUFFIXES = ("runtime", "per_second", "flos", "flops", "jit_compilation_time")
_HF_FINAL_KEY = "train_runtime"
"""HF Trainer prints this key in the last line of a run only."""


@dataclass(frozen=True)
class CustomPattern:
    """A user's regular expression with named groups: `epoch`, `step`, and metrics by name.

    Raises ValueError, with the reason, if it does not compile or names no metric.
    """

    text: str

    def __post_init__(self) -> None:
        compile_pattern(self.text)


def compile_pattern(text: str) -> "regex.Pattern[str]":
    """Compile a user's expression. Raises ValueError with the reason."""
    try:
        pattern = regex.compile(text)
    except regex.error as error:
        raise ValueError(str(error)) from error
    if not set(pattern.groupindex) - {"epoch", "step"}:
        raise ValueError("it has no named group for a metric, such as (?P<dev_f1>[0-9.]+)")
    return pattern


@dataclass(frozen=True)
class ParsedLine:
    """What a line says, regardless of the lines around it.

    Attributes:
        pattern: which pattern matched.
        epoch: as printed, None if the line names none.
        step: as printed, None if the line names none.
        metrics: by canonical name; percentages as shares.
        arguments: the script's arguments, if the line prints them.
        inherits_epoch: without an epoch of its own, the line belongs to the last one named.
        is_within_epoch: it reports on a part of an epoch.
        is_provisional: a progress bar printed it, and may print it again with other numbers.
        decimals: how many decimals each number was printed with.
        truncated: metrics whose number ends in a decimal point, as a cut line's does.
    """

    pattern: str
    epoch: float | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    arguments: Mapping[str, object] = field(default_factory=dict)
    inherits_epoch: bool = False
    is_within_epoch: bool = False
    is_provisional: bool = False
    decimals: Mapping[str, int] = field(default_factory=dict)
    truncated: Sequence[str] = ()

    @property
    def closes_epoch(self) -> bool:
        """Whether it has metrics of dev or test data, which are measured after an epoch."""
        return any(is_evaluation_metric(name) for name in self.metrics)


def parse_line(
    line: str, patterns: Sequence[CustomPattern] = (), names: frozenset[str] = frozenset()
) -> tuple[ParsedLine | None, list[CustomPattern]]:
    """Return what a line says, or None, and the custom patterns that took too long on it.

    `names` are metrics, by canonical name, to look for besides the known ones.
    """
    slow: list[CustomPattern] = []
    for pattern in patterns:
        try:
            parsed = _match_custom(pattern, line)
        except TimeoutError:
            slow.append(pattern)
            continue
        if parsed is not None:
            return parsed, slow
    return _match_built_in(line, names), slow


def _match_custom(pattern: CustomPattern, line: str) -> ParsedLine | None:
    match = compile_pattern(pattern.text).search(line, timeout=CUSTOM_PATTERN_SECONDS)
    if match is None:
        return None
    numbers = {name: parse_number(text) for name, text in match.groupdict().items() if text}
    epoch, step = numbers.pop("epoch", None), numbers.pop("step", None)
    metrics = {canonical_name(name): n for name, n in numbers.items() if n is not None}
    if not metrics:
        return None
    return ParsedLine("own", epoch, _finite_step(step), metrics, inherits_epoch=epoch is None)


def _finite_step(step: float | None) -> int | None:
    return int(step) if step is not None and math.isfinite(step) else None


def _match_built_in(line: str, names: frozenset[str]) -> ParsedLine | None:
    if not any(char.isdigit() for char in line) and "{" not in line and "amespace(" not in line:
        return None
    if "\x1b" in line or "\x08" in line:
        line = _ESCAPE.sub("", line)
    return (
        _match_arguments(line)
        or (_match_mapping(line, names) if "{" in line and "}" in line else None)
        or (_match_lightning(line, names) if "%|" in line else None)
        or _match_keras_or_text(line, names)
    )


def _match_arguments(line: str) -> ParsedLine | None:
    """Match `args: {...}` and `Namespace(...)`: the arguments as the program parsed them."""
    start = line.find("amespace(")
    if start >= 0:
        arguments = {name: parse_literal(text) for name, text in _ASSIGNMENT.findall(line, start)}
    elif match := _ARGUMENTS.search(line):
        arguments = _key_values(line, match.start())
    else:
        return None
    return ParsedLine("args", arguments=arguments) if arguments else None


def _key_values(line: str, start: int) -> dict[str, object]:
    pairs = _KEY_VALUE.finditer(line, start)
    return {pair["name"]: parse_literal(pair["value"]) for pair in pairs}


def _match_mapping(line: str, names: frozenset[str]) -> ParsedLine | None:
    """Match a Python or JSON dictionary: HF Trainer's lines, and logs with a JSON object a line."""
    values = _key_values(line, line.index("{"))
    numbers = {
        name: number for name, value in values.items() if (number := number_from(value)) is not None
    }
    epoch, step = numbers.pop("epoch", None), _pop_first(numbers, "step", "global_step")
    metrics = {
        canonical_name(name): number
        for name, number in numbers.items()
        if not canonical_name(name).endswith(_RUNTIME_SUFFIXES)
    }
    recognized = any(name in names or (is_metric_name(name) and name != "lr") for name in metrics)
    if not metrics or (epoch is None and step is None and not recognized):
        return None
    if _HF_FINAL_KEY in values:
        return ParsedLine("hf", metrics=metrics)
    is_step_line = "learning_rate" in values and "loss" in values  # HF Trainer's logging_steps
    if is_step_line and "loss" in metrics:
        metrics["train_loss"] = metrics.pop("loss")
    within = is_step_line and (epoch is None or epoch != int(epoch))
    return ParsedLine("mapping", epoch, _finite_step(step), metrics, is_within_epoch=within)


def _pop_first(numbers: dict[str, float], *names: str) -> float | None:
    values = [numbers.pop(name) for name in names if name in numbers]
    return values[0] if values else None


def _match_lightning(line: str, names: frozenset[str]) -> ParsedLine | None:
    """Match a full bar of Lightning's: the last bar of an epoch has the epoch's metrics."""
    match = _LIGHTNING.search(line)
    if match is None or match[2] != match[3]:
        return None
    numbers = _find_numbers(match[4].partition(", ")[2], names)
    metrics = {name: number.value for name, number in numbers.items()}
    if not metrics:
        return None
    return ParsedLine("lightning", float(match[1]), metrics=metrics, is_provisional=True)


def _match_keras_or_text(line: str, names: frozenset[str]) -> ParsedLine | None:
    keras = _KERAS.match(line)
    if keras is None:
        return _match_text(_PROGRESS_BAR.sub(" ", line), names)
    # A bar that is not full shows means over a part of the epoch.
    return _match_keras(line[keras.end() - 3 :], names) if keras[1] == keras[2] else None


def _match_keras(line: str, names: frozenset[str]) -> ParsedLine | None:
    """Match ` - loss: 0.6 - val_loss: 0.5` after a full bar. Without a split it is train."""
    metrics = {
        name if is_evaluation_metric(name) or name == "lr" else f"train_{name}": number.value
        for name, number in _find_numbers(line, names).items()
    }
    if not metrics:
        return None
    return ParsedLine("keras", metrics=metrics, inherits_epoch=True, is_provisional=True)


def _match_text(line: str, names: frozenset[str]) -> ParsedLine | None:
    """Match `epoch 3: train loss :: 1.419, dev acc :: 0.383` and similar text."""
    epoch = _EPOCH.search(line)
    if epoch is not None and "best" in line[max(0, epoch.start() - 12) : epoch.start()].lower():
        epoch = None
    step = _STEP.search(line)
    numbers = _find_numbers(line, names)
    if not numbers and epoch is None:
        return None
    return ParsedLine(
        "text",
        float(epoch[1]) if epoch else None,
        int(step[1]) if step else None,
        {name: number.value for name, number in numbers.items() if not number.is_truncated},
        inherits_epoch=True,
        decimals={name: number.decimals for name, number in numbers.items() if number.decimals},
        truncated=tuple(name for name, number in numbers.items() if number.is_truncated),
    )


@dataclass(frozen=True)
class _PrintedNumber:
    value: float
    decimals: int
    is_truncated: bool


def _find_numbers(line: str, names: frozenset[str]) -> dict[str, _PrintedNumber]:
    """Find the numbers of a line that follow a metric's name."""
    numbers: dict[str, _PrintedNumber] = {}
    end = 0
    for match in _NUMBER.finditer(line):
        prefix = line[max(end, match.start() - MAX_NAME_LENGTH) : match.start()]
        end = match.end(2)
        name = _name_at_end(prefix)
        if not name or not (name in names or is_metric_name(name)):
            continue
        scale = 100 if match[2] else 1
        is_truncated = bool(match[3]) and not line[match.end() :].strip()
        _, _, decimals = match[1].lower().partition("e")[0].partition(".")
        numbers[name] = _PrintedNumber(float(match[1]) / scale, len(decimals), is_truncated)
    return numbers


def _name_at_end(prefix: str) -> str:
    """Return the canonical name that the text before a number ends in, or an empty string."""
    stripped = prefix.rstrip(_SEPARATOR + "([")
    if stripped == prefix and prefix:
        return ""  # no separator between name and number
    return canonical_name(_NAME_BOUNDARY.split(stripped)[-1])
