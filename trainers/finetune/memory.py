"""How much of its GPU's memory this process takes, the CUDA context included."""

import os
from dataclasses import dataclass

import pynvml
import torch

CONTEXT_BYTES = 768 * 2**20
"""What a CUDA context with its kernels is taken to need where the driver does not tell, as in a
container with process ids of its own. It is rather too much: half as much is usual."""


@dataclass(frozen=True)
class DeviceMemory:
    """The most that this process has held of its GPU so far, and all that the GPU has, in bytes."""

    peak_bytes: int
    total_bytes: int


def device_memory(device: torch.device, uuid: str) -> DeviceMemory | None:
    """What this process takes of the GPU with this UUID, the only one it sees; None on a CPU."""
    if device.type != "cuda":
        return None
    most, now = torch.cuda.max_memory_reserved(), torch.cuda.memory_reserved()
    total = torch.cuda.get_device_properties(0).total_memory
    return DeviceMemory(peak_bytes(most, now, process_memory(os.getpid(), uuid)), total)


def peak_bytes(most_reserved: int, reserved: int, process_bytes: int | None) -> int:
    """The largest memory so far, from what torch reserved at most, reserves now, and the driver's
    figure for the process now.

    A figure below what torch reserves is another process's of the same id, in another container.
    """
    if process_bytes is None or process_bytes < reserved:
        return most_reserved + CONTEXT_BYTES
    return most_reserved + process_bytes - reserved


def process_memory(pid: int, uuid: str) -> int | None:
    """The driver's figure for a process on a GPU, in bytes; None where it has none."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return next((one.usedGpuMemory for one in processes if one.pid == pid), None)


_ON_DEVICE = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How CUDA says it where not torch asked for memory but a library, or the context itself."""

_ON_CPU = "can't allocate memory"
"""How torch's allocator for main memory says it; it has no exception of its own for that."""


def is_device_oom(error: BaseException) -> bool:
    """Whether a device's memory ran out."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return "OutOfMemoryError" in names or any(word in str(error) for word in _ON_DEVICE)


def is_oom(error: BaseException) -> bool:
    """Whether a device's memory ran out, or the machine's."""
    return is_device_oom(error) or _ON_CPU in str(error)
