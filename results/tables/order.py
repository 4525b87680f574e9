"""Which trials and parameters a table shows, and in which order."""

from collections.abc import Iterable

from trytable.results.storage.rows import Status
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.text.format import as_cell, format_settings

_GROUPS: dict[Status, int] = {
    "completed": 0,
    "pruned": 1,
    "stopped": 2,
    "failed": 2,
    "running": 3,
    "waiting": 3,
    "drained": 3,
}


def in_table_order(study: StudyResult) -> tuple[TrialResult, ...]:
    """Return all trials: completed ones, best first, then pruned, then stopped, failed, others."""
    ranks = {trial.number: rank for rank, trial in enumerate(study.ranked)}

    def key(trial: TrialResult) -> tuple[int, int, int]:
        # A completed trial without a value cannot be ranked: it comes last in its group.
        return _GROUPS[trial.status], ranks.get(trial.number, len(ranks)), trial.number

    return tuple(sorted(study.trials, key=key))


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


def parameter_text(trial: TrialResult, names: tuple[str, ...]) -> str:
    """Return the trial's values of these parameters, as in `lr 2e-4, dropout 0.1`."""
    return format_settings({name: trial.settings[name] for name in names if name in trial.settings})


def _count_values(trials: tuple[TrialResult, ...], name: str) -> int:
    # Python has True == 1, but as settings they differ; 1 and 1.0 are the same value.
    cells = (as_cell(trial.settings[name]) for trial in trials if name in trial.settings)
    return len({(isinstance(cell, bool), cell) for cell in cells})


def _is_partly_known(trials: tuple[TrialResult, ...], name: str) -> bool:
    presence = [name in trial.settings for trial in trials if trial.is_imported]
    return any(presence) and not all(presence)
