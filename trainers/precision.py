"""Which precision a device computes in natively."""

from pathlib import Path
from typing import Literal

import torch

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""CPU flags (x86 and ARM) of processors that multiply bf16 in hardware."""


def choose(asked: str, device: torch.device) -> Literal["fp32", "bf16"]:
    """`auto` is bf16 where the hardware has it natively, else fp32."""
    if asked != "auto":
        return "bf16" if asked == "bf16" else "fp32"
    return "bf16" if has_native_bf16(device) else "fp32"


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 without emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BF16_FLAGS & cpu_flags())


def cpu_flags() -> frozenset[str]:
    """The processor's feature flags as the kernel lists them; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(found.partition(":")[2].split())
