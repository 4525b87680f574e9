"""What goes into the state machine of a sweep and what comes out: events and instructions."""

from dataclasses import dataclass

from trytable.orchestrator.backends.base import Exited, Said, Slot
from trytable.orchestrator.scheduler.gpu_sharing import Fit
from trytable.results.storage.rows import Status
from trytable.trainers.protocol.messages import Finished, StopReason

# What goes in, besides a backend's Said and Exited.


@dataclass(frozen=True)
class Tick:
    """It is `now` (monotonic seconds), and these slots are free."""

    now: float
    free: tuple[Slot, ...]


@dataclass(frozen=True)
class Asked:
    """The sampler gave a new trial, to be started in the slot it was asked for if it fits there.

    `shape` names what decides its memory.
    """

    slot: Slot
    uid: str
    number: int
    shape: str = ""


@dataclass(frozen=True)
class NothingLeft:
    """The sampler has no point left to try."""


@dataclass(frozen=True)
class PruneAdvised:
    """The pruner would end this trial."""

    uid: str


@dataclass(frozen=True)
class GateAdvised:
    """A diagnosis would end this trial; `reason` is for people."""

    uid: str
    reason: str


@dataclass(frozen=True)
class Lost:
    """An attempt ended together with an earlier orchestrator; that is no failure of the trial."""

    uid: str


@dataclass(frozen=True)
class Interrupted:
    """The person pressed Ctrl-C: the first drains, the second stops now."""


Input = Tick | Asked | NothingLeft | PruneAdvised | GateAdvised | Lost | Interrupted | Said | Exited


# What comes out.


@dataclass(frozen=True)
class Ask:
    """Ask the sampler for a trial for this slot; answer with Asked or NothingLeft."""

    slot: Slot


@dataclass(frozen=True)
class Start:
    """Start this attempt of a trial in this slot; `shared`: others run on its GPU, or may come."""

    uid: str
    attempt: int
    slot: Slot
    shared: bool = False


@dataclass(frozen=True)
class Report:
    """Report the objective after an epoch; answer with PruneAdvised if the pruner would end it."""

    uid: str
    epoch: int
    value: float


@dataclass(frozen=True)
class Stop:
    """Ask the worker to stop."""

    uid: str
    reason: StopReason


@dataclass(frozen=True)
class Settle:
    """An attempt has ended and the trial is now in `status`; a terminal one is told to the study.

    `failures` counts the attempts that failed so far; `reason` is for people.
    """

    uid: str
    attempt: int
    status: Status
    reason: str
    failures: int
    finished: Finished | None = None


@dataclass(frozen=True)
class SetAside:
    """Nothing more is started on this GPU, where one trial after another has failed."""

    device: str


@dataclass(frozen=True)
class Measured:
    """A trial has told what it takes of its GPU: so many like it fit there (see packing.Fit)."""

    uid: str
    fit: Fit


@dataclass(frozen=True)
class Repacked:
    """Memory ran out for a trial where `together` shared a GPU: `limit` do so from now on."""

    uid: str
    together: int
    limit: int


@dataclass(frozen=True)
class Halt:
    """Kill every worker now."""


Instruction = Ask | Start | Report | Stop | Settle | SetAside | Measured | Repacked | Halt
