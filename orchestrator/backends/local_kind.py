"""The backend `local`: trials in processes of this machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.engine import BackendOptions, Engine, WorkerSettings
from trytable.orchestrator.backends.local import LocalBackend
from trytable.orchestrator.backends.slots import find_slots
from trytable.plugins import BackendKind


@contextmanager
def open_local(options: BackendOptions) -> Iterator[Engine]:
    """Find slots on this machine and start workers in them. Raises UserError."""
    yield Engine(partial(find_slots, options.slots), start_local)


def start_local(settings: WorkerSettings, slots: Sequence[Slot]) -> Backend:
    """Start workers on this machine."""
    return LocalBackend(
        slots,
        settings.trainer,
        settings.model,
        settings.log,
        silence_seconds=settings.silence_seconds,
    )


LOCAL = BackendKind(open_local)
