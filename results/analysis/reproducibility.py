"""A try that was trained again, held against its record to the last bit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trytable.records import EPOCH_METRICS
from trytable.results.storage.rows import AttemptRow, EpochRow, FindingRow, StepRow
from trytable.results.storage.study import EpochResult
from trytable.results.text.escape import markdown
from trytable.results.text.format import clean

_STEP_NUMBERS = ("loss", "lr", "gradient_norm", "weight_norm", "running_accuracy")
_EPOCH_NUMBERS = tuple(name for name in EPOCH_METRICS if name != "seconds")
"""What the same bits must give again; the seconds depend on the machine's load."""
_HASH_SHOWN = 12
_OUT_OF_MEMORY = "oom_retry"

Numbers = Mapping[str, Any]
"""Measured values by name."""


@dataclass(frozen=True)
class Measurements:
    """All that one training measured: by step, by epoch (both from 1), and predictions by split."""

    steps: Mapping[int, Numbers]
    epochs: Mapping[int, Numbers]
    predictions: Mapping[str, tuple[int, ...]]

    @property
    def is_empty(self) -> bool:
        return not (self.steps or self.epochs or self.predictions)


@dataclass(frozen=True)
class TrainingConditions:
    """What decides the bits beside the settings; each the values of all attempts, in order.

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
    """Where two trainings first measured different things; `place` as in `epoch 2`."""

    place: str
    name: str
    recorded: Any
    repeated: Any


@dataclass(frozen=True)
class Reproduction:
    """A try and its repetition. `obstacles` say why the same bits were not to be expected."""

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
        """Whether all that was recorded came again to the last bit."""
        return self.difference is None and not self.recorded.is_empty

    @property
    def identity_expected(self) -> bool:
        """Whether the same bits were to be expected."""
        return not self.reasons


def collect_measurements(
    steps: Iterable[StepRow],
    epochs: Iterable[EpochRow | EpochResult],
    predictions: Mapping[str, Sequence[int]],
) -> Measurements:
    """Put rows of one trial together; of what several attempts measured, the last one's counts."""
    return Measurements(
        steps={row.step: {name: getattr(row, name) for name in _STEP_NUMBERS} for row in steps},
        epochs={row.epoch: _epoch_numbers(row) for row in epochs},
        predictions={split: tuple(labels) for split, labels in predictions.items()},
    )


def _epoch_numbers(row: EpochRow | EpochResult) -> Numbers:
    return {**{name: getattr(row, name) for name in _EPOCH_NUMBERS}, **(row.metrics or {})}


def training_conditions(
    attempts: Iterable[AttemptRow], findings: Iterable[FindingRow], versions: Mapping[str, str]
) -> TrainingConditions:
    """Under what a trial's attempts were trained."""
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
    """Whether a training went on with smaller batches in memory."""
    return any(row.kind == _OUT_OF_MEMORY for row in findings)


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def reasons_to_differ(then: TrainingConditions, now: TrainingConditions) -> tuple[str, ...]:
    """Why a comparison to the last bit is not to be expected to hold; empty where it is."""
    versions = [
        _other(name, (version,), (now.versions.get(name, "none"),))
        for name, version in then.versions.items()
    ]
    found = (
        _other("CPU threads", then.threads, now.threads),
        _other("device", then.devices, now.devices),
        _other("precision", then.precisions, now.precisions),
        _other("trainer's sha256", _cut(then.code_hashes), _cut(now.code_hashes)),
        *versions,
        _sums(now.devices),
        _memory(then.ran_out_of_memory, now.ran_out_of_memory),
    )
    return tuple(reason for reason in found if reason)


def _other(name: str, then: tuple[Any, ...], now: tuple[Any, ...]) -> str:
    if then == now:
        return ""
    told = [" and ".join(map(str, side)) or "unknown" for side in (then, now)]
    return f"{name}: {told[0]} then, {told[1]} now"


def _cut(hashes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one[:_HASH_SHOWN] for one in hashes)


def _sums(devices: tuple[str, ...]) -> str:
    return "" if set(devices) <= {"cpu"} else "a GPU adds numbers up in no fixed order"


def _memory(then: bool, now: bool) -> str:
    when = " and ".join(word for word, out in (("then", then), ("now", now)) if out)
    return f"memory ran out {when}, and smaller batches add up in another order" if when else ""


def first_difference(recorded: Measurements, again: Measurements) -> FirstDifference | None:
    """The first recorded number that did not come again to the last bit.

    Steps come before epochs and these before predictions: a difference shows there first.
    """
    for word, then, now in (
        ("step", recorded.steps, again.steps),
        ("epoch", recorded.epochs, again.epochs),
    ):
        for number in sorted(then):
            found = _first_number(f"{word} {number}", then[number], now.get(number))
            if found is not None:
                return found
    return _first_prediction(recorded.predictions, again.predictions)


