"""What goes into the state machine of a sweep and what comes out: events and instructions.

Both are plain records. Time comes in as an event, too (`Tick`): a state machine that read a clock
could not be tested with every order of events.
"""

from dataclasses import dataclass

from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.scheduler.gpu_sharing import GpuFit
from trytable.results.storage.rows import Status
from trytable.trainers.protocol.messages import Finished, StopReason

# Events, besides a backend's WorkerEvent and WorkerExit.


@dataclass(frozen=True)
class Tick:
    """The time is `now` (monotonic seconds), and these slots are free."""

    now: float
    free: tuple[Slot, ...]


@dataclass(frozen=True)
class NewTrial:
    """The sampler's answer to `AskTrial`: a trial for this slot, to be started if it fits there.

    `shape` names the settings that decide its memory.
    """

    slot: Slot
    uid: str
    number: int
    shape: str = ""


@dataclass(frozen=True)
class SearchExhausted:
    """The sampler's answer to `AskTrial` if it has no point left to try."""


@dataclass(frozen=True)
class PruneAdvice:
    """The pruner would stop this trial."""

    uid: str


@dataclass(frozen=True)
class EarlyStopAdvice:
    """A diagnosis would stop this trial; `reason` is its message for the user."""

    uid: str
    reason: str


@dataclass(frozen=True)
class AttemptLost:
    """An earlier orchestrator exited during an attempt, which is no failure of the trial."""

    uid: str


@dataclass(frozen=True)
class Interrupt:
    """The user pressed Ctrl-C: the first time drains the sweep, the second kills its workers."""


SchedulerEvent = (
    Tick
    | NewTrial
    | SearchExhausted
    | PruneAdvice
    | EarlyStopAdvice
    | AttemptLost
    | Interrupt
    | WorkerEvent
    | WorkerExit
)


class Instruction:
    """What the state machine wants done; the subclasses are all there are."""


@dataclass(frozen=True)
class AskTrial(Instruction):
    """Ask the sampler for a trial for this slot; answer with NewTrial or SearchExhausted."""

    slot: Slot


@dataclass(frozen=True)
class StartAttempt(Instruction):
    """Start this attempt of a trial in this slot.

    `shared`: other trials run on the slot's GPU, or may come.
    """

    uid: str
    attempt: int
    slot: Slot
    shared: bool = False


@dataclass(frozen=True)
class ReportValue(Instruction):
    """Report the objective after an epoch; answer with PruneAdvice if the pruner would stop it."""

    uid: str
    epoch: int
    value: float


@dataclass(frozen=True)
class StopWorker(Instruction):
    """Ask the worker of a trial to stop."""

    uid: str
    reason: StopReason


@dataclass(frozen=True)
class EndAttempt(Instruction):
    """Record that an attempt has ended and that its trial is now in `status`.

    If the status is terminal, the trial's end is reported to the study. `failures` counts the
    attempts that failed so far; `reason` is a text for the user.
    """

    uid: str
    attempt: int
    status: Status
    reason: str
    failures: int
    result: Finished | None = None


@dataclass(frozen=True)
class AnnounceGpuExclusion(Instruction):
    """Report that nothing more is started on this GPU, where trial after trial has failed."""

    device: str


@dataclass(frozen=True)
class AnnounceGpuFit(Instruction):
    """Report how many trials like this one fit on a GPU."""

    uid: str
    fit: GpuFit


@dataclass(frozen=True)
class AnnounceSharingLimit(Instruction):
    """Report that a trial ran out of memory while `sharing` trials shared its GPU.

    At most `limit` trials like it share a GPU from now on.
    """

    uid: str
    sharing: int
    limit: int


@dataclass(frozen=True)
class KillWorkers(Instruction):
    """Kill every worker now."""
