"""Where workers may run on a cluster: its nodes' GPUs, or CPU cores, with the threads divided."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.backends.base import Slot
from orchestrator.devices import CPU, GPU
from orchestrator.errors import UserError
from orchestrator.slots import MAX_DEFAULT_CPU_SLOTS, WORKER_BYTES

_STEPS = 10_000
"""Ray counts shares of a GPU in ten-thousandths."""


@dataclass(frozen=True)
class Node:
    """What a node of a cluster has, whoever else may use it."""

    cores: int
    gpus: int
    memory_bytes: int


def share_out(wanted: int | None, nodes: Sequence[Node], max_per_gpu: int = 1) -> tuple[Slot, ...]:
    """`max_per_gpu` slots a GPU, or one a core up to four a node where there is no GPU, unless a
    number is given.

    More slots than GPUs share them. Slots times threads never exceed the cores. Raises UserError
    for a number below 1 or above the cores where there is no GPU, and for a cluster without either.
    """
    if wanted is not None and wanted < 1:
        raise UserError(f"SLOTS={wanted}: there must be at least one slot.")
    gpus = _gpus(nodes)
    cores = sum(node.cores for node in nodes if node.gpus)
    if gpus:
        return _share_gpus(wanted or min(gpus * max_per_gpu, max(gpus, cores)), nodes)
    return _share_cores(wanted, nodes)


def gpu_share(slots: int, nodes: Sequence[Node]) -> float:
    """The part of a GPU that each of so many slots gets; 0 where there is no GPU."""
    return _STEPS // _each(slots, nodes) / _STEPS if _gpus(nodes) else 0.0


def _gpus(nodes: Sequence[Node]) -> int:
    return sum(node.gpus for node in nodes)


def _each(slots: int, nodes: Sequence[Node]) -> int:
    return -(-slots // _gpus(nodes))


def _share_gpus(number: int, nodes: Sequence[Node]) -> tuple[Slot, ...]:
    each = _each(number, nodes)
    threads = min(node.cores // (node.gpus * each) for node in nodes if node.gpus)
    return _slots(number, GPU, threads)


def _share_cores(wanted: int | None, nodes: Sequence[Node]) -> tuple[Slot, ...]:
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
    return _slots(number, CPU, next(fitting))


def _by_default(node: Node) -> int:
    room = max(1, node.memory_bytes // WORKER_BYTES)
    return min(node.cores, MAX_DEFAULT_CPU_SLOTS, room)


def _slots(number: int, device: str, threads: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"{i + 1}", device, max(1, threads)) for i in range(number))
