"""Compares a trial that was trained again with its record, bit by bit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trytable.records import EPOCH_METRICS
from trytable.results.storage.rows import AttemptRow, EpochRow, FindingRow, StepRow
from trytable.results.storage.study import EpochResult
from trytable.results.text.escape import markdown
from trytable.results.text.format import clean

_STEP_NUMBERS = ("loss", "lr", "gradient_norm", "weight_norm", "running_accuracy")
_EPOCH_NUMBERS = tuple(name for name in EPOCH_METRICS if name != "seconds")
"""What an identical training measures again; the seconds depend on the machine's load."""

_HASH_CHARACTERS = 12
_OUT_OF_MEMORY = "oom_retry"

Numbers = Mapping[str, Any]
"""Measured values by name."""


@dataclass(frozen=True)
class Measurements:
    """What one training measured: by step, by epoch (both from 1), and predictions by split."""

    steps: Mapping[int, Numbers]
    epochs: Mapping[int, Numbers]
    predictions: Mapping[str, tuple[int, ...]]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not (self.steps or self.epochs or self.predictions)


@dataclass(frozen=True)
class TrainingConditions:
    """What decides the bits besides the settings; each the distinct values of all attempts.

    `versions` are those of packages, by name.
    """

    threads: tuple[int, ...]
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    code_hashes: tuple[str, ...]
    versions: Mapping[str, str]
    ran_out_of_memory: bool = False


@dataclass(frozen=True)
class FirstDifference:
    """Where two trainings first measured different values; `place` is such as `epoch 2`."""

    place: str
    name: str
    recorded: Any
    repeated: Any


@dataclass(frozen=True)
class Reproduction:
    """A trial and its repetition. `reasons` say why identical bits are not expected."""

    study: str
    label: str
    recorded_end: str
    repeated_end: str
    recorded: Measurements
    repeated: Measurements
    reasons: tuple[str, ...]
    difference: FirstDifference | None

    @property
    def is_identical(self) -> bool:
        """Whether the repetition measured everything that is recorded, to the last bit."""
        return self.difference is None and not self.recorded.is_empty

    @property
    def identity_expected(self) -> bool:
        """Whether identical bits are expected."""
        return not self.reasons


def collect_measurements(
    steps: Iterable[StepRow],
    epochs: Iterable[EpochRow | EpochResult],
    predictions: Mapping[str, Sequence[int]],
) -> Measurements:
    """Collect the rows of one trial; if several attempts measured a step, the last one counts."""
    return Measurements(
        steps={row.step: {name: getattr(row, name) for name in _STEP_NUMBERS} for row in steps},
        epochs={
            row.epoch: {**{n: getattr(row, n) for n in _EPOCH_NUMBERS}, **(row.metrics or {})}
            for row in epochs
        },
        predictions={split: tuple(labels) for split, labels in predictions.items()},
    )


def training_conditions(
    attempts: Iterable[AttemptRow], findings: Iterable[FindingRow], versions: Mapping[str, str]
) -> TrainingConditions:
    """The conditions under which a trial's attempts were trained."""
    started = [row for row in attempts if row.code_hash or row.precision]
    return TrainingConditions(
        threads=_distinct(row.threads for row in started),
        devices=_distinct(row.device for row in started),
        precisions=_distinct(row.precision for row in started),
        code_hashes=_distinct(row.code_hash for row in started),
        versions=versions,
        ran_out_of_memory=ran_out_of_memory(findings),
    )


def ran_out_of_memory(findings: Iterable[FindingRow]) -> bool:
    """Whether a training continued with smaller micro-batches."""
    return any(row.kind == _OUT_OF_MEMORY for row in findings)


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def reasons_to_differ(then: TrainingConditions, now: TrainingConditions) -> tuple[str, ...]:
    """Why identical bits are not expected; empty if they are."""
    versions = [
        _changed(name, (version,), (now.versions.get(name, "none"),))
        for name, version in then.versions.items()
    ]
    candidates = (
        _changed("CPU threads", then.threads, now.threads),
        _changed("device", then.devices, now.devices),
        _changed("precision", then.precisions, now.precisions),
        _changed("trainer's sha256", _short(then.code_hashes), _short(now.code_hashes)),
        *versions,
        "" if set(now.devices) <= {"cpu"} else "a GPU adds numbers in no fixed order",
        _memory_reason(then.ran_out_of_memory, now.ran_out_of_memory),
    )
    return tuple(reason for reason in candidates if reason)


def _changed(name: str, then: tuple[Any, ...], now: tuple[Any, ...]) -> str:
    if then == now:
        return ""
    old, new = (" and ".join(map(str, values)) or "unknown" for values in (then, now))
    return f"{name}: {old} then, {new} now"


