"""Optuna's side of a sweep: what is asked, told and written, and where it was cut off."""

import itertools
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study import search_space
from trytable.orchestrator.study.database import open_storage
from trytable.orchestrator.study.history import Bounds
from trytable.orchestrator.study.sampling.kinds import KINDS, create_pruner, create_sampler
from trytable.orchestrator.study.study import OptunaStudy
from trytable.orchestrator.study.trial_store import AskedTrial
from trytable.results.storage.ledger import STUDY_UID
from trytable.sweeps.config.loader import Sweep, read_sweep

GRID = """
trainer: scripted
baseline: {value: 0.5, epochs: 2}
parameters:
  value: [0.1, 0.5]
  epochs: [2, 3]
"""
RANGE = """
trainer: scripted
baseline: {{value: 0.5, epochs: 9}}
parameters:
  value: {{low: 0.1, high: 0.9}}
sampler: {sampler}
pruner: {pruner}
trials: 40
"""


def sweep_of(folder: Path, text: str) -> Sweep:
    (folder / "quality.yaml").write_text(text)
    return read_sweep(folder / "quality.yaml", KINDS)


@pytest.fixture
def url(tmp_path: Path) -> str:
    folders = Folders(tmp_path / "runs", "quality")
    folders.runs.mkdir()
    return folders.url


@pytest.fixture
def study(tmp_path: Path, url: str) -> OptunaStudy:
    return OptunaStudy(open_storage(url), sweep_of(tmp_path, GRID), "quality")


def asked(study: OptunaStudy) -> AskedTrial:
    found = study.ask()
    assert found is not None
    return found


def trials_in(url: str) -> list[FrozenTrial]:
    """The study's trials as any Optuna program reads them."""
    return optuna.load_study(study_name="quality", storage=url).trials


def test_a_known_point_that_was_cut_off_while_it_was_asked_for_is_made_ready(
    study: OptunaStudy, url: str
) -> None:
    first = asked(study)
    point = {"value": 0.1, "epochs": 3}
    study.study.enqueue_trial(point, user_attrs={STUDY_UID: "ours"})
    study.study.ask()  # RUNNING, and not one parameter is written yet
    (again, _), (second, trial) = study.running()
    assert again == first
    assert second is not None
    assert second.params == trial.params == point
    assert [one.state for one in trials_in(url)] == [TrialState.RUNNING] * 2
    assert trials_in(url)[1].params == point


def test_what_the_sampler_had_not_yet_drawn_stays_unready(study: OptunaStudy) -> None:
    study.study.ask()
    ((found, _),) = study.running()
    assert found is None


def test_a_point_of_the_grid_that_others_began_and_left_is_run_all_the_same(
    study: OptunaStudy,
) -> None:
    """It has none of our UUIDs, so it is told as failed; the point comes to its turn again."""
    study.study.enqueue_trial({"value": 0.1, "epochs": 3})
    study.study.ask()
    again = OptunaStudy(study._store._storage, study._sweep, "quality")
    ((found, trial),) = again.running()
    assert found is None
    again.tell(trial.number, "failed", None)
    assert again.trials_to_ask() == 4
    assert trial.params in [asked(again).params for _ in range(4)]
    assert again.ask() is None


def test_a_trial_is_written_whole_and_numbers_agree(study: OptunaStudy, url: str) -> None:
    for number in range(4):
        found = asked(study)
        (*_, trial) = trials_in(url)
        assert (trial.number, found.number) == (number, number)
        assert trial.params == found.params
        assert trial.user_attrs[STUDY_UID] == found.uid
        assert trial.distributions.keys() == found.params.keys()
    assert study.ask() is None


def test_a_trial_that_was_written_is_found_by_its_uuid_and_not_made_again(
    study: OptunaStudy, url: str
) -> None:
    first = asked(study)
    trial = trials_in(url)[0]
    assert study._store.create_trial(trial, 0) == (trial._trial_id, first.number)
    assert len(trials_in(url)) == 1
    other = optuna.create_trial(state=TrialState.RUNNING, user_attrs={STUDY_UID: "another"})
    assert study._store.create_trial(other, 0)[1] == 1


def test_what_somebody_enqueues_comes_first_and_only_once(tmp_path: Path, url: str) -> None:
    """It is looked for once a second, and a known point is not run again after it."""
    seconds = [0.0]
    sweep = sweep_of(tmp_path, GRID)
    study = OptunaStudy(open_storage(url), sweep, "quality", now=lambda: seconds[0])
    asked(study)
    persons = {"value": 0.1, "epochs": 3}
    optuna.load_study(study_name="quality", storage=url).enqueue_trial(persons)
    assert asked(study).params != persons
    seconds[0] = 1.5
    found = asked(study)
    assert (found.params, found.number, found.source) == (persons, 1, "sampler")
    assert trials_in(url)[1].params == persons
    assert trials_in(url)[1].state == TrialState.RUNNING
    rest = [asked(study).params]
    assert study.ask() is None
    assert persons not in rest
    study.tell(found.number, "completed", 0.4)
    assert trials_in(url)[1].value == 0.4
    assert [one.number for one in trials_in(url)] == [0, 1, 2, 3]


