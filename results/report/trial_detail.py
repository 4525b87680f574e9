"""One try in full: what was asked for beside what was read back, its attempts, its curve."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trytable.records import DEFAULT_OBJECTIVE, is_number
from trytable.results.storage.rows import FindingRow
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.trials import Column
from trytable.results.text.format import Cell, CellKind, as_cell, clean, format_value, one_line

MISMATCH = "mismatch"
"""The kind of a finding that names parameters which did not arrive."""

_ALLOWED_ERROR = 1e-6
"""Relative; a number that went through single precision is still the same."""


@dataclass(frozen=True)
class SettingLine:
    """A knob, or a reading that belongs to the knob above it (`is_reading`).

    None stands where nothing was asked for by this name, or nothing was read back.
    """

    name: str
    requested: Cell
    effective: Cell
    differs: bool
    is_reading: bool


@dataclass(frozen=True)
class Grid:
    """A small table; cells stand in the columns' order. Columns without any cell are left out."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class TrialDetail:
    """A try; `facts` are terms and texts, of what is known."""

    study: str
    label: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[SettingLine, ...]
    attempts: Grid
    curve: Grid
    findings: Grid


def trial_detail(study: StudyResult, one: TrialResult) -> TrialDetail:
    """Put together what the database knows of a try."""
    return TrialDetail(
        study=study.name,
        label=one.label,
        facts=_facts(study, one),
        settings=setting_lines(one.settings, one.effective, one.findings),
        attempts=_attempts(one),
        curve=_curve(study, one),
        findings=_findings(one),
    )


def setting_lines(
    requested: Mapping[str, Any],
    effective: Mapping[str, Any],
    findings: Iterable[FindingRow] = (),
) -> tuple[SettingLine, ...]:
    """Each knob, with what was read back under its name, then the readings that belong to it.

    A reading belongs to the knob before its first dot: `lr.peak` to `lr`. Those of no knob close
    the list.
    """
    missed = _missed(findings)
    found = {**dict.fromkeys(name for name in missed if name not in requested), **effective}
    lines: list[SettingLine] = []
    for name, value in requested.items():
        lines.append(_line(name, as_cell(value), as_cell(found.pop(name, None)), missed))
        for reading in [other for other in found if other.partition(".")[0] == name]:
            lines.append(_reading(reading, found.pop(reading), missed))
    lines += [_line(name, None, as_cell(value), missed) for name, value in found.items()]
    return tuple(lines)


def _missed(findings: Iterable[FindingRow]) -> dict[str, Any]:
    """What was asked for of each parameter that did not arrive.

    The evidence holds `NAME.requested` and `NAME.effective` for each of them.
    """
    evidence = {k: v for row in findings if row.kind == MISMATCH for k, v in row.evidence.items()}
    ending = ".requested"
    return {k.removesuffix(ending): v for k, v in evidence.items() if k.endswith(ending)}


def _line(name: str, requested: Cell, effective: Cell, missed: Mapping[str, Any]) -> SettingLine:
    asked = as_cell(missed[name]) if requested is None and name in missed else requested
    differs = name in missed or _is_other_number(requested, effective)
    return SettingLine(name, asked, effective, differs, is_reading=False)


def _reading(name: str, value: Any, missed: Mapping[str, Any]) -> SettingLine:
    asked = as_cell(missed.get(name))
    return SettingLine(name, asked, as_cell(value), name in missed, is_reading=True)


def _is_other_number(requested: Cell, effective: Cell) -> bool:
    # Words are left to the worker's own judgement: `auto` may rightly be read back as `bf16`.
    if not (is_number(requested) and is_number(effective)):
        return False
    assert isinstance(requested, int | float)
    assert isinstance(effective, int | float)
    return not math.isclose(requested, effective, rel_tol=_ALLOWED_ERROR)


