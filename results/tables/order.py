"""In which order a table shows trials, and how texts name their parameters."""

from trytable.results.storage.rows import Status
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.text.format import format_settings

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


def parameter_text(trial: TrialResult, names: tuple[str, ...]) -> str:
    """Return the trial's values of these parameters, as in `lr 2e-4, dropout 0.1`."""
    return format_settings({name: trial.settings[name] for name in names if name in trial.settings})
