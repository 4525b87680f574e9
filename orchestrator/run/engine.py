"""What runs a sweep's trials: processes of this machine, or Ray's nodes."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.ray.cluster import (
    NodeResources,
    cluster_slots,
    gpu_share,
    join_cluster,
)
from trytable.orchestrator.backends.slots import find_slots
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import BackendStarter, start_local
from trytable.sweeps.config.loader import Sweep

ENGINES = ("local", "ray")

CLUSTER_WAIT_SECONDS = 600.0
"""So long a sweep waits for a cluster to have room for a single slot."""


@dataclass(frozen=True)
class EngineOptions:
    """What a person asks for: the engine's name (empty is `local`), how many trials may run at
    once, and an fsspec URL for the checkpoints of nodes that share no folder."""

    engine: str = ""
    slots: int | None = None
    checkpoints: str = ""


@dataclass(frozen=True)
class Engine:
    """The slots there are, where so many trials may share a GPU, and what starts a backend in
    them."""

    slots: Callable[[int], tuple[Slot, ...]]
    start: BackendStarter


@contextmanager
def open_engine(options: EngineOptions, console: Console) -> Iterator[Engine]:
    """An engine, ready for as long as the block runs. Raises UserError."""
    name, slots = options.engine, options.slots
    if name not in ("", *ENGINES):
        raise UserError(f"ENGINE={name!r} is no engine. Allowed: {', '.join(ENGINES)}.")
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
    """Raise UserError where nothing can be written and read at an fsspec URL."""
    if not checkpoints:
        return
    from trytable.orchestrator.backends.ray.transfer import CheckpointStore  # noqa: PLC0415 - it takes its time

    mirror, uid = CheckpointStore(checkpoints), f"check-{secrets.token_hex(8)}"
    try:
        mirror.push(uid, b"trytable")
        found = mirror.pull(uid)
        mirror.forget(uid)
    except Exception as error:
        raise UserError(f"CHECKPOINTS={checkpoints} cannot be used: {error}") from error
    if found != b"trytable":
        raise UserError(f"CHECKPOINTS={checkpoints} does not hold what is written to it.")


def start_ray(
    nodes: Sequence[NodeResources],
    checkpoints: str,
    sweep: Sweep,
    folders: Folders,
    slots: Sequence[Slot],
) -> Backend:
    """Workers on the cluster that has been joined."""
    # Here, not at the top: only who wants Ray has it.
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
