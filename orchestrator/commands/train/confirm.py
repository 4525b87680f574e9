"""Trains a study's leaders again on fresh seeds, in a study of its own beside it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.engine import BackendStarter
from trytable.orchestrator.run.sweep import SweepOutcome, knob_defaults, run_sweep
from trytable.orchestrator.study.compatibility import fact_differences, sweep_changed_error
from trytable.orchestrator.study.search_space import same_point
from trytable.records import DEFAULT_OBJECTIVE, Objective, Point
from trytable.results.analysis.confirmation import CONFIRM_SUFFIX, is_confirmation
from trytable.results.analysis.diagnosis.thresholds import TOLERANCE, WINDOW_STEPS
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import SEED
from trytable.results.storage.study import StudyResult
from trytable.sweeps.config.records import Gate, Pruner, Range, Sampler, Script, Sweep, Values
from trytable.trainers.protocol.messages import TRAINERS

TOP, SEEDS = 3, 5
"""How many leaders and how many seeds where nobody says."""

FEWEST_SEEDS = 2
"""One seed has no spread, so no interval."""

_SEED_BITS = 31
_NO_PRUNER = Pruner("none", 0, 0, None, 1, 2)


def confirm(
    folders: Folders,
    top: int,
    seeds: int,
    find_slots: Callable[[int], Sequence[Slot]],
    console: Console,
    *,
    retry_failed: bool = True,
    start_backend: BackendStarter | None = None,
) -> SweepOutcome:
    """Train the `top` best tries of a study and its baseline with so many seeds each.

    Goes on where an earlier call was interrupted; more leaders or seeds are added to what is there.
    `find_slots` is told how many trials may share a GPU. Raises UserError for all that the person
    can mend.
    """
    search = read_study(folders.url, folders.study)
    problems = [*_problems(search, top, seeds)]
    if problems:
        raise UserError("\n".join(problems))
    sweep = confirming_sweep(search, top, seeds)

    def check_facts(found: dict[str, Any]) -> None:
        differing = fact_differences(search.sweep, sweep.to_json(), search.facts, found)
        if differing:
            raise sweep_changed_error(search.name, differing)

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


def confirming_sweep(search: StudyResult, top: int, seeds: int) -> Sweep:
    """The sweep over (point, seed) of a study's leaders, seed by seed, the baseline first."""
    given = search.sweep
    fresh = fresh_seeds(int(given["seed"]), seeds)
    parameters = {name: _parameter(one) for name, one in given["parameters"].items()}
    baseline = {**knob_defaults(given["trainer"]), **given["baseline"], SEED: fresh[0]}
    points = [_point({name: baseline[name] for name in parameters}), *leaders(search, top)]
    return Sweep(
        name=given["name"],
        path=f"study {search.name}",
        description=given.get("description", ""),
        trainer=given["trainer"],
        model=given["model"],
        data=dict(given["data"]),
        seed=int(given["seed"]),
        objective=Objective(**given["objective"]) if "objective" in given else DEFAULT_OBJECTIVE,
        baseline=baseline,
        parameters={**parameters, SEED: Range(0, 2**_SEED_BITS - 1, integer=True)},
        sampler=Sampler("grid", 0),
        pruner=_NO_PRUNER,
        trials=None,
        hours=None,
        attempts=int(given.get("attempts", 1)),
        enqueue=(),
        gate=_gate(given.get("gate")),
        script=_script(given.get("script")),
        points=tuple({**point, SEED: seed} for seed in fresh for point in _distinct(points)),
        gpu_failures=int(given.get("gpu_failures", Sweep.gpu_failures)),
        max_per_gpu=int(given.get("max_per_gpu", Sweep.max_per_gpu)),
        silence_minutes=float(given.get("silence_minutes", Sweep.silence_minutes)),
    )


def fresh_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Seeds that follow from a study's own and are none of it; more of them begin alike."""
    found: list[int] = []
    number = 0
    while len(found) < count:
        digest = hashlib.sha256(f"confirm {seed} {number}".encode()).digest()
        drawn = int.from_bytes(digest[:4], "big") >> (32 - _SEED_BITS)
        number += 1
        if drawn != seed and drawn not in found:
            found.append(drawn)
    return tuple(found)


def leaders(search: StudyResult, top: int) -> list[Point]:
    """The points of the best completed tries that have a value for every parameter, each once.

    A seed that was swept is no part of a point: what differs in it alone is one point.
    """
    names = search.sweep["parameters"].keys()
    whole = [one.params for one in search.ranked if one.params.keys() == names]
    return _distinct([_point(params) for params in whole])[:top]


def _distinct(points: Sequence[Point]) -> list[Point]:
    found: list[Point] = []
    for point in points:
        if not any(same_point(point, other) for other in found):
            found.append(point)
    return found


def _point(params: Mapping[str, Any]) -> Point:
    return {name: value for name, value in params.items() if name != SEED}


def _gate(given: Mapping[str, Any] | None) -> Gate:
    if given is None:
        return Gate((), WINDOW_STEPS, TOLERANCE)
    return Gate(tuple(given["kinds"]), given["window_steps"], given["tolerance"])


def _script(given: Mapping[str, Any] | None) -> Script | None:
    if given is None:
        return None
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return Script(**values)


def _parameter(given: Mapping[str, Any]) -> Values | Range:
    """A parameter as its study's record has it."""
    rest = {name: value for name, value in given.items() if name != "kind"}
    if given["kind"] == "range":
        return Range(**rest)
    return Values(given["kind"], tuple(rest["values"]))


def _problems(search: StudyResult, top: int, seeds: int) -> Iterator[str]:
    if top < 1:
        yield f"TOP={top} confirms nothing. Allowed: 1 and more."
    if seeds < FEWEST_SEEDS:
        yield f"SEEDS={seeds} gives no interval. Allowed: {FEWEST_SEEDS} and more."
    if is_confirmation(search):
        yield (
            f"{search.name} is a confirmation itself. Allowed is a search, such as "
            f"NAME={search.name.removesuffix(CONFIRM_SUFFIX)}."
        )
    elif search.sweep.get("trainer") not in TRAINERS or search.sweep.get("seed") is None:
        yield f"{search.name} was not made by a sweep of Trytable, so it cannot be trained again."
    elif not leaders(search, 1):
        yield f"{search.name} has no completed try to confirm. Run its sweep first."
