"""The state of one trial until it ends, and the status changes that it may make."""

from dataclasses import dataclass, field

from trytable.results.storage.rows import Status
from trytable.trainers.protocol.messages import Failed, Finished, StopReason

TRANSITIONS: dict[Status, frozenset[Status]] = {
    "waiting": frozenset({"running"}),
    "running": frozenset({"waiting", "drained", "completed", "pruned", "stopped", "failed"}),
    "drained": frozenset({"running"}),
    "completed": frozenset(),
    "pruned": frozenset(),
    "stopped": frozenset(),
    "failed": frozenset(),
}
"""The legal status changes. `running` to `waiting` is a retry: another attempt follows."""


@dataclass
class LiveTrial:
    """What the state machine knows of a trial that has not ended.

    Attributes:
        attempt: the number of the last attempt that was started; 0 before the first.
        failures: attempts that failed so far.
        last_epoch: the last epoch whose value was reported to the study.
        stop_reason: why its worker was asked to stop, if it was.
        diagnosis: the message of the diagnosis that asked for the stop, if one did.
        has_checkpoint: whether this attempt has saved a checkpoint.
        device: where the last attempt ran.
        failed_device: where an attempt failed in a way that another GPU might have avoided.
        shape: names the settings that decide its memory; trials of one shape take the same.
        peak_sharing: the most trials that ran on its GPU at once during this attempt, itself
            included; 0 if unknown.
        result: the result that this attempt reported.
        error: the error that this attempt reported.
        history: all status changes, for the message of InvalidTransition.
    """

    uid: str
    number: int
    status: Status = "waiting"
    attempt: int = 0
    failures: int = 0
    last_epoch: int = 0
    stop_reason: StopReason | None = None
    diagnosis: str = ""
    has_checkpoint: bool = False
    device: str = ""
    failed_device: str = ""
    shape: str = ""
    peak_sharing: int = 0
    result: Finished | None = None
    error: Failed | None = None
    history: list[str] = field(default_factory=list)

    def change_status(self, status: Status, reason: str) -> None:
        """Change the status. Raises InvalidTransition if the change is not in TRANSITIONS."""
        if status not in TRANSITIONS[self.status]:
            raise InvalidTransition(self, status, reason)
        self.history.append(f"{self.status} -> {status} ({reason})")
        self.status = status


class InvalidTransition(Exception):
    """A bug in the state machine: a trial was to make a status change that is not allowed."""

    def __init__(self, trial: LiveTrial, status: Status, reason: str) -> None:
        history = "; ".join(trial.history) or "none"
        super().__init__(
            f"trial {trial.number}: {trial.status} -> {status} ({reason}) is not allowed; "
            f"earlier changes: {history}"
        )