def _first_number(place: str, then: Numbers, now: Numbers | None) -> FirstDifference | None:
    if now is None:
        return FirstDifference(place, "all of it", "there", "not there")
    names = _differing(then, now)
    return FirstDifference(place, names[0], then[names[0]], now.get(names[0])) if names else None


def _differing(then: Numbers, now: Numbers) -> list[str]:
    # What was never recorded, as by an earlier version, cannot differ.
    return [name for name, one in then.items() if one is not None and one != now.get(name)]


def _first_prediction(
    recorded: Mapping[str, tuple[int, ...]], again: Mapping[str, tuple[int, ...]]
) -> FirstDifference | None:
    for split, then in recorded.items():
        now = again.get(split, ())
        if len(then) != len(now):
            return FirstDifference(f"{split} predictions", "number", len(then), len(now))
        for number, (left, right) in enumerate(zip(then, now, strict=True), start=1):
            if left != right:
                return FirstDifference(f"{split} predictions", f"text {number}", left, right)
    return None


def verdict(repeat: Reproduction) -> str:
    """One paragraph: whether the same bits came, where it parted first, and why it may have."""
    if repeat.recorded.is_empty:
        return f"{repeat.label} measured nothing before it ended, so there is nothing to compare."
    because = f": {'; '.join(repeat.reasons)}." if repeat.reasons else "."
    if repeat.is_identical:
        told = f"The same to the last bit: {_counts(repeat.recorded)}."
        return told if repeat.identity_expected else f"{told} That was not to be expected{because}"
    assert repeat.difference is not None
    parting = (
        f"Not the same. It parted first at {repeat.difference.place}: {repeat.difference.name} "
        f"{repeat.difference.recorded!r} then, {repeat.difference.repeated!r} now."
    )
    if not repeat.identity_expected:
        return f"{parting} The same bits were not to be expected{because}"
    return (
        f"{parting} Threads, device, precision, trainer and versions are the same as then, so "
        "on the same machine it should have been the same."
    )


def _counts(one: Measurements) -> str:
    parts = [(len(one.epochs), "epoch"), (len(one.steps), "logged step")]
    parts.append((sum(map(len, one.predictions.values())), "prediction"))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in parts if count)


def to_document(repeat: Reproduction) -> dict[str, Any]:
    """The comparison as plain values, for a JSON file."""
    parting = repeat.difference
    return {
        "study": repeat.study,
        "try": repeat.label,
        "same_to_the_last_bit": repeat.is_identical,
        "expected_to_be": repeat.identity_expected,
        "obstacles": list(repeat.reasons),
        "verdict": verdict(repeat),
        "first_difference": None if parting is None else vars(parting),
        "end": {"recorded": repeat.recorded_end, "again": repeat.repeated_end},
        "epochs": [
            {"epoch": epoch, "same": same, "recorded": dict(then), "again": dict(now)}
            for epoch, then, now, same in epoch_pairs(repeat)
        ],
        "steps_compared": len(repeat.recorded.steps),
    }


def epoch_pairs(repeat: Reproduction) -> list[tuple[int, Numbers, Numbers, bool]]:
    """Each recorded epoch: its number, the record, the repetition, and whether they are the same.

    What did not come again is empty.
    """
    again = repeat.repeated.epochs
    return [
        (epoch, then, again.get(epoch, {}), epoch in again and not _differing(then, again[epoch]))
        for epoch, then in sorted(repeat.recorded.epochs.items())
    ]


def to_markdown(repeat: Reproduction) -> str:
    """The comparison for a reader."""
    told = (
        f"{repeat.label} of {repeat.study}, trained again",
        verdict(repeat),
        f"It ended then: {repeat.recorded_end}. Now: {repeat.repeated_end}.",
    )
    lines = [markdown(clean(text)) for text in told]
    lines[0] = f"# {lines[0]}"
    pairs = epoch_pairs(repeat)
    if pairs:
        names = [name for name in _EPOCH_NUMBERS if pairs[0][1].get(name) is not None]
        head = f"| epoch | | {' | '.join(name.replace('_', ' ') for name in names)} | same |"
        rule = f"| ---: | --- | {' | '.join('---:' for _ in names)} | --- |"
        lines.append("\n".join([head, rule, *_rows(pairs, names)]))
    return "\n\n".join(lines) + "\n"


def _rows(pairs: list[tuple[int, Numbers, Numbers, bool]], names: list[str]) -> list[str]:
    rows = []
    for epoch, then, now, same in pairs:
        for when, numbers, mark in (("then", then, ""), ("now", now, "yes" if same else "no")):
            cells = " | ".join("" if numbers.get(n) is None else repr(numbers[n]) for n in names)
            rows.append(f"| {epoch} | {when} | {cells} | {mark} |")
    return rows
