"""Which precision a device computes in natively."""

from pathlib import Path
from typing import Literal

import torch

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""CPU flags (x86 and ARM) of processors that multiply bf16 in hardware."""


Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast computes in; fp32 goes without it."""


def choose_precision(asked: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """`auto` is bf16 where the hardware has it natively, else fp32."""
    if asked != "auto":
        return asked
    return "bf16" if has_native_bf16(device) else "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The block in which a forward pass computes in this precision."""
    return torch.autocast(
        device.type, dtype=DTYPES.get(precision, torch.bfloat16), enabled=precision != "fp32"
    )


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