def test_a_trial_that_somebody_else_made_shifts_the_numbers(study: OptunaStudy, url: str) -> None:
    first = asked(study)
    others = optuna.load_study(study_name="quality", storage=url)
    others.add_trial(optuna.create_trial(value=0.3))
    second = asked(study)
    assert (first.number, second.number) == (0, 2)
    study.report(second.number, 1, 0.6)
    study.tell(second.number, "completed", 0.6)
    study.tell(first.number, "failed", None)
    found = trials_in(url)
    assert [one.state.name for one in found] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert found[2].intermediate_values == {1: 0.6}
    assert asked(study).number == 3


def test_a_waiting_trial_that_others_took_is_left_to_them(study: OptunaStudy, url: str) -> None:
    study.study.enqueue_trial({"value": 0.1, "epochs": 2})
    study.running()
    theirs = optuna.load_study(study_name="quality", storage=url).ask()
    assert theirs.number == 0
    assert asked(study).number == 1


class Cut(Exception):
    """The orchestrator ends here."""


def cut_off(study: OptunaStudy, storage: RDBStorage, commit: int) -> bool:
    """Ask, and be stopped before a commit; whether there was one so late."""
    left = itertools.count(1)

    def dies(_connection: object) -> None:
        if next(left) == commit:
            raise Cut

    sa.event.listen(storage.engine, "commit", dies)
    try:
        study.ask()
        return False
    except Cut:
        return True
    finally:
        sa.event.remove(storage.engine, "commit", dies)


def test_an_enqueued_trial_is_taken_whole_wherever_its_taking_was_cut_off(
    tmp_path: Path, url: str
) -> None:
    """At every commit in turn; the next run asks for it again, or goes on with it."""
    sweep = sweep_of(tmp_path, GRID)
    storage = open_storage(url)
    point = {"value": 0.1, "epochs": 3}
    for commit in itertools.count(1):
        storage.delete_study(OptunaStudy(storage, sweep, "quality").study._study_id)
        study = OptunaStudy(storage, sweep, "quality")
        study.study.enqueue_trial(point)
        study.running()
        was_cut = cut_off(study, storage, commit)
        again = OptunaStudy(storage, sweep, "quality")
        running = [found for found, _ in again.running()]
        first = running[0] if running else asked(again)
        assert first is not None
        assert (first.number, first.params) == (0, point)
        rest = [asked(again).params for _ in range(3)]
        assert again.ask() is None
        assert point not in rest
        if not was_cut:
            break
    assert commit > 4  # two parameters, our UUID and the state


def test_a_known_point_is_there_whole_or_not_at_all(tmp_path: Path, url: str) -> None:
    sweep = sweep_of(tmp_path, GRID)
    storage = open_storage(url)
    for commit in itertools.count(1):
        storage.delete_study(OptunaStudy(storage, sweep, "quality").study._study_id)
        was_cut = cut_off(OptunaStudy(storage, sweep, "quality"), storage, commit)
        found = trials_in(url)
        assert all(trial.params == {"value": 0.5, "epochs": 2} for trial in found)
        assert all(STUDY_UID in trial.user_attrs for trial in found)
        if not was_cut:
            break
    assert len(found) == 1


def test_a_trial_that_was_told_elsewhere_stays_as_it_is(study: OptunaStudy, url: str) -> None:
    found = asked(study)
    optuna.load_study(study_name="quality", storage=url).tell(found.number, 0.9)
    study.tell(found.number, "failed", None)
    study.tell(found.number, "failed", None)
    assert trials_in(url)[0].value == 0.9


def test_a_point_that_failed_is_asked_again_by_the_next_run_only(tmp_path: Path, url: str) -> None:
    sweep = sweep_of(tmp_path, GRID)
    storage = open_storage(url)
    study = OptunaStudy(storage, sweep, "quality")
    for _ in range(4):
        study.tell(asked(study).number, "failed", None)
    assert study.ask() is None
    assert OptunaStudy(storage, sweep, "quality", retry_failed=False).ask() is None
    again = OptunaStudy(storage, sweep, "quality")
    assert again.trials_to_ask() == 4
    found = [asked(again) for _ in range(4)]
    assert [one.source for one in found] == ["baseline", "grid", "grid", "grid"]
    assert again.ask() is None


def curve(params: dict[str, Any], epoch: int) -> float:
    return float(params["value"] * (1 - 0.5**epoch))


def play(study: OptunaStudy, trials: int) -> list[dict[str, Any]]:
    """Ask, report and tell; what came of each, told in words that compare."""
    played = []
    for _ in range(trials):
        trial = asked(study)
        epochs = 9
        for epoch in range(1, 10):
            if study.report(trial.number, epoch, curve(trial.params, epoch)):
                epochs = epoch
                break
        pruned = epochs < 9
        value = None if pruned else curve(trial.params, 9)
        study.tell(trial.number, "pruned" if pruned else "completed", value)
        played.append({**trial.params, "epochs": epochs})
    return played


