"""Copies tries of earlier studies into the new study of a changed sweep (`AS_NEW=1`).

A try is carried over if its point is in the new space and the new sweep would train that point with
exactly the settings of the try. In the new study it is a try like any other.
"""

import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.compatibility import differences, fact_differences
from trytable.orchestrator.study.imported import SOURCE_ATTRIBUTE
from trytable.orchestrator.study.search_space import point_inside, point_key, same_point
from trytable.records import Point
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import SEED, GoldRow, StudyLedger, StudyRow, TrialRow
from trytable.results.storage.snapshot import ledger_rows
from trytable.sweeps.config.schema import Sweep

CARRIED_OVER_SOURCE = "carried"
"""Source of a try that was carried over."""

_SOURCES_ATTRIBUTE = "trytable:carry_from"
"""Study attribute: our UUIDs of the studies whose tries are carried over."""

_COMPLETE_ATTRIBUTE = "trytable:carried"
"""Study attribute: all of these tries are copied."""

_COMPARABLE_STATUSES = ("completed", "pruned", "stopped")
_FIXED_KEYS = ("trainer", "objective", "script")
_MAX_REASONS = 5


@dataclass(frozen=True)
class Selection:
    """The tries to carry over, each with its point in the new space.

    `skipped` counts the other tries by the reason why they stay behind.
    """

    trials: tuple[tuple[TrialRow, Point], ...]
    skipped: Mapping[str, int]

    def lines(self, source: str) -> Iterator[str]:
        """Describe the selection for the user."""
        total = len(self.trials) + sum(self.skipped.values())
        yield f"{len(self.trials)} of {total} tries carried over from {source}"
        reasons = Counter(self.skipped).most_common(_MAX_REASONS)
        yield from (f"  {times} not: {reason}" for reason, times in reasons)


def find_sources(
    sweep: Mapping[str, Any], facts: Mapping[str, Any], studies: Iterable[StudyRow]
) -> tuple[StudyRow, ...]:
    """Return the sweep's studies of the same data, model, trainer and objective, oldest first."""
    ordered = sorted(studies, key=lambda row: row.created_at)
    return tuple(
        row for row in ordered if _is_of_sweep(row, sweep) and _is_comparable(row, sweep, facts)
    )


def _is_of_sweep(row: StudyRow, sweep: Mapping[str, Any]) -> bool:
    name, at, number = row.name.partition("@")
    return name == sweep["name"] and (not at or number.isdigit()) and not row.facts.get("imported")


