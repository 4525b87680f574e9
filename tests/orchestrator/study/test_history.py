"""What sampler and pruner see of a long history."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import RandomSampler
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trytable.orchestrator.study.history import BestAndLatest, Bounds, Sample
from trytable.orchestrator.study.in_memory import InMemoryStudyStorage

BOUNDS = Bounds(12, 5)
ENDED = ("COMPLETE", "PRUNED", "FAIL")


def made(number: int, state: str, value: float = 0.0, epochs: int = 1) -> FrozenTrial:
    """A trial that has ended so; its curve stays at its value."""
    trial = create_trial(
        state=TrialState[state],
        intermediate_values=dict.fromkeys(range(1, epochs + 1), value),
        value=value if state == "COMPLETE" else None,
    )
    trial.number = number
    return trial


values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0])
histories = st.lists(st.tuples(st.sampled_from(ENDED), values, st.integers(0, 3)), max_size=40).map(
    lambda drawn: [made(number, *one) for number, one in enumerate(drawn)]
)


def seen(
    trials: Sequence[FrozenTrial], bounds: Bounds = BOUNDS, direction: str = "MAXIMIZE"
) -> list[int]:
    view = BestAndLatest(StudyDirection[direction], bounds)
    for trial in trials:
        view.add(trial)
    return sorted(view.trials())


@given(trials=histories, order=st.randoms(use_true_random=False))
def test_what_is_seen_does_not_depend_on_the_order_of_ends(
    trials: list[FrozenTrial], order: random.Random
) -> None:
    shuffled = trials[:]
    order.shuffle(shuffled)
    assert seen(shuffled) == seen(trials)


@given(trials=histories)
def test_below_the_bound_everything_is_seen_and_above_it_no_more_than_that(
    trials: list[FrozenTrial],
) -> None:
    found = seen(trials)
    if len(trials) <= BOUNDS.trials:
        assert found == [trial.number for trial in trials]
    assert len(found) <= BOUNDS.trials + 1  # the first may come on top


@given(trials=histories, direction=st.sampled_from(["MAXIMIZE", "MINIMIZE"]))
def test_the_best_and_the_latest_are_always_seen(trials: list[FrozenTrial], direction: str) -> None:
    found = set(seen(trials, direction=direction))
    sign = -1 if direction == "MAXIMIZE" else 1
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: sign * (trial.value or 0.0))[: BOUNDS.best]
    assert {trial.number for trial in best} <= found
    ended = [trial.number for trial in trials if trial.state != TrialState.FAIL]
    assert set(ended[-(BOUNDS.trials - BOUNDS.best) :]) <= found
    assert set(ended[:1]) <= found  # QMC takes its space from it


@given(trials=histories, direction=st.sampled_from(["maximize", "minimize"]))
def test_tpe_finds_the_same_good_trials_as_in_the_whole_history(
    trials: list[FrozenTrial], direction: Literal["maximize", "minimize"]
) -> None:
    """As Optuna itself divides them, pruned ones included."""
    from optuna.samplers._tpe.sampler import _split_trials  # noqa: PLC0415 - not public

    study = optuna.create_study(direction=direction)
    numbers = set(seen(trials, direction=direction.upper()))
    whole = [trial for trial in trials if trial.state != TrialState.FAIL]
    bounded = [trial for trial in whole if trial.number in numbers]
    for good in range(BOUNDS.best + 1):
        expected, _ = _split_trials(study, whole, good)
        found, _ = _split_trials(study, bounded, good)
        assert [one.number for one in found] == [one.number for one in expected]


@given(count=st.integers(0, 60), order=st.randoms(use_true_random=False), most=st.integers(1, 30))
def test_a_sample_is_the_same_in_whatever_order_it_is_drawn(
    count: int, order: random.Random, most: int
) -> None:
    trials = [made(number, "COMPLETE") for number in range(count)]
    forwards, shuffled = Sample(most), Sample(most)
    for trial in trials:
        forwards.update(trial)
    order.shuffle(trials)
    for trial in [*trials, *trials]:
        shuffled.update(trial)
    assert forwards.trials() == shuffled.trials()
    assert len(forwards.trials()) == min(count, most)


def test_a_sample_is_as_good_as_its_whole() -> None:
    """The best come last here and the pruned ones first: neither has a better chance."""
    sample = Sample(500)
    for number in range(20_000):
        sample.update(made(number, "COMPLETE", value=number / 20_000))
    drawn = sorted(trial.value or 0.0 for trial in sample.trials())
    # A quantile of 500 strays from the true one by 0.022 (one standard deviation) at most.
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert drawn[int(share * len(drawn))] == pytest.approx(share, abs=0.07)
    assert max(one - other for other, one in pairwise(drawn)) < 0.03


def mirror_of(trials: Sequence[FrozenTrial], bounds: Bounds) -> InMemoryStudyStorage:
    original = optuna.create_study(direction="maximize")
    mirror = InMemoryStudyStorage(original, RandomSampler(1), NopPruner(), bounds)
    for trial in trials:
        mirror.add(trial)
    return mirror


def judged(mirror: InMemoryStudyStorage, value: float) -> bool:
    """Whether the median would end a trial that has reached this."""
    trial = mirror.study.ask()
    trial.report(value, 1)
    with mirror.pruner_view():
        return MedianPruner(n_warmup_steps=0).prune(mirror.study, mirror.get_trial(trial._trial_id))


def test_a_median_is_not_raised_by_the_best_and_the_latest() -> None:
    """Of these the latest are the best: their own median is 0.99, that of all is 0.5."""
    trials = [made(number, "COMPLETE", value=number / 5000) for number in range(5000)]
    mirror = mirror_of(trials, Bounds(500, 100))
    assert not judged(mirror, 0.6)
    assert judged(mirror, 0.4)
    best_and_latest = mirror.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    assert min(trial.value or 0.0 for trial in best_and_latest[1:]) > 0.85


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_halving_sees_ended_and_running_trials_by_their_shares(share: float) -> None:
    """Those that run have outlived some competition: more of them would prune too much."""
    running = int(4000 * share)
    trials = [
        create_trial(
            state=TrialState.RUNNING if number >= 4000 - running else TrialState.PRUNED,
            system_attrs={"completed_rung_0": float(number)},
        )
        for number in range(4000)
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    mirror = mirror_of(trials, Bounds(500, 100))
    with mirror.pruner_view():
        found = mirror.study.get_trials(deepcopy=False)
    assert len(found) == 500
    still = sum(trial.state == TrialState.RUNNING for trial in found)
    assert still / 500 == pytest.approx(share, abs=0.07)


@given(
    steps=st.lists(st.sampled_from(["ask", "report", "complete", "prune", "fail"]), max_size=60),
    draw=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_the_mirror_shows_every_open_trial_as_it_stands(
    steps: list[str], draw: random.Random
) -> None:
    """Against Optuna's own storage, which shows all."""
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
    mirror = mirror_of([], Bounds(6, 3))
    plain = optuna.create_study(direction="maximize", sampler=RandomSampler(1))
    studies = (mirror.study, plain)
    open_: list[int] = []
    for step in steps:
        if step == "ask":
            numbers = {study.ask(space).number for study in studies}
            open_.append(*numbers)
        elif open_:
            number = draw.choice(open_)
            act(step, number, draw.random(), studies)
            if step != "report":
                open_.remove(number)
    shown = {trial.number: trial for trial in mirror.study.get_trials(deepcopy=False)}
    for trial in plain.get_trials(deepcopy=False):
        if not trial.state.is_finished():
            assert shown[trial.number].params == trial.params
            assert shown[trial.number].intermediate_values == trial.intermediate_values
    assert mirror.shared_space() == intersection_search_space(plain.trials, include_pruned=True)
    assert mirror.count == len(plain.trials)


def act(step: str, number: int, value: float, studies: Sequence[optuna.Study]) -> None:
    ends: dict[str, Callable[[optuna.Study], object]] = {
        "report": lambda study: study._storage.set_trial_intermediate_value(
            study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number),
            int(value * 10),
            value,
        ),
        "complete": lambda study: study.tell(number, value),
        "prune": lambda study: study.tell(number, state=TrialState.PRUNED),
        "fail": lambda study: study.tell(number, state=TrialState.FAIL),
    }
    for study in studies:
        ends[step](study)
