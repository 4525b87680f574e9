"""Where workers may run on this machine: GPUs, or CPU cores, with the threads divided."""

import os
from collections.abc import Sequence

import psutil
import pynvml

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.errors import UserError

MAX_DEFAULT_CPU_SLOTS = 4
"""More trials side by side blunt the pruner, which learns from those that have ended."""

WORKER_BYTES = 2 * 2**30
"""Memory that a worker with a BERT-size model is taken to need on the CPU."""


def find_slots(wanted: int | None, max_per_gpu: int = 1) -> tuple[Slot, ...]:
    """The slots of this machine: `max_per_gpu` a GPU, or one a core up to four, unless a number is
    given.

    Raises UserError for a number below 1 or above the CPU cores where there is no GPU.
    """
    cores = len(os.sched_getaffinity(0))
    if wanted is not None and wanted < 1:
        raise UserError(f"SLOTS={wanted}: there must be at least one slot.")
    return divide_slots(wanted, gpu_uuids(), cores, psutil.virtual_memory().available, max_per_gpu)


def divide_slots(
    wanted: int | None, gpus: Sequence[str], cores: int, free_bytes: int, max_per_gpu: int = 1
) -> tuple[Slot, ...]:
    """Share out GPUs, or cores where there is none; slots times threads never exceed the cores,
    unless there are more GPUs, or more slots are wanted.

    The first slots have a GPU each, the next ones a GPU each again, and so on.
    """
    if not gpus and wanted is not None and wanted > cores:
        raise UserError(
            f"SLOTS={wanted}: this machine has {cores} CPU cores and no GPU; more slots than "
            f"cores only slow each other down. Allowed: 1 to {cores}."
        )
    default = min(cores, MAX_DEFAULT_CPU_SLOTS, max(1, free_bytes // WORKER_BYTES))
    if gpus:
        default = min(len(gpus) * max_per_gpu, max(len(gpus), cores))
    number = wanted or default
    threads = max(1, cores // number)
    devices = gpus or ["cpu"]
    return tuple(Slot(f"{i + 1}", devices[i % len(devices)], threads) for i in range(number))


def gpu_uuids() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES has it; none without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        found = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    finally:
        pynvml.nvmlShutdown()
    return visible_gpus(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible_gpus(uuids: Sequence[str], setting: str | None) -> list[str]:
    """Keep the GPUs that CUDA_VISIBLE_DEVICES names, by index or by (the start of a) UUID.

    As CUDA does it, the first entry that names no GPU ends the list.
    """
    if setting is None:
        return list(uuids)
    kept: list[str] = []
    for entry in (part.strip() for part in setting.split(",")):
        if entry.isdigit() and int(entry) < len(uuids):
            kept.append(uuids[int(entry)])
        elif entry.startswith("GPU-") and any(uuid.startswith(entry) for uuid in uuids):
            kept.append(next(uuid for uuid in uuids if uuid.startswith(entry)))
        else:
            break
    return kept
