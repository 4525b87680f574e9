"""Where workers may run on a cluster: its nodes' GPUs, or CPU cores, with the threads divided."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.backends.base import Slot
from orchestrator.errors import UserError
from orchestrator.slots import MAX_DEFAULT_CPU_SLOTS, WORKER_BYTES

GPU = "gpu"
"""The device of a slot whose GPU is not chosen yet."""

_STEPS = 10_000
"""Ray counts shares of a GPU in ten-thousandths."""


@dataclass(frozen=True)
class Node:
    """What a node of a cluster has, whoever else may use it."""

    cores: int
    gpus: int
    memory_bytes: int


@dataclass(frozen=True)
class Shares:
    """The slots of a cluster, and the part of a GPU that each of them gets."""

    slots: tuple[Slot, ...]
    gpu_share: float


def share_out(wanted: int | None, nodes: Sequence[Node]) -> Shares:
    """One slot a GPU, or a core up to four a node where there is no GPU, unless a number is given.

    More slots than GPUs share them. Slots times threads never exceed the cores. Raises UserError
    for a number below 1 or above the cores where there is no GPU, and for a cluster without either.
    """
    if wanted is not None and wanted < 1:
        raise UserError(f"SLOTS={wanted}: there must be at least one slot.")
    gpus = sum(node.gpus for node in nodes)
    return _share_gpus(wanted or gpus, gpus, nodes) if gpus else _share_cores(wanted, nodes)


def _share_gpus(number: int, gpus: int, nodes: Sequence[Node]) -> Shares:
    each = -(-number // gpus)
    threads = min(node.cores // (node.gpus * each) for node in nodes if node.gpus)
    return Shares(_slots(number, GPU, threads), _STEPS // each / _STEPS)


def _share_cores(wanted: int | None, nodes: Sequence[Node]) -> Shares:
    cores = sum(node.cores for node in nodes)
    if not cores:
        raise UserError("The Ray cluster has neither GPU nor CPU cores to run trials on.")
    if wanted is not None and wanted > cores:
        raise UserError(
            f"SLOTS={wanted}: the Ray cluster has {cores} CPU cores and no GPU; more slots than "
            f"cores only slow each other down. Allowed: 1 to {cores}."
        )
    number = wanted or sum(_by_default(node) for node in nodes)
    fitting = (t for t in range(cores, 0, -1) if sum(n.cores // t for n in nodes) >= number)
    return Shares(_slots(number, "cpu", next(fitting)), 0.0)


def _by_default(node: Node) -> int:
    room = max(1, node.memory_bytes // WORKER_BYTES)
    return min(node.cores, MAX_DEFAULT_CPU_SLOTS, room)


def _slots(number: int, device: str, threads: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"{i + 1}", device, max(1, threads)) for i in range(number))
