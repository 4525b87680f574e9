"""What `AS_NEW=1` takes along: an earlier study's tries that the changed sweep would also make.

A try is taken along where its point lies in the new space and the new sweep would train that point
with the very settings it was trained with. It is then a try of the new study like any other.
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
from trytable.orchestrator.study.search_space import key_of, known_point, same_point
from trytable.records import Point
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.rows import SEED, Row, StudyLedger, StudyRow, TrialRow
from trytable.sweeps.config.loader import Sweep

CARRIED_OVER_SOURCE = "carried"
"""Source of a try that was taken along."""

_FROM = "trytable:carry_from"
_DONE = "trytable:carried"
"""Attributes of a study: whose tries it takes along (our UUID), and that it has them all."""

_ENDED = ("completed", "pruned", "stopped")
_SAME = ("trainer", "objective", "script")
_MOST_REASONS = 5


@dataclass(frozen=True)
class Selection:
    """The tries to take along, each with its point in the new space, and why not the others."""

    trials: tuple[tuple[TrialRow, Point], ...]
    skipped: Mapping[str, int]

    def lines(self, source: str) -> Iterator[str]:
        """What the person should know."""
        others = sum(self.skipped.values())
        yield f"{len(self.trials)} of {len(self.trials) + others} tries carried over from {source}"
        listed = Counter(self.skipped).most_common(_MOST_REASONS)
        yield from (f"  {times} not: {reason}" for reason, times in listed)


def find_sources(
    sweep: Mapping[str, Any], facts: Mapping[str, Any], studies: Iterable[StudyRow]
) -> tuple[StudyRow, ...]:
    """This sweep's studies of the same data, model, trainer and objective, oldest first."""
    ordered = sorted(studies, key=lambda row: row.created_at)
    return tuple(row for row in ordered if _is_of(row, sweep) and _alike(row, sweep, facts))


def _is_of(row: StudyRow, sweep: Mapping[str, Any]) -> bool:
    name, at, number = row.name.partition("@")
    return name == sweep["name"] and (not at or number.isdigit()) and not row.facts.get("imported")