def _facts(study: StudyResult, one: TrialResult) -> tuple[tuple[str, str], ...]:
    last = one.attempts[-1] if one.attempts else None
    told: tuple[tuple[str, object], ...] = (
        ("State", f"{one.status}: {one.reason}" if one.reason else one.status),
        ("Asked for by", one.source),
        *_origin(one),
        (f"Best {study.objective_title}", _best(one)),
        ("Dev accuracy there", _accuracy_there(study, one)),
        ("Test accuracy", format_value(one.test_accuracy, "accuracy")),
        ("Seconds", format_value(one.seconds, "seconds")),
        ("Precision", one.precision),
        ("Threads", one.threads),
        ("Device", one.device),
        ("Trained", _trained(one)),
        ("Steps", (last.steps_total or None) if last else None),
        *(() if one.is_imported else _sweeps_own(study, one)),
    )
    texts = ((term, one_line(clean(str(value)))) for term, value in told if value is not None)
    return tuple((term, text) for term, text in texts if text)


def _sweeps_own(study: StudyResult, one: TrialResult) -> tuple[tuple[str, object], ...]:
    """What holds for tries that were trained here, not for imported ones."""
    last = one.attempts[-1] if one.attempts else None
    seed = study.sweep.get("seed") if one.seed is None else one.seed
    known: tuple[tuple[str, object], ...] = (
        ("Model", study.sweep.get("model")),
        ("Model's sha256", study.facts.get("model_hash")),
        ("Data", _name(study.sweep.get("data"))),
        ("Data's sha256", last.data_hash if last else None),
    )
    return (
        ("Seed", one.effective.get("seed", seed)),
        *(() if study.is_script_study else known),
        ("Trainer's sha256", last.code_hash if last else None),
        ("Versions", _pairs(study.facts.get("pins") or {})),
    )


def _origin(one: TrialResult) -> tuple[tuple[str, object], ...]:
    """Where an imported try came from, and each of its settings."""
    if not one.is_imported:
        return ()
    places = one.origin.get("places") or {}
    return (
        ("Log", one.origin.get("file")),
        ("Its lines", one.origin.get("lines")),
        ("Its heading", one.origin.get("heading")),
        ("Its sha256", one.origin.get("sha256")),
        ("Settings from", "; ".join(f"{name}: {place}" for name, place in places.items())),
    )


def _best(one: TrialResult) -> str:
    after = f" after epoch {one.best_epoch}" if one.best_epoch is not None else ""
    return (
        f"{format_value(one.best_value, 'accuracy')}{after}" if one.best_value is not None else ""
    )


def _accuracy_there(study: StudyResult, one: TrialResult) -> str:
    known = study.objective.name != DEFAULT_OBJECTIVE.name
    return format_value(one.best_dev_accuracy, "accuracy") if known else ""


def _trained(one: TrialResult) -> str:
    row = next((row for row in reversed(one.attempts) if row.parameters), None)
    if row is None or one.trainable_share is None:
        return ""
    share = format_value(one.trainable_share, "share")
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


def _attempts(one: TrialResult) -> Grid:
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
        for row in one.attempts
    ]
    return _grid(_ATTEMPT, rows)


def _curve(study: StudyResult, one: TrialResult) -> Grid:
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
            e.epoch,
            e.value if own else None,
            e.train_loss,
            e.dev_loss,
            e.running_accuracy,
            e.probe_accuracy,
            e.dev_accuracy,
            e.dev_macro_f1,
            e.seconds,
            "best" if e.epoch == one.best_epoch else None,
        )
        for e in one.curve
    ]
    return _grid(columns, rows)


def _findings(one: TrialResult) -> Grid:
    columns: tuple[tuple[str, CellKind], ...] = (
        ("attempt", "count"),
        ("severity", "state"),
        ("kind", "state"),
        ("message", "state"),
        ("evidence", "state"),
    )
    rows = [
        (row.attempt, row.severity, row.kind, row.message, _pairs(row.evidence))
        for row in one.findings
    ]
    return _grid(columns, rows)


def _grid(columns: Sequence[tuple[str, CellKind]], rows: Sequence[Sequence[Cell]]) -> Grid:
    tidy = [[_tidy(cell) for cell in row] for row in rows]
    kept = [i for i in range(len(columns)) if any(row[i] is not None for row in tidy)]
    return Grid(
        columns=tuple(Column(title, title, kind) for title, kind in (columns[i] for i in kept)),
        rows=tuple(tuple(row[i] for i in kept) for row in tidy),
    )


def _tidy(cell: Cell) -> Cell:
    return (one_line(clean(cell)) or None) if isinstance(cell, str) else cell
