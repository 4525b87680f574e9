"""Divides this machine into slots: its GPUs, or its CPU cores, and the threads of each."""

import os
from collections.abc import Sequence
from typing import Any

import psutil
import pynvml

from trytable.orchestrator.backends.base import CPU, Slot
from trytable.orchestrator.errors import UserError
from trytable.spelling import setting

MAX_DEFAULT_CPU_SLOTS = 4
"""The most CPU slots by default. The pruner learns from trials that have ended, so that more
trials at a time make it less useful."""

WORKER_BYTES = 2 * 2**30
"""The memory that a worker with a BERT-size model is assumed to need on the CPU."""


def find_slots(requested: int | None, max_per_gpu: int = 1) -> tuple[Slot, ...]:
    """Return the slots of this machine.

    By default there are `max_per_gpu` slots on each GPU or, without a GPU, one for each core up
    to four. Raises UserError if `requested` is below 1 or, without a GPU, above the CPU cores.
    """
    cores = len(os.sched_getaffinity(0))
    check_slot_count(requested)
    memory = psutil.virtual_memory().available
    return divide_slots(requested, gpu_uuids(), cores, memory, max_per_gpu)


def check_slot_count(requested: int | None, cores: int | None = None, owner: str = "") -> None:
    """Raise UserError if the number of slots is below 1, or above the cores of a GPU-less owner."""
    if requested is not None and requested < 1:
        raise UserError(f"{setting('SLOTS', requested)}: there must be at least one slot.")
    if requested is not None and cores is not None and requested > cores:
        raise UserError(
            f"{setting('SLOTS', requested)}: {owner} has {cores} CPU cores and no GPU; more slots "
            f"than cores only slow each other down. Allowed: 1 to {cores}."
        )


def default_cpu_slots(cores: int, memory_bytes: int) -> int:
    """Return the default number of CPU slots for this many cores and this much free memory."""
    return min(cores, MAX_DEFAULT_CPU_SLOTS, max(1, memory_bytes // WORKER_BYTES))


def divide_slots(
    requested: int | None, gpus: Sequence[str], cores: int, memory_bytes: int, max_per_gpu: int = 1
) -> tuple[Slot, ...]:
    """Divide GPUs, or the cores of a machine without one, among slots.

    Slots times threads never exceed the cores, unless there are more GPUs or requested slots than
    cores: two slots of two threads on two cores ran four times slower. The first slots have a GPU
    each, then the next ones have a GPU each again, and so on. Raises UserError.
    """
    if gpus:
        default = min(len(gpus) * max_per_gpu, max(len(gpus), cores))
    else:
        check_slot_count(requested, cores, "this machine")
        default = default_cpu_slots(cores, memory_bytes)
    count = requested or default
    threads = max(1, cores // count)
    devices = gpus or [CPU]
    return tuple(Slot(f"{i + 1}", devices[i % len(devices)], threads) for i in range(count))


def gpu_uuids() -> list[str]:
    """Return the UUIDs of the GPUs that this process may use; none without NVIDIA's driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    finally:
        pynvml.nvmlShutdown()
    return visible_gpus(uuids, os.environ.get("CUDA_VISIBLE_DEVICES"))


def gpu_names() -> list[str]:
    """Return the model, memory and UUID of each GPU of this machine."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_gpu_name(handle) for handle in handles]
    except pynvml.NVMLError as error:
        return [f"unknown ({error})"]
    finally:
        pynvml.nvmlShutdown()


def _gpu_name(handle: Any) -> str:
    gibibytes = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30
    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
    return f"{name} with {gibibytes:.0f} GiB ({uuid})"


def visible_gpus(uuids: Sequence[str], setting: str | None) -> list[str]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names, by index or by (the start of) a UUID.

    As in CUDA, the first entry that names no GPU ends the list.
    """
    if setting is None:
        return list(uuids)
    visible: list[str] = []
    for entry in map(str.strip, setting.split(",")):
        if entry.isdigit() and int(entry) < len(uuids):
            visible.append(uuids[int(entry)])
        elif entry.startswith("GPU-") and any(uuid.startswith(entry) for uuid in uuids):
            visible.append(next(uuid for uuid in uuids if uuid.startswith(entry)))
        else:
            break
    return visible
