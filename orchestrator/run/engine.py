"""Chooses where the trials of a sweep run: in processes of this machine, or on a Ray cluster."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.local import LocalBackend
from trytable.orchestrator.backends.ray.cluster import (
    NodeResources,
    cluster_slots,
    gpu_share,
    join_cluster,
)
from trytable.orchestrator.backends.slots import find_slots
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.sweeps.config.schema import Sweep

ENGINES = ("local", "ray")

CLUSTER_WAIT_SECONDS = 600.0
"""How long a sweep waits for a cluster to have room for its first slot."""

BackendStarter = Callable[[Sweep, Folders, Sequence[Slot]], Backend]


@dataclass(frozen=True)
class EngineOptions:
    """The user's choice of an engine.

    Args:
        engine: `local` or `ray`; empty is `local`.
        slots: how many trials may run at once; None for as many as the machine has room for.
        checkpoints: an fsspec URL for the checkpoints of nodes that share no folder, or empty.
    """

    engine: str = ""
    slots: int | None = None
    checkpoints: str = ""


@dataclass(frozen=True)
class Engine:
    """Finds slots, given how many trials may share a GPU, and starts a backend in them."""

    slots: Callable[[int], tuple[Slot, ...]]
    start: BackendStarter


@contextmanager
def open_engine(options: EngineOptions, console: Console) -> Iterator[Engine]:
    """Open an engine, which is ready until the block ends. Raises UserError."""
    name, slots = options.engine, options.slots
    if name not in ("", *ENGINES):
        raise UserError(f"ENGINE={name!r} is not an engine. Allowed: {', '.join(ENGINES)}.")
    if name != "ray":
        yield Engine(partial(find_slots, slots), start_local)
        return
    check_url(options.checkpoints)
    with join_cluster(lambda text: console.print(Text(text), soft_wrap=True)) as nodes:
        yield Engine(
            lambda max_per_gpu: cluster_slots(slots, nodes, max_per_gpu),
            partial(start_ray, nodes, options.checkpoints),
        )


def check_url(checkpoints: str) -> None:
    """Write, read and delete a file at an fsspec URL. Raises UserError if that fails."""
    if not checkpoints:
        return
    from trytable.orchestrator.backends.ray.transfer import CheckpointStore  # noqa: PLC0415 - slow to import

    store, uid = CheckpointStore(checkpoints), f"check-{secrets.token_hex(8)}"
    try:
        store.push(uid, b"trytable")
        content = store.pull(uid)
        store.delete(uid)
    except Exception as error:
        raise UserError(f"CHECKPOINTS={checkpoints} cannot be used: {error}") from error
    if content != b"trytable":
        raise UserError(f"CHECKPOINTS={checkpoints} does not return what was written to it.")


def start_local(sweep: Sweep, folders: Folders, slots: Sequence[Slot]) -> Backend:
    """Start workers on this machine."""
    return LocalBackend(
        slots,
        sweep.trainer,
        sweep.model,
        folders.forkserver_log,
        silence_seconds=sweep.silence_minutes * 60,
    )


def start_ray(
    nodes: Sequence[NodeResources],
    checkpoints: str,
    sweep: Sweep,
    folders: Folders,
    slots: Sequence[Slot],
) -> Backend:
    """Start workers on the nodes of a cluster."""
    # Not at the top of the module: Ray is an optional dependency.
    from trytable.orchestrator.backends.ray.backend import RayBackend  # noqa: PLC0415 - see above
    from trytable.orchestrator.backends.ray.plan import make_plan  # noqa: PLC0415 - see above

    plan = make_plan(
        sweep.trainer,
        sweep.model,
        folders.forkserver_log,
        checkpoints=checkpoints,
        silence_seconds=sweep.silence_minutes * 60,
    )
    return RayBackend(slots, plan, gpu_share(len(slots), nodes), CLUSTER_WAIT_SECONDS)
