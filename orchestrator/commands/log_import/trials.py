"""Makes a trial of a block: Optuna's frozen trial and the ledger's rows. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from trytable.orchestrator.commands.log_import.mapping_file import told
from trytable.orchestrator.commands.log_import.runs import Block, Epoch, Oddity
from trytable.orchestrator.study.imported import IMPORTED_SOURCE, SOURCE_ATTRIBUTE
from trytable.orchestrator.study.search_space import known_point
from trytable.records import Objective, Scalar, finite_or_none, is_number
from trytable.results.storage.ledger import STUDY_UID
from trytable.results.storage.rows import EpochRow, FindingRow, Row, TrialRow
from trytable.sweeps.config.loader import Range, Sweep, Values
from trytable.trainers.script.logs.metric_names import canonical_name

_ATTEMPT = 1
_LONGEST_HEADING = 40
_SEVERITY = {"debris": "info"}
_MEASURED = ("train_loss", "dev_loss", "dev_accuracy", "dev_macro_f1")


@dataclass(frozen=True)
class Origin:
    """Where an imported trial came from: the log, its hash, and the lines of its block."""

    file: str
    sha256: str
    lines: str
    heading: str
    places: Mapping[str, str]


@dataclass(frozen=True)
class Adopted:
    """A block on its way into the study. `outside` says what keeps it out of the sweep's space."""

    uid: str
    block: Block
    origin: Origin
    parameters: Mapping[str, Scalar]
    value: float
    best: Epoch | None
    outside: tuple[str, ...] = ()


def adopt(
    study_uid: str,
    block: Block,
    origin: Origin,
    parameters: Mapping[str, Scalar],
    *,
    objective: Objective,
    copies: int = 0,
) -> Adopted | None:
    """A block with its value; None where no line of it tells the objective.

    The value is the best epoch's; a closing line's where no epoch told one. The UUID follows from
    the study and the block's numbers, so importing again finds it; `copies` counts the blocks with
    the very same numbers before it.
    """
    metric = canonical_name(objective.name)
    course = [
        (value, one)
        for one in block.epochs
        if (value := finite_or_none(one.metrics.get(metric))) is not None
    ]
    closing = finite_or_none(block.closing.get(metric))
    value, best = objective.best(course, lambda point: point[0]) if course else (closing, None)
    if value is None:
        return None
    told_as = f"{study_uid} {block.fingerprint} {copies}"
    uid = hashlib.sha256(told_as.encode()).hexdigest()[:32]
    return Adopted(uid, block, origin, parameters, value, best)


def outside_of(sweep: Sweep, parameters: Mapping[str, Scalar]) -> tuple[str, ...]:
    """What keeps settings from being a point of a sweep's space, in words; nothing if they are."""
    found = []
    for name, parameter in sweep.parameters.items():
        if name not in parameters:
            found.append(f"{name} is not known")
        elif not _contains(parameter, parameters[name]):
            found.append(f"{name} {parameters[name]} is not in the sweep's space")
    return tuple(found)


def _contains(parameter: Values | Range, value: Scalar) -> bool:
    if isinstance(parameter, Values):
        alike = [
            one for one in parameter.values if isinstance(one, bool) == isinstance(value, bool)
        ]
        return value in alike
    return is_number(value) and parameter.contains(value)


def spanning(tries: Iterable[Mapping[str, Scalar]]) -> dict[str, BaseDistribution]:
    """Distributions that span all values of the settings that vary, where no sweep says any."""
    columns: dict[str, list[Scalar]] = {}
    for one in tries:
        for name, value in one.items():
            columns.setdefault(name, []).append(value)
    return {name: _span(values) for name, values in columns.items() if len(set(values)) > 1}


def _span(values: Sequence[Scalar]) -> BaseDistribution:
    numbers = [one for one in values if is_number(one)]
    if len(numbers) < len(values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    if all(isinstance(one, int) for one in numbers):
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)))


def frozen_trial(
    one: Adopted, distributions: Mapping[str, BaseDistribution], objective: str
) -> FrozenTrial:
    """The trial as Optuna keeps it: COMPLETE, with the settings that the sampler can learn from."""
    point = known_point(one.parameters, distributions)
    return create_trial(
        state=TrialState.COMPLETE,
        value=one.value,
        params=dict(point),
        distributions={name: distributions[name] for name in point},
        intermediate_values={
            epoch.epoch: value
            for epoch in one.block.epochs
            if (value := finite_or_none(epoch.metrics.get(canonical_name(objective)))) is not None
        },
        user_attrs={
            STUDY_UID: one.uid,
            SOURCE_ATTRIBUTE: IMPORTED_SOURCE,
            "trytable:origin": asdict(one.origin),
        },
    )


def rows_of(one: Adopted, study_uid: str, number: int, objective: str) -> list[Row]:
    """The ledger's rows: the trial, its epochs, and what is odd about its lines."""
    block, best = one.block, one.best
    accuracy = best.metrics.get("dev_accuracy") if best else block.closing.get("dev_accuracy")
    trial = TrialRow(
        uid=one.uid,
        study_uid=study_uid,
        number=number,
        requested=dict(one.parameters),
        source=IMPORTED_SOURCE,
        status="completed",
        reason=_reason(one.origin),
        best_epoch=best.epoch if best else None,
        best_value=one.value,
        best_dev_accuracy=finite_or_none(accuracy),
        test_accuracy=finite_or_none(block.closing.get("test_accuracy")),
        origin=asdict(one.origin),
    )
    epochs = [_epoch_row(one.uid, epoch, objective) for epoch in block.epochs]
    return [trial, *epochs, *_findings(one.uid, block.oddities)]


def _reason(origin: Origin) -> str:
    heading = f"{origin.heading[:_LONGEST_HEADING]}, " if origin.heading else ""
    return f"imported: {heading}{Path(origin.file).name}:{origin.lines}"


def _epoch_row(uid: str, epoch: Epoch, objective: str) -> EpochRow:
    metrics = {
        name: value
        for name, one in epoch.metrics.items()
        if (value := finite_or_none(one)) is not None
    }
    train = metrics.get("train_accuracy")
    return EpochRow(
        trial_uid=uid,
        attempt=_ATTEMPT,
        epoch=epoch.epoch,
        step=0,
        running_accuracy=train if epoch.is_running else None,
        probe_accuracy=None if epoch.is_running else train,
        seconds=None,
        value=metrics.get(canonical_name(objective)),
        metrics=metrics,
        **{name: metrics.get(name) for name in _MEASURED},
    )


def _findings(uid: str, oddities: Iterable[Oddity]) -> list[Row]:
    """One finding a kind: the ledger keeps no more."""
    by_kind: dict[str, list[Oddity]] = {}
    for odd in oddities:
        by_kind.setdefault(odd.kind, []).append(odd)
    return [
        FindingRow(uid, _ATTEMPT, kind, _SEVERITY.get(kind, "warning"), message, evidence)
        for kind, found in by_kind.items()
        for message, evidence in [("; ".join(map(told, found)), _evidence(found))]
    ]


def _evidence(found: Sequence[Oddity]) -> dict[str, Any]:
    lines = [str(line) for odd in found for line in odd.lines]
    return {"count": sum(odd.count for odd in found), "lines": ", ".join(lines)}
