"""Go or no-go: whether a running trial should be stopped, from the steps that it has said."""

from results.diagnosis.blowup import divergence, non_finite
from results.diagnosis.learning import no_learning
from results.diagnosis.limits import Limits
from results.diagnosis.records import Found, Task, Trial


def no_go(trial: Trial, task: Task, limit: Limits) -> Found | None:
    """The first finding that stops this trial, or None. Nothing but NaN stops it in the window."""
    last = trial.steps[-1].step if trial.steps else 0
    past = last >= limit.window_steps
    judged = {
        "non_finite": lambda: non_finite(trial),
        "no_learning": lambda: no_learning(trial, task, limit) if past else None,
        "divergence": lambda: divergence(trial, task) if past else None,
    }
    found = (judge() for kind, judge in judged.items() if kind in limit.stops)
    return next((one for one in found if one is not None), None)