def plain(sweep: Sweep, trials: int) -> list[dict[str, Any]]:
    """The same by Optuna alone."""
    study = optuna.create_study(
        study_name="quality",
        sampler=create_sampler(sweep, 0),
        pruner=create_pruner(sweep, 9),
        direction="maximize",
    )
    study.enqueue_trial({"value": 0.5})
    played = []
    for _ in range(trials):
        trial = study.ask(search_space.distributions(sweep))
        epochs = 9
        for epoch in range(1, 10):
            trial.report(curve(trial.params, epoch), epoch)
            if epoch < 9 and trial.should_prune():
                epochs = epoch
                break
        pruned = epochs < 9
        value = None if pruned else curve(trial.params, 9)
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        study.tell(trial, value, state=state)
        played.append({**trial.params, "epochs": epochs})
    return played


SAMPLERS = ["random", "{name: tpe, startup_trials: 5}", "qmc"]
PRUNERS = [
    "{name: median, startup_trials: 5, warmup_epochs: 1}",
    "{name: median, startup_trials: 5, warmup_epochs: 1, patience: 1}",
    "{name: asha, min_epochs: 1, reduction_factor: 3}",
    "{name: hyperband, min_epochs: 1, reduction_factor: 3}",
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_mirror_asks_and_prunes_as_optuna_does(
    tmp_path: Path, sampler: str, pruner: str
) -> None:
    sweep = sweep_of(tmp_path, RANGE.format(sampler=sampler, pruner=pruner))
    study = OptunaStudy(InMemoryStorage(), sweep, "quality")
    assert play(study, 40) == plain(sweep, 40)


def attributes(url: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    study = optuna.load_study(study_name="quality", storage=url)
    storage = study._storage
    kept = storage.get_study_system_attrs(study._study_id)
    return kept, [one.system_attrs for one in study.trials]


@pytest.mark.parametrize("pruner", PRUNERS[2:])
def test_qmc_and_halving_go_on_after_a_restart_as_if_there_was_none(
    tmp_path: Path, url: str, pruner: str
) -> None:
    """They keep their state with the study, and draw by the sweep's seed alone."""
    sweep = sweep_of(tmp_path, RANGE.format(sampler="qmc", pruner=pruner))
    whole = play(OptunaStudy(InMemoryStorage(), sweep, "quality"), 24)
    storage = open_storage(url)
    parts: list[dict[str, Any]] = []
    for trials in (1, 9, 14):
        parts += play(OptunaStudy(storage, sweep, "quality"), trials)
    assert parts[2:] == whole[2:]  # the very first are drawn by the number of trials so far
    kept, of_trials = attributes(url)
    assert [value for key, value in kept.items() if key.startswith("qmc:")] == [22]
    assert any("completed_rung_0" in one for one in of_trials)


def test_a_restart_in_the_middle_of_a_trial_keeps_its_rungs(tmp_path: Path, url: str) -> None:
    sweep = sweep_of(tmp_path, RANGE.format(sampler="random", pruner=PRUNERS[2]))
    study = OptunaStudy(open_storage(url), sweep, "quality")
    first = asked(study)
    study.report(first.number, 1, 0.4)
    again = OptunaStudy(open_storage(url), sweep, "quality")
    ((found, trial),) = again.running()
    assert found == first
    assert trial.system_attrs["completed_rung_0"] == 0.4
    assert not again.report(first.number, 2, 0.5)
    assert trials_in(url)[0].intermediate_values == {1: 0.4, 2: 0.5}


def outcomes(bounds: Bounds, folder: Path, sampler: str) -> list[dict[str, Any]]:
    sweep = sweep_of(folder, RANGE.format(sampler=sampler, pruner=PRUNERS[0]))
    return play(OptunaStudy(InMemoryStorage(), sweep, "quality", bounds=bounds), 40)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_bounds_change_nothing_below_them(tmp_path: Path, sampler: str) -> None:
    wide = outcomes(Bounds(1000, 100), tmp_path, sampler)
    narrow = outcomes(Bounds(20, 10), tmp_path, sampler)
    assert narrow[:20] == wide[:20]
    if sampler.startswith("{name: tpe"):
        assert narrow != wide  # they do bound something


WAITS = "{name: median, startup_trials: 25, warmup_epochs: 1}"


@pytest.mark.parametrize(
    ("sampler", "pruner"), [("random", WAITS), ("{name: tpe, startup_trials: 25}", "none")]
)
def test_bounds_never_show_fewer_trials_than_are_waited_for(
    tmp_path: Path, sampler: str, pruner: str
) -> None:
    """With them TPE would go on drawing at random, and the median never judge."""
    sweep = sweep_of(tmp_path, RANGE.format(sampler=sampler, pruner=pruner))
    tight = OptunaStudy(InMemoryStorage(), sweep, "quality", bounds=Bounds(4, 2))
    loose = OptunaStudy(InMemoryStorage(), sweep, "quality", bounds=Bounds(4, 4))
    played = play(tight, 40)
    never = sweep_of(tmp_path, RANGE.format(sampler="random", pruner="none"))
    assert played != play(OptunaStudy(InMemoryStorage(), never, "quality"), 40)
    assert played[:25] == play(loose, 25)
