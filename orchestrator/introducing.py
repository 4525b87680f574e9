"""What the person reads before the first trial starts."""

from collections.abc import Sequence
from typing import Any

from orchestrator.backends.base import Slot
from orchestrator.devices import CPU, GPU
from orchestrator.settings import tells_memory
from sweeps.spec import Sweep


def introduction(
    sweep: Sweep, study: str, slots: Sequence[Slot], facts: dict[str, Any]
) -> tuple[str, ...]:
    """What is about to run on what, and what the person should know of the data."""
    sizes = ", ".join(f"{size} {split}" for split, size in facts.get("sizes", {}).items())
    work = f" of {sweep.model} on {sweep.data['name']} ({sizes})" if sizes else ""
    first = f"{study}: {', '.join(sweep.parameters)}{work}, {places(sweep, slots)}"
    return (first, *facts.get("notes", ()))


def places(sweep: Sweep, slots: Sequence[Slot]) -> str:
    """As `6 slots on 2 GPUs, as far as memory allows`."""
    found = f"{len(slots)} slot{'s' if len(slots) > 1 else ''}"
    gpus = {slot.device for slot in slots} - {CPU}
    if not gpus:
        return found
    if GPU in gpus:
        return f"{found} on the cluster's GPUs"
    packed = len(slots) > len(gpus) and tells_memory(sweep.trainer)
    on = f"{found} on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"
    return f"{on}, as far as memory allows" if packed else on
