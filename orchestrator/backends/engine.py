"""What a sweep and a way to run its workers know of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trytable.orchestrator.backends.base import Backend, Slot


@dataclass(frozen=True)
class BackendOptions:
    """What the user chose.

    Attributes:
        slots: how many trials may run at once; None for as many as there is room for.
        checkpoints: an fsspec URL for the checkpoints of nodes that share no folder, or empty.
        warn: prints a line that the user should read.
    """

    slots: int | None
    checkpoints: str
    warn: Callable[[str], None]


@dataclass(frozen=True)
class WorkerSettings:
    """What all workers of a sweep share.

    Attributes:
        trainer: `finetune`, `script` or `scripted`.
        model: the model that workers read.
        log: the file for the output of the process that starts workers.
        silence_seconds: a worker that sends nothing for this long is killed.
    """

    trainer: str
    model: str
    log: Path
    silence_seconds: float


@dataclass(frozen=True)
class Engine:
    """Finds slots, given how many trials may share a GPU, and starts a backend in them."""

    slots: Callable[[int], tuple[Slot, ...]]
    start: Callable[[WorkerSettings, Sequence[Slot]], Backend]
