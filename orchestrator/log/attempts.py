"""Logs what happens to the trials of a sweep."""

import logging
import time
from collections.abc import Callable, Sequence

from trytable.orchestrator.backends.base import WorkerEvent, WorkerExit, WorkerMessage
from trytable.orchestrator.scheduler.events import (
    EndAttempt,
    Instruction,
    StartAttempt,
    StopWorker,
)
from trytable.results.storage.rows import TrialRow
from trytable.trainers.protocol.messages import AnyEvent, Checkpoint, Epoch, Finding, Started

_LOGGER = logging.getLogger(__name__)

_STOPS = {
    "prune": "the pruner stops it",
    "gate": "a diagnosis stops it",
    "drain": "it saves a checkpoint and stops, because the run ends",
}


class AttemptLog:
    """A listener of a sweep's loop.

    Args:
        describe: returns a trial's swept parameters in words.
        quotes_output: whether the reasons of failed attempts may quote what a script printed, such
            as data. Then only the kind of the failure is logged.
    """

    def __init__(self, describe: Callable[[TrialRow], str], *, quotes_output: bool) -> None:
        self._describe = describe
        self._quotes_output = quotes_output
        self._started_at: dict[str, float] = {}  # monotonic seconds
        self._numbers: dict[str, int] = {}

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None:
        """Log the start, the stop or the end of an attempt."""
        number = trial.number + 1
        match instruction:
            case StartAttempt(_, attempt, slot, shared):
                self._started_at[trial.uid] = time.monotonic()
                self._numbers[trial.uid] = number
                place = f"slot {slot.name} on {slot.device}{', shared' if shared else ''}"
                description = self._describe(trial)
                _LOGGER.info(
                    "Try %d attempt %d started in %s: %s", number, attempt, place, description
                )
                _LOGGER.debug("Try %d settings: %s", number, trial.requested)
            case StopWorker(_, reason):
                _LOGGER.info("Try %d: %s", number, _STOPS.get(reason, reason))
            case EndAttempt():
                self._log_end(instruction, trial)

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Log findings; at level debug also epochs, checkpoints and exits."""
        for message in messages:
            number = self._numbers.get(message.trial_uid)
            if isinstance(message, WorkerExit):
                _LOGGER.debug("Try %s worker exited: %s", number, message.cause)
            elif isinstance(message, WorkerEvent):
                _log_event(number, message.event)

    def print_line(self, text: str) -> None:
        """Log what is also printed for the user, such as a GPU that was set aside."""
        _LOGGER.warning("%s", text)

    def _log_end(self, end: EndAttempt, trial: TrialRow) -> None:
        started_at = self._started_at.pop(trial.uid, None)
        duration = (
            "in an earlier run" if started_at is None else f"{time.monotonic() - started_at:.1f} s"
        )
        reason = end.reason.partition(":")[0] if self._quotes_output else end.reason
        is_bad = end.status == "failed" or (end.status == "waiting" and end.failures > 0)
        outcome: str = end.status
        if end.status == "waiting":
            outcome = "ended and will be started again"
        elif end.result is not None:
            outcome += f" with {end.result.best_value:g} at epoch {end.result.best_epoch}"
        _LOGGER.log(
            logging.WARNING if is_bad else logging.INFO,
            "Try %d attempt %d %s (%s)%s",
            trial.number + 1,
            end.attempt,
            outcome,
            duration,
            f": {reason}" if reason else "",
        )


def _log_event(number: int | None, event: AnyEvent) -> None:
    match event:
        case Finding():
            # Its message may quote a text or a label of the data.
            _LOGGER.info("Try %s finding: %s (%s)", number, event.kind, event.severity)
        case Started():
            _LOGGER.debug("Try %s runs as process %d on %s", number, event.pid, event.device)
        case Epoch():
            _LOGGER.debug("Try %s epoch %d: %s", number, event.epoch, event.value)
        case Checkpoint():
            _LOGGER.debug("Try %s checkpoint after step %d", number, event.step)
        case _:
            pass