def _alike(row: StudyRow, sweep: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    then, now = ({key: one.get(key) for key in _SAME} for one in (row.sweep, sweep))
    other = [*differences(then, now), *fact_differences(row.sweep, sweep, row.facts, facts)]
    return not other


def select_trials(
    ledger: StudyLedger,
    seed: int | None,
    distributions: Mapping[str, BaseDistribution],
    *,
    full_settings: Callable[[Point], Mapping[str, Any]],
    defaults: Mapping[str, Any],
    taken: Sequence[Point] = (),
) -> Selection:
    """Decide for each try of a study whether it is one of the new sweep's, too.

    Args:
        ledger: the earlier study.
        seed: the new sweep's.
        distributions: the new space.
        full_settings: the settings with which the new sweep trains a point.
        defaults: the knobs', for those that did not exist then.
        taken: points of still earlier studies; a try there has perhaps been carried here before.
    """
    kept: list[tuple[TrialRow, Point]] = []
    reasons: Counter[str] = Counter()
    own_seed = SEED in distributions
    known = {key_of(point) for point in taken}
    for row in ledger.trials:
        drawn_from = ledger.study.sweep["seed"] if row.seed is None else row.seed
        settings = {**defaults, **row.requested, **({SEED: drawn_from} if own_seed else {})}
        point = known_point(settings, distributions)
        other_seed = not own_seed and drawn_from != seed
        if row.status not in _ENDED or row.origin:
            reasons["imported" if row.origin else row.status] += 1
        elif other_seed:
            reasons["of another seed"] += 1
        elif outside := [name for name in distributions if name not in point]:
            reasons[f"{', '.join(outside)} outside the new space"] += 1
        elif changed := list(differences({**defaults, **row.requested}, full_settings(point))):
            reasons["; ".join(changed)] += 1
        elif key_of(point) not in known:
            kept.append((row, point))
    return Selection(tuple(kept), reasons)


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
    """Give a new study its sources' tries, or the rest of them after a crash; says what came.

    Whose tries it is to have stays noted in the study until it has them all.
    """
    if sources:
        study.set_user_attr(_FROM, [row.uid for row in sources])
    noted = study.user_attrs.get(_FROM)
    if noted is None or study.user_attrs.get(_DONE):
        return ()
    distributions = search_space.distributions(sweep)
    baseline = {name: sweep.baseline[name] for name in sweep.parameters}
    told: list[str] = []
    taken: list[Point] = []
    for row in (row for row in ledger.studies() if row.uid in noted):
        originals = _originals(study, row)
        read = ledger.read(row.uid)
        source = replace(read, trials=tuple(one for one in read.trials if one.uid in originals))
        choice = select_trials(
            source,
            sweep.seed,
            distributions,
            full_settings=full_settings,
            defaults=defaults,
            taken=taken,
        )
        taken += [point for _, point in choice.trials]
        target = CopyTarget(study, ledger, folders, distributions, baseline)
        copy_trials(choice, source, originals, target)
        told += choice.lines(row.name) if originals else ()
    study.set_user_attr(_DONE, True)
    return tuple(told)


@dataclass(frozen=True)
class CopyTarget:
    """Where tries are carried to."""

    study: optuna.Study
    ledger: Ledger
    folders: Folders
    distributions: Mapping[str, BaseDistribution]
    baseline: Point


def _originals(study: optuna.Study, source: StudyRow) -> dict[str, FrozenTrial]:
    """The source's trials by our UUID; none where it was deleted and the ledger alone is left."""
    if source.name not in optuna.get_all_study_names(study._storage):
        return {}
    found = optuna.load_study(study_name=source.name, storage=study._storage)
    if found.user_attrs.get(STUDY_UID) != source.uid:
        return {}
    uids = ((trial.user_attrs.get(STUDY_UID), trial) for trial in found.trials)
    return {uid: trial for uid, trial in uids if uid is not None}


def copy_trials(
    choice: Selection, source: StudyLedger, originals: Mapping[str, FrozenTrial], to: CopyTarget
) -> None:
    """Copy the chosen tries: folders, then the ledger's rows, then Optuna's. Again is as once."""
    uid = str(to.study.user_attrs[STUDY_UID])
    there = to.study.get_trials(deepcopy=False)
    present = {trial.user_attrs.get(STUDY_UID) for trial in there}
    numbers = count(len(there))
    rows = _rows_by_trial(source)
    for row, point in choice.trials:
        new = uuid.uuid5(uuid.UUID(uid), row.uid).hex
        if new in present:
            continue
        number = next(numbers)
        old = replace(to.folders, study=source.study.name)
        _copy_folder(old.trial(row.number), to.folders.trial(number))
        mark = f"carried over from {source.study.name}, Try {row.number + 1}"
        reason = "; ".join(filter(None, (row.reason, mark)))
        origin = "baseline" if same_point(point, to.baseline) else CARRIED_OVER_SOURCE
        to.ledger.write(
            replace(row, uid=new, study_uid=uid, number=number, source=origin, reason=reason),
            *(replace(one, trial_uid=new) for one in rows.get(row.uid, ())),
        )
        to.study.add_trial(_frozen(originals[row.uid], new, point, to.distributions, origin))


def _rows_by_trial(ledger: StudyLedger) -> dict[str, list[Any]]:
    by_trial: dict[str, list[Row]] = {}
    for rows in (
        ledger.attempts,
        ledger.steps,
        ledger.epochs,
        ledger.effective,
        ledger.findings,
        ledger.predictions,
    ):
        for row in rows:
            by_trial.setdefault(row.trial_uid, []).append(row)
    return by_trial


def _frozen(
    trial: FrozenTrial,
    uid: str,
    point: Point,
    distributions: Mapping[str, BaseDistribution],
    origin: str,
) -> FrozenTrial:
    made = create_trial(
        state=trial.state,
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        params=dict(point),
        distributions=dict(distributions),
        intermediate_values=dict(trial.intermediate_values),
        user_attrs={STUDY_UID: uid, SOURCE_ATTRIBUTE: origin},
    )
    made.datetime_start = trial.datetime_start
    made.datetime_complete = trial.datetime_complete
    return made


def _copy_folder(old: Path, new: Path) -> None:
    """Copy a trial's folder, whole or not at all."""
    if not old.is_dir() or new.exists():
        return
    temporary = new.with_name(f".{new.name}.carried")
    shutil.rmtree(temporary, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(old, temporary, symlinks=True)
    temporary.rename(new)


def with_seed_from(sweep: Sweep, sources: Sequence[StudyRow]) -> Sweep:
    """The sweep with the seed that its newest source has drawn, where it names none."""
    if sweep.seed is not None or not sources:
        return sweep
    return replace(sweep, seed=sources[-1].sweep["seed"])
