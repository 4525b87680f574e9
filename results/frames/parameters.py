"""Which parameters differ between the trials of a study."""

from collections.abc import Iterable

from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.text.format import as_cell


def swept_parameters(study: StudyResult) -> tuple[str, ...]:
    """Return the parameters of the sweep, those that Optuna chose, and those that vary."""
    sampled = (name for trial in study.trials for name in trial.params)
    swept = study.sweep.get("parameters") or ()
    return tuple(dict.fromkeys((*swept, *sampled, *varied_parameters(study.trials))))


def varied_parameters(trials: Iterable[TrialResult]) -> tuple[str, ...]:
    """Return the names of the parameters with at least two values.

    For a single trial these are the study's parameters. A parameter that only some imported trials
    have counts as varied, because the logs of the others do not mention it.
    """
    group = tuple(trials)
    if len(group) == 1:
        return tuple(group[0].params)
    names = {name: None for trial in group for name in (*trial.params, *trial.requested)}
    return tuple(
        name for name in names if _count_values(group, name) > 1 or _is_partly_known(group, name)
    )


def _count_values(trials: tuple[TrialResult, ...], name: str) -> int:
    # Python has True == 1, but as settings they differ; 1 and 1.0 are the same value.
    cells = (as_cell(trial.settings[name]) for trial in trials if name in trial.settings)
    return len({(isinstance(cell, bool), cell) for cell in cells})


def _is_partly_known(trials: tuple[TrialResult, ...], name: str) -> bool:
    presence = [name in trial.settings for trial in trials if trial.is_imported]
    return any(presence) and not all(presence)
