"""`trytable confirm`: retrains a study's leaders with fresh seeds, in a study of its own beside it.

The leaders of a search were chosen for their values, so those values flatter them. Only training
with seeds that the search never used tells by how much.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.engine import EngineOptions, open_engine
from trytable.orchestrator.run.jobs import BackendStarter, knob_defaults
from trytable.orchestrator.run.sweep import SweepOutcome, run_sweep
from trytable.orchestrator.study.compatibility import fact_differences, sweep_changed_error
from trytable.orchestrator.study.search_space import same_point
from trytable.records import Point
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import SEED
from trytable.results.storage.study import CONFIRM_SUFFIX, StudyResult
from trytable.spelling import setting
from trytable.sweeps.config.schema import Range, Sweep
from trytable.trainers.protocol.messages import TRAINERS

MIN_SEEDS = 2
"""One seed has no spread, so no interval."""

_SEED_BITS = 31


def confirm_study(
    folders: Folders,
    top: int,
    seeds: int,
    engine_options: EngineOptions,
    *,
    retry_failed: bool,
    report: Callable[[Folders], None],
    console: Console,
) -> SweepOutcome:
    """Retrain a study's leaders with fresh seeds, then report on both studies.

    Raises UserError, StudyNotFound and DatabaseUnreadable.
    """
    with open_engine(engine_options, console) as ready:
        outcome = run_confirmation(
            folders,
            top,
            seeds,
            ready.slots,
            console,
            retry_failed=retry_failed,
            start_backend=ready.start,
        )
    report(replace(folders, study=outcome.study))
    report(folders)
    return outcome


def run_confirmation(
    folders: Folders,
    top: int,
    seeds: int,
    find_slots: Callable[[int], Sequence[Slot]],
    console: Console,
    *,
    retry_failed: bool = True,
    start_backend: BackendStarter | None = None,
) -> SweepOutcome:
    """Train the `top` best trials of a study and its baseline with `seeds` seeds each.

    A second call continues an interrupted one; more leaders or seeds are added to those that are
    there. `find_slots` takes how many trials may share a GPU.

    Raises UserError with every mistake, StudyNotFound and DatabaseUnreadable.
    """
    search = read_study(folders.url, folders.study)
    problems = [*_problems(search, top, seeds)]
    if problems:
        raise UserError("\n".join(problems))
    sweep = confirmation_sweep(search, top, seeds)

    def check_facts(facts: dict[str, Any]) -> None:
        changes = fact_differences(search.sweep, sweep.to_json(), search.facts, facts)
        if changes:
            raise sweep_changed_error(search.name, changes)

    return run_sweep(
        sweep,
        replace(folders, study=search.name + CONFIRM_SUFFIX),
        find_slots(sweep.max_per_gpu),
        console,
        retry_failed=retry_failed,
        any_study=False,
        check_facts=check_facts,
        start_backend=start_backend,
    )


def _problems(search: StudyResult, top: int, seeds: int) -> Iterator[str]:
    if top < 1:
        yield f"{setting('TOP', top)} confirms nothing. Use at least 1."
    if seeds < MIN_SEEDS:
        yield f"{setting('SEEDS', seeds)} gives no confidence interval. Use at least {MIN_SEEDS}."
    if search.is_confirmation:
        yield (
            f"{search.name} is itself a confirmation. Use the study that it confirms: "
            f"{setting('NAME', search.name.removesuffix(CONFIRM_SUFFIX))}."
        )
    elif search.sweep.get("trainer") not in TRAINERS or search.sweep.get("seed") is None:
        yield f"{search.name} was not made by a Trytable sweep, so it cannot be trained again."
    elif not leaders(search, 1):
        yield f"{search.name} has no completed try to confirm. Run its sweep first."


def confirmation_sweep(search: StudyResult, top: int, seeds: int) -> Sweep:
    """Return the sweep over (point, seed) of a study's leaders: seed by seed, baseline first."""
    stored = search.sweep
    fresh = fresh_seeds(int(stored["seed"]), seeds)
    trainer, parameters = stored["trainer"], stored["parameters"]
    settings = {**knob_defaults(trainer), **stored["baseline"]}
    baseline = {**TRAINERS[trainer].model_validate(settings).model_dump(), SEED: fresh[0]}
    points = [_without_seed({name: baseline[name] for name in parameters}), *leaders(search, top)]
    sweep = {
        **{key: value for key, value in stored.items() if key in Sweep.model_fields},
        "path": f"study {search.name}",
        "seed": int(stored["seed"]),
        "baseline": baseline,
        "parameters": {**parameters, SEED: asdict(Range(0, 2**_SEED_BITS - 1, integer=True))},
        "sampler": {"name": "grid"},
        "pruner": {"name": "none"},
        "trials": None,
        "hours": None,
        "attempts": int(stored.get("attempts", 1)),
        "enqueue": [],
        # Studies made before findings could stop a trial have no gate.
        "gate": stored.get("gate") or {"kinds": []},
        "points": [{**point, SEED: seed} for seed in fresh for point in _distinct(points)],
    }
    # As JSON: from Python objects, a strict model takes neither lists for tuples nor dicts for
    # records.
    return Sweep.model_validate_json(json.dumps(sweep))


def fresh_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Return `count` seeds that follow from a study's own seed and differ from it.

    A larger count starts with the same seeds, so that a later call only adds to the trials.
    """
    seeds: list[int] = []
    number = 0
    while len(seeds) < count:
        digest = hashlib.sha256(f"confirm {seed} {number}".encode()).digest()
        candidate = int.from_bytes(digest[:4], "big") >> (32 - _SEED_BITS)
        number += 1
        if candidate != seed and candidate not in seeds:
            seeds.append(candidate)
    return tuple(seeds)


def leaders(search: StudyResult, top: int) -> list[Point]:
    """Return the distinct points of the best completed trials, the best first.

    Only trials with a value for every parameter count. Trials that differ in a swept seed alone
    are one point.
    """
    names = search.sweep["parameters"].keys()
    complete = [trial.params for trial in search.ranked if trial.params.keys() == names]
    return _distinct([_without_seed(params) for params in complete])[:top]


def _distinct(points: Sequence[Point]) -> list[Point]:
    distinct: list[Point] = []
    for point in points:
        if not any(same_point(point, other) for other in distinct):
            distinct.append(point)
    return distinct


def _without_seed(params: Mapping[str, Any]) -> Point:
    return {name: value for name, value in params.items() if name != SEED}
