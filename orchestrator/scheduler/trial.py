"""What is known of one trial while it lives, and the moves that it may make."""

from dataclasses import dataclass, field

from trytable.results.storage.rows import Status
from trytable.trainers.protocol.messages import Failed, Finished, StopReason

MOVES: dict[Status, frozenset[Status]] = {
    "waiting": frozenset({"running"}),
    "running": frozenset({"waiting", "drained", "completed", "pruned", "stopped", "failed"}),
    "drained": frozenset({"running"}),
    "completed": frozenset(),
    "pruned": frozenset(),
    "stopped": frozenset(),
    "failed": frozenset(),
}
"""The legal moves. `running` to `waiting` is a retry: the trial's next attempt is to come."""


@dataclass
class TrialState:
    """What the machine knows of a trial that has not ended. `attempt` is the last one started.

    `diagnosis` is why it was asked to stop, where a diagnosis asked. `device` is where the last
    attempt ran, `avoided` where it failed for no reason of the trial's own. `shape` names what
    decides its memory, `crowd` is the most trials that were on its GPU at once in this attempt, it
    included; 0 where nobody knows.
    """

    uid: str
    number: int
    status: Status = "waiting"
    attempt: int = 0
    failures: int = 0
    last_epoch: int = 0
    stop: StopReason | None = None
    diagnosis: str = ""
    checkpointed: bool = False
    device: str = ""
    avoided: str = ""
    shape: str = ""
    crowd: int = 0
    finished: Finished | None = None
    failed: Failed | None = None
    story: list[str] = field(default_factory=list)

    def move(self, status: Status, why: str) -> None:
        """Change the status. Raises InvalidMove, with the story so far, for an illegal one."""
        if status not in MOVES[self.status]:
            raise InvalidMove(self, status, why)
        self.story.append(f"{self.status} -> {status} ({why})")
        self.status = status


class InvalidMove(Exception):
    """A mistake of ours: a trial was to make a move that the table does not have."""

    def __init__(self, trial: TrialState, status: Status, why: str) -> None:
        story = "; ".join(trial.story) or "nothing yet"
        super().__init__(
            f"trial {trial.number}: {trial.status} -> {status} ({why}) is not a legal move; "
            f"so far: {story}"
        )
