"""The backend `ray`: trials on a cluster. Ray is optional, and imported when it is used."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.engine import BackendOptions, Engine, WorkerSettings
from trytable.orchestrator.backends.ray.cluster import (
    NodeResources,
    cluster_slots,
    gpu_share,
    join_cluster,
)
from trytable.orchestrator.errors import UserError
from trytable.plugins import BackendKind
from trytable.spelling import setting

CLUSTER_WAIT_SECONDS = 600.0
"""How long a sweep waits for a cluster to have room for its first slot."""


@contextmanager
def open_ray(options: BackendOptions) -> Iterator[Engine]:
    """Join a cluster, or start one on this machine, until the block ends. Raises UserError."""
    check_url(options.checkpoints)
    with join_cluster(options.warn) as nodes:
        yield Engine(
            lambda max_per_gpu: cluster_slots(options.slots, nodes, max_per_gpu),
            partial(_start, nodes, options.checkpoints),
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
        raise UserError(f"{setting('CHECKPOINTS', checkpoints)} cannot be used: {error}") from error
    if content != b"trytable":
        raise UserError(
            f"{setting('CHECKPOINTS', checkpoints)} does not return what was written to it."
        )


def _start(
    nodes: Sequence[NodeResources],
    checkpoints: str,
    settings: WorkerSettings,
    slots: Sequence[Slot],
) -> Backend:
    # Not at the top of the module: Ray is an optional dependency.
    from trytable.orchestrator.backends.ray.backend import RayBackend  # noqa: PLC0415 - see above
    from trytable.orchestrator.backends.ray.plan import make_plan  # noqa: PLC0415 - see above

    plan = make_plan(
        settings.trainer,
        settings.model,
        settings.log,
        checkpoints=checkpoints,
        silence_seconds=settings.silence_seconds,
    )
    return RayBackend(slots, plan, gpu_share(len(slots), nodes), CLUSTER_WAIT_SECONDS)


RAY = BackendKind(open_ray)
