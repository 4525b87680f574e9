"""One trial in full: requested and effective settings, attempts, epochs and findings."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trytable.records import DEFAULT_OBJECTIVE, is_number
from trytable.results.storage.rows import FindingRow
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.types import Column
from trytable.results.text.format import Cell, CellKind, as_cell, clean, format_value, one_line

MISMATCH = "mismatch"
"""The kind of a finding about settings that did not take effect."""

_RELATIVE_TOLERANCE = 1e-6
"""A number that went through single precision counts as the same."""


@dataclass(frozen=True)
class SettingLine:
    """A knob, or with `is_reading` a value that was read back for the knob above it.

    `requested` is None if nothing was requested by this name, `effective` if nothing was read back.
    """

    name: str
    requested: Cell
    effective: Cell
    differs: bool
    is_reading: bool


@dataclass(frozen=True)
class Grid:
    """A small table without empty columns; cells are in the columns' order."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class TrialDetail:
    """A trial; `facts` are terms with their texts, without what is not known."""

    study: str
    label: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[SettingLine, ...]
    attempts: Grid
    curve: Grid
    findings: Grid


def trial_detail(study: StudyResult, trial: TrialResult) -> TrialDetail:
    """Return all that the database has about a trial."""
    return TrialDetail(
        study=study.name,
        label=trial.label,
        facts=_facts(study, trial),
        settings=setting_lines(trial.settings, trial.effective, trial.findings),
        attempts=_attempts(trial),
        curve=_curve(study, trial),
        findings=_findings(trial),
    )


def setting_lines(
    requested: Mapping[str, Any],
    effective: Mapping[str, Any],
    findings: Iterable[FindingRow] = (),
) -> tuple[SettingLine, ...]:
    """Return a line for each knob with its effective value, followed by the knob's readings.

    A reading belongs to the knob before its first dot, `lr.peak` to `lr`. Readings without a knob
    come last.
    """
    mismatches = _mismatches(findings)
    readings = {
        **dict.fromkeys(name for name in mismatches if name not in requested),
        **effective,
    }
    lines: list[SettingLine] = []
    for knob, value in requested.items():
        lines.append(_line(knob, as_cell(value), as_cell(readings.pop(knob, None)), mismatches))
        for name in [name for name in readings if name.partition(".")[0] == knob]:
            lines.append(_reading(name, readings.pop(name), mismatches))
    lines += [_line(name, None, as_cell(value), mismatches) for name, value in readings.items()]
    return tuple(lines)


def _mismatches(findings: Iterable[FindingRow]) -> dict[str, Any]:
    """Return the requested value of each setting that a finding reports as not in effect.

    The finding's evidence has `NAME.requested` and `NAME.effective` for each of them.
    """
    evidence = {k: v for row in findings if row.kind == MISMATCH for k, v in row.evidence.items()}
    ending = ".requested"
    return {k.removesuffix(ending): v for k, v in evidence.items() if k.endswith(ending)}


def _line(
    name: str, requested: Cell, effective: Cell, mismatches: Mapping[str, Any]
) -> SettingLine:
    differs = name in mismatches or _is_other_number(requested, effective)
    if requested is None and name in mismatches:
        requested = as_cell(mismatches[name])
    return SettingLine(name, requested, effective, differs, is_reading=False)


def _reading(name: str, value: Any, mismatches: Mapping[str, Any]) -> SettingLine:
    requested = as_cell(mismatches.get(name))
    return SettingLine(name, requested, as_cell(value), name in mismatches, is_reading=True)


def _is_other_number(requested: Cell, effective: Cell) -> bool:
    # Only the worker can judge words: `auto` may correctly be read back as `bf16`.
    if not (is_number(requested) and is_number(effective)):
        return False
    assert isinstance(requested, int | float)
    assert isinstance(effective, int | float)
    return not math.isclose(requested, effective, rel_tol=_RELATIVE_TOLERANCE)


def _facts(study: StudyResult, trial: TrialResult) -> tuple[tuple[str, str], ...]:
    last = trial.attempts[-1] if trial.attempts else None
    facts: tuple[tuple[str, object], ...] = (
        ("State", f"{trial.status}: {trial.reason}" if trial.reason else trial.status),
        ("Source", trial.source),
        *_origin(trial),
        (f"Best {study.objective_title}", _best(trial)),
        ("Dev accuracy at that epoch", _accuracy_at_best(study, trial)),
        ("Test accuracy", format_value(trial.test_accuracy, "accuracy")),
        ("Seconds", format_value(trial.seconds, "seconds")),
        ("Precision", trial.precision),
        ("Threads", trial.threads),
        ("Device", trial.device),
        ("Trained", _trained(trial)),
        ("Steps", (last.steps_total or None) if last else None),
        *(() if trial.is_imported else _training_facts(study, trial)),
    )
    texts = ((term, one_line(clean(str(value)))) for term, value in facts if value is not None)
    return tuple((term, text) for term, text in texts if text)


