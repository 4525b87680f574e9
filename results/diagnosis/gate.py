"""Go or no-go: whether a running trial should be stopped, from the steps that it has said."""

from results.diagnosis.blowup import divergence, non_finite
from results.diagnosis.learning import no_learning
from results.diagnosis.limits import Limits
from results.diagnosis.records import Found, Task, Trial


def no_go(trial: Trial, task: Task, limit: Limits) -> Found | None:
    """The first finding that stops this trial, or None. Nothing but NaN stops it in the window."""
    last = trial.steps[-1].step if trial.steps else 0
    past = last >= limit.window_steps
    if "non_finite" in limit.stops and (found := non_finite(trial)):
        return found
    if past and "no_learning" in limit.stops and (found := no_learning(trial, task, limit)):
        return found
    return divergence(trial, task) if past and "divergence" in limit.stops else None
