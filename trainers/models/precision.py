"""The precision of the forward pass, and what a device supports natively."""

from pathlib import Path
from typing import Literal

import torch

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""CPU flags (x86 and ARM) of processors that multiply bf16 in hardware."""

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The types that autocast computes in; fp32 runs without autocast."""


def choose_precision(requested: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """Return the requested precision; `auto` is bf16 if the hardware supports it, else fp32."""
    if requested != "auto":
        return requested
    return "bf16" if has_native_bf16(device) else "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which a forward pass computes in this precision."""
    return torch.autocast(
        device.type, dtype=DTYPES.get(precision, torch.bfloat16), enabled=precision != "fp32"
    )


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 without emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BF16_FLAGS & cpu_flags())


def cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags from /proc/cpuinfo; empty if there are none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(flags.partition(":")[2].split())
