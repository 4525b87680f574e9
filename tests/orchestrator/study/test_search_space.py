"""A sweep in Optuna's terms, with the real samplers and pruners."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.sampling.kinds import KINDS, create_pruner, create_sampler
from trytable.sweeps.config.loader import Sweep, read_sweep


def sweep_of(folder: Path, text: str) -> Sweep:
    path = folder / "space.yaml"
    path.write_text(text)
    return read_sweep(path, KINDS)


def test_the_numbers_of_a_grid_span_a_range_that_holds_the_baseline(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        "baseline: {dropout: 0.9}\n"
        "parameters: {dropout: [0.1, 0.5], batch_size: [8, 64], freeze: [none, 2]}\n",
    )
    assert search_space.distributions(sweep) == {
        "dropout": FloatDistribution(0.1, 0.9),
        "batch_size": IntDistribution(8, 64),
        "freeze": CategoricalDistribution(("none", 2)),
    }


def test_a_sampler_chooses_among_listed_values_only(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        "parameters: {batch_size: [16, 32, 48], lr: {low: 1e-5, high: 1e-3, log: true}}\n"
        "sampler: tpe\ntrials: 5\n",
    )
    assert search_space.distributions(sweep) == {
        "batch_size": CategoricalDistribution((16, 32, 48)),
        "lr": FloatDistribution(1e-5, 1e-3, log=True),
    }


def advice(pruner: optuna.pruners.BasePruner, curve: list[float]) -> list[bool]:
    """What a pruner says of a poor trial, epoch by epoch, after four good ones."""
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, pruner=pruner, direction="maximize")
    for _ in range(4):
        good = dict.fromkeys(range(1, len(curve) + 1), 0.8)
        study.add_trial(optuna.create_trial(value=0.8, intermediate_values=good))
    trial = study.ask()
    advised = []
    for epoch, value in enumerate(curve, start=1):
        trial.report(value, epoch)
        advised.append(trial.should_prune())
    return advised


@pytest.mark.parametrize(("warmup", "first"), [(0, 1), (1, 2), (2, 3)])
def test_the_median_spares_the_warm_up_epochs(tmp_path: Path, warmup: int, first: int) -> None:
    sweep = sweep_of(
        tmp_path,
        "parameters: {dropout: [0.1]}\n"
        f"pruner: {{name: median, startup_trials: 3, warmup_epochs: {warmup}}}\n",
    )
    advised = advice(create_pruner(sweep, epochs=4), [0.1, 0.1, 0.1, 0.1])
    assert advised.index(True) + 1 == first


def test_patience_waits_for_epochs_without_improvement(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        "parameters: {dropout: [0.1]}\n"
        "pruner: {name: median, startup_trials: 3, warmup_epochs: 0, patience: 2}\n",
    )
    assert not any(advice(create_pruner(sweep, epochs=4), [0.1, 0.2, 0.3, 0.4]))
    assert advice(create_pruner(sweep, epochs=5), [0.4, 0.3, 0.2, 0.1, 0.1])[3]


def test_none_never_prunes(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, "parameters: {dropout: [0.1]}\n")
    assert not any(advice(create_pruner(sweep, epochs=3), [0.1, 0.1, 0.1]))


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_halving_prunes_the_poor(tmp_path: Path, name: str) -> None:
    sweep = sweep_of(
        tmp_path, f"parameters: {{dropout: [0.1]}}\npruner: {{name: {name}, reduction_factor: 2}}\n"
    )
    study = optuna.create_study(
        study_name="halving",  # Hyperband draws a trial's bracket from the study's name
        sampler=optuna.samplers.RandomSampler(1),
        pruner=create_pruner(sweep, epochs=8),
        direction="maximize",
    )
    for value in [0.9, 0.8, 0.7, *[0.1] * 12]:
        trial = study.ask()
        state = TrialState.COMPLETE
        for epoch in range(1, 9):
            trial.report(value, epoch)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
    pruned = [trial.number for trial in study.trials if trial.state == TrialState.PRUNED]
    assert len(pruned) >= 4
    assert 0 not in pruned


@pytest.mark.parametrize("name", ["random", "tpe", "gp"])
def test_a_resumed_sampler_gives_other_points(tmp_path: Path, name: str) -> None:
    sweep = sweep_of(
        tmp_path,
        f"parameters: {{dropout: {{low: 0.0, high: 0.9}}}}\nsampler: {name}\ntrials: 9\n",
    )

    def first_point(trials_so_far: int) -> float:
        study = optuna.create_study(sampler=create_sampler(sweep, trials_so_far))
        return float(study.ask(search_space.distributions(sweep)).params["dropout"])

    assert first_point(0) == first_point(0) != first_point(5)


def test_points_are_the_same_by_value() -> None:
    assert search_space.same_point({"a": 1}, {"a": 1.0})
    assert not search_space.same_point({"a": 1}, {"a": True})
    assert not search_space.same_point({"a": 1}, {"a": 1, "b": 2})