def _training_facts(study: StudyResult, trial: TrialResult) -> tuple[tuple[str, object], ...]:
    """Return the facts of a trial that was trained here, not imported."""
    last = trial.attempts[-1] if trial.attempts else None
    seed = study.sweep.get("seed") if trial.seed is None else trial.seed
    inputs: tuple[tuple[str, object], ...] = (
        ("Model", study.sweep.get("model")),
        ("Model's sha256", study.facts.get("model_hash")),
        ("Data", _name(study.sweep.get("data"))),
        ("Data's sha256", last.data_hash if last else None),
    )
    return (
        ("Seed", trial.effective.get("seed", seed)),
        *(() if study.is_script_study else inputs),
        ("Trainer's sha256", last.code_hash if last else None),
        ("Versions", _pairs(study.facts.get("pins") or {})),
    )


def _origin(trial: TrialResult) -> tuple[tuple[str, object], ...]:
    """Return where an imported trial and each of its settings came from."""
    if not trial.is_imported:
        return ()
    places = trial.origin.get("places") or {}
    return (
        ("Log", trial.origin.get("file")),
        ("Log lines", trial.origin.get("lines")),
        ("Log heading", trial.origin.get("heading")),
        ("Log's sha256", trial.origin.get("sha256")),
        ("Settings from", "; ".join(f"{name}: {place}" for name, place in places.items())),
    )


def _best(trial: TrialResult) -> str:
    epoch = f" after epoch {trial.best_epoch}" if trial.best_epoch is not None else ""
    return (
        f"{format_value(trial.best_value, 'accuracy')}{epoch}"
        if trial.best_value is not None
        else ""
    )


def _accuracy_at_best(study: StudyResult, trial: TrialResult) -> str:
    if study.objective.name == DEFAULT_OBJECTIVE.name:
        return ""
    return format_value(trial.best_dev_accuracy, "accuracy")


def _trained(trial: TrialResult) -> str:
    row = next((row for row in reversed(trial.attempts) if row.parameters), None)
    if row is None or trial.trainable_share is None:
        return ""
    share = format_value(trial.trainable_share, "share")
    return f"{share}: {row.trainable_parameters} of {row.parameters} parameters"


def _name(data: object) -> object:
    return data.get("name") if isinstance(data, Mapping) else data


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {format_value(as_cell(value), 'parameter')}" for key, value in values.items()
    )


_ATTEMPT: tuple[tuple[str, CellKind], ...] = (
    ("attempt", "count"),
    ("outcome", "state"),
    ("seconds", "seconds"),
    ("slot", "state"),
    ("device", "state"),
    ("threads", "count"),
    ("precision", "state"),
    ("resumed from step", "count"),
    ("message", "state"),
)


def _attempts(trial: TrialResult) -> Grid:
    rows = [
        (
            row.attempt,
            row.outcome or "running",
            None if row.ended_at is None else row.ended_at - row.started_at,
            row.slot,
            row.device,
            row.threads,
            row.precision,
            row.resumed_from_step or None,
            row.message,
        )
        for row in trial.attempts
    ]
    return _grid(_ATTEMPT, rows)


def _curve(study: StudyResult, trial: TrialResult) -> Grid:
    own = study.objective.name not in ("dev_accuracy", "dev_loss", "dev_macro_f1")
    columns: tuple[tuple[str, CellKind], ...] = (
        ("epoch", "count"),
        (study.objective_title, "accuracy"),
        ("train loss", "accuracy"),
        ("dev loss", "accuracy"),
        ("running acc", "accuracy"),
        ("train acc", "accuracy"),
        ("dev acc", "accuracy"),
        ("dev macro F1", "accuracy"),
        ("seconds", "seconds"),
        ("best", "state"),
    )
    rows = [
        (
            epoch.epoch,
            epoch.value if own else None,
            epoch.train_loss,
            epoch.dev_loss,
            epoch.running_accuracy,
            epoch.probe_accuracy,
            epoch.dev_accuracy,
            epoch.dev_macro_f1,
            epoch.seconds,
            "best" if epoch.epoch == trial.best_epoch else None,
        )
        for epoch in trial.curve
    ]
    return _grid(columns, rows)


def _findings(trial: TrialResult) -> Grid:
    columns: tuple[tuple[str, CellKind], ...] = (
        ("attempt", "count"),
        ("severity", "state"),
        ("kind", "state"),
        ("message", "state"),
        ("evidence", "state"),
    )
    rows = [
        (row.attempt, row.severity, row.kind, row.message, _pairs(row.evidence))
        for row in trial.findings
    ]
    return _grid(columns, rows)


def _grid(columns: Sequence[tuple[str, CellKind]], rows: Sequence[Sequence[Cell]]) -> Grid:
    tidy = [[_tidy(cell) for cell in row] for row in rows]
    filled = [i for i in range(len(columns)) if any(row[i] is not None for row in tidy)]
    return Grid(
        columns=tuple(Column(title, title, kind) for title, kind in (columns[i] for i in filled)),
        rows=tuple(tuple(row[i] for i in filled) for row in tidy),
    )


def _tidy(cell: Cell) -> Cell:
    return (one_line(clean(cell)) or None) if isinstance(cell, str) else cell
