"""Trials read column by column are those that Optuna reads itself."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution

from tests.results.studies import Maker
from trytable.results.storage.engine import open_read_only
from trytable.results.storage.optuna_trials import read_trials


def test_the_same_trials_as_optunas_own_reader(full: Maker) -> None:
    study = full.study
    study.enqueue_trial({"word": "b"}, user_attrs={"note": {"a": [1, None]}})
    trial = study.ask({"word": CategoricalDistribution(["a", "b", None])})
    for epoch, value in enumerate([math.nan, math.inf, -math.inf, 0.25], start=1):
        trial.report(value, epoch)
    study.tell(trial, math.inf)
    study.enqueue_trial({"word": "a"})
    with open_read_only(full.url) as storage:
        study_id = storage.get_study_id_from_name(full.name)
        theirs = storage.get_all_trials(study_id)
        with storage.engine.connect() as connection:
            ours = read_trials(connection, study_id)
    assert [_told(one) for one in ours] == [_told(one) for one in theirs]
    assert len(ours) == 10
    assert len({one.state for one in ours}) == 5


def test_another_studys_trials_are_left_out(full: Maker) -> None:
    other = optuna.create_study(storage=full.storage, study_name="other")
    other.add_trial(optuna.create_trial(value=1.0))
    with open_read_only(full.url) as storage, storage.engine.connect() as connection:
        assert len(read_trials(connection, other._study_id)) == 1
        assert read_trials(connection, 99) == ()


def _told(trial: optuna.trial.FrozenTrial) -> tuple[object, ...]:
    told = {**trial.__dict__, "_trial_id": trial._trial_id}
    return tuple(repr(told[name]) for name in sorted(told))


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
