"""How libraries say that memory ran out; needs no torch, since every worker reads it."""

_ON_DEVICE = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How CUDA says it where not torch asked for memory but a library, or the context itself."""

_ON_CPU = "can't allocate memory"
"""How torch's allocator for main memory says it; it has no exception of its own for that."""


def on_device(error: BaseException) -> bool:
    """Whether a device's memory ran out."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return "OutOfMemoryError" in names or any(word in str(error) for word in _ON_DEVICE)


def anywhere(error: BaseException) -> bool:
    """Whether a device's memory ran out, or the machine's."""
    return on_device(error) or _ON_CPU in str(error)