def _is_comparable(row: StudyRow, sweep: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    then, now = ({key: source.get(key) for key in _FIXED_KEYS} for source in (row.sweep, sweep))
    changes = [*differences(then, now), *fact_differences(row.sweep, sweep, row.facts, facts)]
    return not changes


def select_trials(
    ledger: StudyLedger,
    seed: int | None,
    distributions: Mapping[str, BaseDistribution],
    *,
    full_settings: Callable[[Point], Mapping[str, Any]],
    defaults: Mapping[str, Any],
    taken_points: Sequence[Point] = (),
) -> Selection:
    """Select the tries of an earlier study that the new sweep would also make.

    Args:
        ledger: the earlier study.
        seed: the seed of the new sweep.
        distributions: the new space.
        full_settings: returns the settings with which the new sweep trains a point.
        defaults: the defaults of the knobs, for knobs that are newer than the study.
        taken_points: points that are already carried over from still earlier studies.
    """
    selected: list[tuple[TrialRow, Point]] = []
    skipped: Counter[str] = Counter()
    seed_is_swept = SEED in distributions
    taken_keys = {point_key(point) for point in taken_points}
    for row in ledger.trials:
        trial_seed = ledger.study.sweep["seed"] if row.seed is None else row.seed
        settings = {**defaults, **row.requested, **({SEED: trial_seed} if seed_is_swept else {})}
        point = point_inside(settings, distributions)
        if row.status not in _COMPARABLE_STATUSES or row.origin:
            skipped["imported" if row.origin else row.status] += 1
        elif not seed_is_swept and trial_seed != seed:
            skipped["of another seed"] += 1
        elif outside := [name for name in distributions if name not in point]:
            skipped[f"{', '.join(outside)} outside the new space"] += 1
        elif changed := list(differences({**defaults, **row.requested}, full_settings(point))):
            skipped["; ".join(changed)] += 1
        elif point_key(point) not in taken_keys:
            selected.append((row, point))
    return Selection(tuple(selected), skipped)


def carry_over(
    study: optuna.Study,
    ledger: Ledger,
    folders: Folders,
    sweep: Sweep,
    *,
    sources: Sequence[StudyRow],
    full_settings: Callable[[Point], Mapping[str, Any]],
    defaults: Mapping[str, Any],
) -> tuple[str, ...]:
    """Copy tries of earlier studies into a new study; return lines that describe them to the user.

    The study keeps the UUIDs of its sources, so a run that was killed in between is continued by
    the next one, also without AS_NEW=1.

    Args:
        study: the new study in Optuna.
        ledger: the ledger of all studies.
        folders: the folders of the new study.
        sweep: the new sweep.
        sources: the rows of the earlier studies; empty to continue only.
        full_settings: returns the settings with which the new sweep trains a point.
        defaults: the defaults of the knobs, for knobs that are newer than a source.
    """
    if sources:
        study.set_user_attr(_SOURCES_ATTRIBUTE, [row.uid for row in sources])
    source_uids = study.user_attrs.get(_SOURCES_ATTRIBUTE)
    if source_uids is None or study.user_attrs.get(_COMPLETE_ATTRIBUTE):
        return ()
    distributions = search_space.distributions(sweep)
    baseline = {name: sweep.baseline[name] for name in sweep.parameters}
    lines: list[str] = []
    taken_points: list[Point] = []
    target = CopyTarget(study, ledger, folders, distributions, baseline)
    for row in (row for row in ledger.studies() if row.uid in source_uids):
        originals = _originals(study, row)
        rows = ledger.read(row.uid)
        trials = tuple(trial for trial in rows.trials if trial.uid in originals)
        source = replace(rows, trials=trials)
        selection = select_trials(
            source,
            sweep.seed,
            distributions,
            full_settings=full_settings,
            defaults=defaults,
            taken_points=taken_points,
        )
        taken_points += [point for _, point in selection.trials]
        copy_trials(selection, source, originals, target)
        lines += selection.lines(row.name) if originals else ()
    study.set_user_attr(_COMPLETE_ATTRIBUTE, True)
    return tuple(lines)


@dataclass(frozen=True)
class CopyTarget:
    """The study into which tries are copied."""

    study: optuna.Study
    ledger: Ledger
    folders: Folders
    distributions: Mapping[str, BaseDistribution]
    baseline: Point


def _originals(study: optuna.Study, source: StudyRow) -> dict[str, FrozenTrial]:
    """Return a study's Optuna trials by our UUID; empty if only its ledger is left."""
    if source.name not in optuna.get_all_study_names(study._storage):
        return {}
    original = optuna.load_study(study_name=source.name, storage=study._storage)
    if original.user_attrs.get(STUDY_UID) != source.uid:
        return {}
    uids = ((trial.user_attrs.get(STUDY_UID), trial) for trial in original.trials)
    return {uid: trial for uid, trial in uids if uid is not None}


def copy_trials(
    selection: Selection,
    source: StudyLedger,
    originals: Mapping[str, FrozenTrial],
    target: CopyTarget,
) -> None:
    """Copy the selected tries: their folders, then their ledger rows, then their Optuna trials.

    A try's new UUID follows from its old one, so copying twice is the same as copying once.
    """
    uid = str(target.study.user_attrs[STUDY_UID])
    trials = target.study.get_trials(deepcopy=False)
    present = {trial.user_attrs.get(STUDY_UID) for trial in trials}
    numbers = count(len(trials))
    rows = _rows_by_trial(source)
    for row, point in selection.trials:
        new = uuid.uuid5(uuid.UUID(uid), row.uid).hex
        if new in present:
            continue
        number = next(numbers)
        old = replace(target.folders, study=source.study.name)
        _copy_folder(old.trial(row.number), target.folders.trial(number))
        mark = f"carried over from {source.study.name}, Try {row.number + 1}"
        reason = "; ".join(filter(None, (row.reason, mark)))
        origin = "baseline" if same_point(point, target.baseline) else CARRIED_OVER_SOURCE
        target.ledger.write(
            replace(row, uid=new, study_uid=uid, number=number, source=origin, reason=reason),
            *(replace(record, trial_uid=new) for record in rows.get(row.uid, ())),
        )
        # Optuna last: a try that is present there is complete everywhere, and is not copied again.
        original = originals[row.uid]
        target.study.add_trial(_copy_trial(original, new, point, target.distributions, origin))


def _rows_by_trial(ledger: StudyLedger) -> dict[str, list[Any]]:
    by_trial: dict[str, list[Any]] = {}
    for row in ledger_rows(ledger):
        if not isinstance(row, StudyRow | TrialRow | GoldRow):
            by_trial.setdefault(row.trial_uid, []).append(row)
    return by_trial


def _copy_trial(
    trial: FrozenTrial,
    uid: str,
    point: Point,
    distributions: Mapping[str, BaseDistribution],
    origin: str,
) -> FrozenTrial:
    copy = create_trial(
        state=trial.state,
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        params=dict(point),
        distributions=dict(distributions),
        intermediate_values=dict(trial.intermediate_values),
        user_attrs={STUDY_UID: uid, SOURCE_ATTRIBUTE: origin},
    )
    copy.datetime_start = trial.datetime_start
    copy.datetime_complete = trial.datetime_complete
    return copy


def _copy_folder(old: Path, new: Path) -> None:
    """Copy a trial's folder, completely or not at all."""
    if not old.is_dir() or new.exists():
        return
    temporary = new.with_name(f".{new.name}.carried")
    shutil.rmtree(temporary, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(old, temporary, symlinks=True)
    temporary.rename(new)
