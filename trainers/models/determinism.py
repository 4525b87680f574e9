"""Deterministic GPU kernels, without which neither a resumed trial nor a rerun has the same bits.

By default the backward passes of attention and of some other operations add up in whatever order
the GPU's threads arrive. torch has deterministic kernels for most operations, attention's only if
an operation without one is an error and not a warning. So that is the setting at first. If a model
needs such an operation, `relax` turns the error into a warning, which is in the worker's log.
"""

import os

import torch

_NO_KERNEL = "does not have a deterministic implementation"
"""The words of torch's error."""


def use_deterministic_kernels(device: torch.device) -> None:
    """Have torch use deterministic kernels on a GPU. A CPU's kernels are deterministic anyway.

    Call it before the first operation on the GPU: cuBLAS reads its setting once.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Uninitialised memory is never read here, so there is no need to fill it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a property of the module


def relax(error: RuntimeError) -> bool:
    """Allow operations without a deterministic kernel if the error is about one.

    Returns whether it is worth computing again.
    """
    if _NO_KERNEL not in str(error) or is_relaxed():
        return False
    torch.use_deterministic_algorithms(True, warn_only=True)
    return True


def is_relaxed() -> bool:
    """Whether this process has allowed operations without a deterministic kernel."""
    return torch.is_deterministic_algorithms_warn_only_enabled()
