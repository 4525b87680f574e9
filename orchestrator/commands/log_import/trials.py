"""Turns a block of a log into a trial: Optuna's frozen trial and the ledger's rows. Pure."""

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

from trytable.orchestrator.commands.log_import.blocks import Block, BlockIssue, LoggedEpoch
from trytable.orchestrator.commands.log_import.mapping_file import issue_line
from trytable.orchestrator.study.imported import IMPORTED_SOURCE, SOURCE_ATTRIBUTE
from trytable.orchestrator.study.search_space import point_inside
from trytable.records import Objective, Scalar, finite_or_none, is_number
from trytable.results.storage.ledger import STUDY_UID
from trytable.results.storage.rows import EpochRow, FindingRow, Row, TrialRow
from trytable.sweeps.config.schema import Range, Sweep, Values
from trytable.trainers.script.logs.metric_names import canonical_name

_ATTEMPT = 1
_MAX_HEADING = 40
_SEVERITIES = {"debris": "info"}
"""Severities of issues; all others are warnings."""

_METRIC_COLUMNS = ("train_loss", "dev_loss", "dev_accuracy", "dev_macro_f1")
"""Metrics that have a column of their own in the ledger."""


@dataclass(frozen=True)
class Origin:
    """Where an imported trial came from: the log, its hash, and the lines of its block.

    `places` names the place of each setting. The study stores these fields by their names.
    """

    file: str
    sha256: str
    lines: str
    heading: str
    places: Mapping[str, str]


@dataclass(frozen=True)
class ImportedTrial:
    """A block on its way into a study; `best` is None if only a closing line has the objective."""

    uid: str
    block: Block
    origin: Origin
    parameters: Mapping[str, Scalar]
    value: float
    best: LoggedEpoch | None


def make_imported_trial(
    study_uid: str,
    block: Block,
    origin: Origin,
    parameters: Mapping[str, Scalar],
    *,
    objective: Objective,
    copies: int = 0,
) -> ImportedTrial | None:
    """Return a block with its value, or None if no line of it has the objective.

    The value is that of the best epoch, or of a closing line if no epoch has one. The UUID follows
    from the study and the block's numbers, so a second import finds the same trial; `copies` is
    the number of earlier blocks with exactly the same numbers.
    """
    metric = canonical_name(objective.name)
    course = [
        (value, epoch)
        for epoch in block.epochs
        if (value := finite_or_none(epoch.metrics.get(metric))) is not None
    ]
    closing = finite_or_none(block.closing.get(metric))
    value, best = objective.best(course, lambda entry: entry[0]) if course else (closing, None)
    if value is None:
        return None
    identity = f"{study_uid} {block.fingerprint} {copies}"
    uid = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return ImportedTrial(uid, block, origin, parameters, value, best)


def space_violations(sweep: Sweep, parameters: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Return why settings are not a point of a sweep's search space; empty if they are one."""
    violations = []
    for name, parameter in sweep.parameters.items():
        if name not in parameters:
            violations.append(f"{name} is not known")
        elif not _contains(parameter, parameters[name]):
            violations.append(f"{name} {parameters[name]} is not in the sweep's space")
    return tuple(violations)


def _contains(parameter: Values | Range, value: Scalar) -> bool:
    if isinstance(parameter, Values):
        # In Python, True equals 1; as settings they differ.
        is_bool = isinstance(value, bool)
        return value in [v for v in parameter.values if isinstance(v, bool) == is_bool]
    return is_number(value) and parameter.contains(value)


def spanning_distributions(
    points: Iterable[Mapping[str, Scalar]],
) -> dict[str, BaseDistribution]:
    """Return distributions that span all values of the settings that vary."""
    columns: dict[str, list[Scalar]] = {}
    for point in points:
        for name, value in point.items():
            columns.setdefault(name, []).append(value)
    return {name: _spanning(values) for name, values in columns.items() if len(set(values)) > 1}


def _spanning(values: Sequence[Scalar]) -> BaseDistribution:
    numbers = [value for value in values if is_number(value)]
    if len(numbers) < len(values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)))


def frozen_trial(
    trial: ImportedTrial, distributions: Mapping[str, BaseDistribution], objective: str
) -> FrozenTrial:
    """Return the COMPLETE trial for Optuna, with the settings that a sampler can learn from."""
    metric = canonical_name(objective)
    point = point_inside(trial.parameters, distributions)
    return create_trial(
        state=TrialState.COMPLETE,
        value=trial.value,
        params=dict(point),
        distributions={name: distributions[name] for name in point},
        intermediate_values={
            epoch.epoch: value
            for epoch in trial.block.epochs
            if (value := finite_or_none(epoch.metrics.get(metric))) is not None
        },
        user_attrs={
            STUDY_UID: trial.uid,
            SOURCE_ATTRIBUTE: IMPORTED_SOURCE,
            "trytable:origin": asdict(trial.origin),
        },
    )


def trial_rows(trial: ImportedTrial, study_uid: str, number: int, objective: str) -> list[Row]:
    """Return the ledger's rows: the trial, its epochs, and the issues of its block as findings."""
    block, best = trial.block, trial.best
    accuracy = best.metrics.get("dev_accuracy") if best else block.closing.get("dev_accuracy")
    row = TrialRow(
        uid=trial.uid,
        study_uid=study_uid,
        number=number,
        requested=dict(trial.parameters),
        source=IMPORTED_SOURCE,
        status="completed",
        reason=_reason(trial.origin),
        best_epoch=best.epoch if best else None,
        best_value=trial.value,
        best_dev_accuracy=finite_or_none(accuracy),
        test_accuracy=finite_or_none(block.closing.get("test_accuracy")),
        origin=asdict(trial.origin),
    )
    epochs = [_epoch_row(trial.uid, epoch, objective) for epoch in block.epochs]
    return [row, *epochs, *_finding_rows(trial.uid, block.issues)]


def _reason(origin: Origin) -> str:
    heading = f"{origin.heading[:_MAX_HEADING]}, " if origin.heading else ""
    return f"imported: {heading}{Path(origin.file).name}:{origin.lines}"


def _epoch_row(uid: str, epoch: LoggedEpoch, objective: str) -> EpochRow:
    metrics = {
        name: finite
        for name, value in epoch.metrics.items()
        if (finite := finite_or_none(value)) is not None
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
        **{name: metrics.get(name) for name in _METRIC_COLUMNS},
    )


def _finding_rows(uid: str, issues: Iterable[BlockIssue]) -> list[Row]:
    """Return one finding for each kind, because the ledger's key allows no second one."""
    by_kind: dict[str, list[BlockIssue]] = {}
    for issue in issues:
        by_kind.setdefault(issue.kind, []).append(issue)
    return [
        FindingRow(
            uid,
            _ATTEMPT,
            kind,
            _SEVERITIES.get(kind, "warning"),
            "; ".join(map(issue_line, same_kind)),
            _evidence(same_kind),
        )
        for kind, same_kind in by_kind.items()
    ]


def _evidence(issues: Sequence[BlockIssue]) -> dict[str, Any]:
    lines = [str(line) for issue in issues for line in issue.lines]
    return {"count": sum(issue.count for issue in issues), "lines": ", ".join(lines)}