def _short(hashes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(code_hash[:_HASH_CHARACTERS] for code_hash in hashes)


def _memory_reason(then: bool, now: bool) -> str:
    times = " and ".join(word for word, is_true in (("then", then), ("now", now)) if is_true)
    return f"memory ran out {times}, and smaller batches add in another order" if times else ""


def first_difference(recorded: Measurements, repeated: Measurements) -> FirstDifference | None:
    """The first recorded number that the repetition did not measure to the last bit.

    Steps are compared before epochs and these before predictions, as a difference spreads.
    """
    for unit, then, now in (
        ("step", recorded.steps, repeated.steps),
        ("epoch", recorded.epochs, repeated.epochs),
    ):
        for number in sorted(then):
            difference = _first_number(f"{unit} {number}", then[number], now.get(number))
            if difference is not None:
                return difference
    return _first_prediction(recorded.predictions, repeated.predictions)


def _first_number(place: str, then: Numbers, now: Numbers | None) -> FirstDifference | None:
    if now is None:
        return FirstDifference(place, "all values", "measured", "missing")
    names = _differing_names(then, now)
    return FirstDifference(place, names[0], then[names[0]], now.get(names[0])) if names else None


def _differing_names(then: Numbers, now: Numbers) -> list[str]:
    # A value that was never recorded, such as one of an earlier version, cannot differ.
    return [name for name, value in then.items() if value is not None and value != now.get(name)]


def _first_prediction(
    recorded: Mapping[str, tuple[int, ...]], repeated: Mapping[str, tuple[int, ...]]
) -> FirstDifference | None:
    for split, then in recorded.items():
        now = repeated.get(split, ())
        if len(then) != len(now):
            return FirstDifference(f"{split} predictions", "number", len(then), len(now))
        for number, (old, new) in enumerate(zip(then, now, strict=True), start=1):
            if old != new:
                return FirstDifference(f"{split} predictions", f"text {number}", old, new)
    return None


def verdict(reproduction: Reproduction) -> str:
    """One paragraph: whether the bits are identical, the first difference, and possible reasons."""
    if reproduction.recorded.is_empty:
        return (
            f"{reproduction.label} measured nothing before it ended, so there is nothing to "
            "compare."
        )
    reasons = f": {'; '.join(reproduction.reasons)}." if reproduction.reasons else "."
    if reproduction.is_identical:
        text = f"The same to the last bit: {_counts(reproduction.recorded)}."
        return text if reproduction.identity_expected else f"{text} That was not expected{reasons}"
    difference = reproduction.difference
    assert difference is not None, "what is recorded and not identical differs somewhere"
    text = (
        f"Not the same. The first difference is at {difference.place}: {difference.name} "
        f"{difference.recorded!r} then, {difference.repeated!r} now."
    )
    if not reproduction.identity_expected:
        return f"{text} The same bits were not expected{reasons}"
    return (
        f"{text} Threads, device, precision, trainer and versions are the same as then, so the "
        "same bits were expected on the same machine."
    )


def _counts(measurements: Measurements) -> str:
    predictions = sum(map(len, measurements.predictions.values()))
    counts = (
        (len(measurements.epochs), "epoch"),
        (len(measurements.steps), "logged step"),
        (predictions, "prediction"),
    )
    return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts if n)


def to_document(reproduction: Reproduction) -> dict[str, Any]:
    """The comparison as plain values for a JSON file."""
    difference = reproduction.difference
    return {
        "study": reproduction.study,
        "try": reproduction.label,
        "same_to_the_last_bit": reproduction.is_identical,
        "expected_to_be": reproduction.identity_expected,
        "obstacles": list(reproduction.reasons),
        "verdict": verdict(reproduction),
        "first_difference": difference
        and {
            "place": difference.place,
            "name": difference.name,
            "recorded": difference.recorded,
            "again": difference.repeated,
        },
        "end": {"recorded": reproduction.recorded_end, "again": reproduction.repeated_end},
        "epochs": [
            {"epoch": epoch, "same": is_same, "recorded": dict(then), "again": dict(now)}
            for epoch, then, now, is_same in _epoch_pairs(reproduction)
        ],
        "steps_compared": len(reproduction.recorded.steps),
    }


def to_markdown(reproduction: Reproduction) -> str:
    """The comparison as Markdown."""
    title, *paragraphs = (
        markdown(clean(text))
        for text in (
            f"{reproduction.label} of {reproduction.study}, trained again",
            verdict(reproduction),
            f"It ended then: {reproduction.recorded_end}. Now: {reproduction.repeated_end}.",
        )
    )
    pairs = _epoch_pairs(reproduction)
    if pairs:
        names = [name for name in _EPOCH_NUMBERS if pairs[0][1].get(name) is not None]
        head = f"| epoch | | {' | '.join(name.replace('_', ' ') for name in names)} | same |"
        rule = f"| ---: | --- | {' | '.join('---:' for _ in names)} | --- |"
        paragraphs.append("\n".join([head, rule, *_table_lines(pairs, names)]))
    return "\n\n".join([f"# {title}", *paragraphs]) + "\n"


_EpochPair = tuple[int, Numbers, Numbers, bool]


def _epoch_pairs(reproduction: Reproduction) -> list[_EpochPair]:
    """Each recorded epoch: its number, the record, the repetition, and whether they are the same.

    An epoch that the repetition lacks is empty.
    """
    epochs = reproduction.repeated.epochs
    return [
        (
            epoch,
            then,
            epochs.get(epoch, {}),
            epoch in epochs and not _differing_names(then, epochs[epoch]),
        )
        for epoch, then in sorted(reproduction.recorded.epochs.items())
    ]


def _table_lines(pairs: list[_EpochPair], names: list[str]) -> Iterator[str]:
    for epoch, then, now, is_same in pairs:
        for moment, numbers, mark in (("then", then, ""), ("now", now, "yes" if is_same else "no")):
            cells = " | ".join("" if numbers.get(n) is None else repr(numbers[n]) for n in names)
            yield f"| {epoch} | {moment} | {cells} | {mark} |"
