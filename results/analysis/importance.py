"""Estimates the importance of each parameter with Optuna."""

import optuna
from optuna.trial import create_trial

from trytable.results.storage.study import StudyResult

MIN_COMPLETED = 20
"""With fewer completed trials the estimate is mostly noise."""


def importances(study: StudyResult) -> dict[str, float]:
    """Each parameter's share of the importance (PED-ANOVA, arXiv 2304.10255), largest first.

    From completed trials only; empty with fewer than ENOUGH of them or fewer than two parameters.
    """
    completed = [trial for trial in study.ranked if trial.distributions]
    names = {name for trial in completed for name in trial.distributions}
    if len(completed) < MIN_COMPLETED or len(names) <= 1:
        return {}
    if len({trial.best_value for trial in completed}) == 1:
        return {}
    shares = optuna.importance.get_param_importances(_copy(study))
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _copy(study: StudyResult) -> optuna.Study:
    # In memory, because Optuna's estimate needs a study and the database is closed by now.
    storage = optuna.storages.InMemoryStorage()
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        copy = optuna.create_study(storage=storage, direction=study.objective.direction)
    finally:
        optuna.logging.set_verbosity(level)
    for trial in study.ranked:
        if trial.distributions:
            copy.add_trial(
                create_trial(
                    params=dict(trial.params),
                    distributions=dict(trial.distributions),
                    value=trial.best_value,
                )
            )
    return copy
