"""Chooses where the trials of a sweep run: on this machine, on a Ray cluster, or by a plug-in."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.engine import BackendOptions, Engine
from trytable.orchestrator.backends.local_kind import LOCAL
from trytable.orchestrator.backends.ray.kind import RAY
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.plugins import Registry
from trytable.orchestrator.run.jobs import BackendStarter, worker_settings
from trytable.plugins import BackendKind
from trytable.spelling import echo

BACKENDS = Registry(
    noun="backend",
    group="trytable.backends",
    kind=BackendKind,
    call="open(options)",
    built_in={"local": LOCAL, "ray": RAY},
)
"""The ways to run workers; the first one is the default."""


@dataclass(frozen=True)
class EngineOptions:
    """The user's choice of an engine.

    Args:
        engine: the name of a backend; empty is `local`.
        slots: how many trials may run at once; None for as many as the machine has room for.
        checkpoints: an fsspec URL for the checkpoints of nodes that share no folder, or empty.
    """

    engine: str = ""
    slots: int | None = None
    checkpoints: str = ""


@dataclass(frozen=True)
class OpenEngine:
    """An engine for sweeps: slots as in `Engine`, and a backend's start."""

    slots: Callable[[int], tuple[Slot, ...]]
    start: BackendStarter


@contextmanager
def open_engine(options: EngineOptions, console: Console) -> Iterator[OpenEngine]:
    """Open an engine, which is ready until the block ends. Raises UserError."""
    backend_options = BackendOptions(
        options.slots,
        options.checkpoints,
        warn=lambda text: console.print(Text(text), soft_wrap=True),
    )
    with ExitStack() as stack:
        name = options.engine or next(iter(BACKENDS.built_in))
        kind = _find_backend(name)
        with BACKENDS.plugin_errors(name):
            engine = stack.enter_context(kind.open(backend_options))
            if not isinstance(engine, Engine):
                raise TypeError(f"open(options) yields {type(engine).__name__!r}, not an Engine")
        yield OpenEngine(engine.slots, _for_sweeps(engine))


def _find_backend(name: str) -> BackendKind:
    try:
        return BACKENDS.find(name)
    except KeyError:
        allowed = ", ".join(BACKENDS.names())
        raise UserError(f"{echo('ENGINE', name)} is not an engine. Allowed: {allowed}.") from None


def _for_sweeps(engine: Engine) -> BackendStarter:
    return lambda sweep, folders, slots: engine.start(worker_settings(sweep, folders), slots)
