"""How much GPU memory this process uses, and how libraries report that memory ran out.

Every worker imports this module to classify its errors, so torch is imported only where a GPU is
measured: the workers of scripts and simulated trials run without torch.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CONTEXT_BYTES = 768 * 2**20
"""Assumed size of a CUDA context with its kernels if the driver gives no figure, as in a container
with its own process ids. This is on the safe side: half as much is usual."""

_DEVICE_OOM = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""CUDA's words if not torch but a library or the CUDA context itself runs out of memory."""

_CPU_OOM = "can't allocate memory"
"""The words of torch's CPU allocator, which raises a plain RuntimeError."""


def is_oom(error: BaseException) -> bool:
    """Whether an error means that the device or the machine ran out of memory."""
    return is_device_oom(error) or _CPU_OOM in str(error)


def is_device_oom(error: BaseException) -> bool:
    """Whether an error means that the device ran out of memory."""
    # By name, since torch.OutOfMemoryError would need torch.
    names = {cls.__name__ for cls in type(error).__mro__}
    return "OutOfMemoryError" in names or any(words in str(error) for words in _DEVICE_OOM)


@dataclass(frozen=True)
class DeviceMemory:
    """The peak memory of this process on its GPU so far, and the GPU's total memory, in bytes."""

    peak_bytes: int
    total_bytes: int


def device_memory(device: "torch.device", uuid: str) -> DeviceMemory | None:
    """Measure this process's memory on the GPU with this UUID, its only one; None on a CPU."""
    if device.type != "cuda":
        return None
    import torch  # noqa: PLC0415 - see the module's docstring

    peak, current = torch.cuda.max_memory_reserved(), torch.cuda.memory_reserved()
    total = torch.cuda.get_device_properties(0).total_memory
    return DeviceMemory(peak_bytes(peak, current, process_memory(os.getpid(), uuid)), total)


def peak_bytes(peak_reserved: int, reserved: int, process_bytes: int | None) -> int:
    """Return the peak memory of a process, with its CUDA context.

    Args:
        peak_reserved: the most that torch has reserved so far.
        reserved: what torch reserves now.
        process_bytes: the driver's current figure for the process, or None. A figure below
            `reserved` belongs to a process with the same id in another container.
    """
    if process_bytes is None or process_bytes < reserved:
        return peak_reserved + CONTEXT_BYTES
    return peak_reserved + process_bytes - reserved


def process_memory(pid: int, uuid: str) -> int | None:
    """Return the driver's figure for a process on a GPU, in bytes, or None if it has none."""
    import pynvml  # noqa: PLC0415 - see the module's docstring

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
    return next((process.usedGpuMemory for process in processes if process.pid == pid), None)
