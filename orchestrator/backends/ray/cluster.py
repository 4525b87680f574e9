"""Joins the Ray cluster of RAY_ADDRESS, or starts one on this machine, and divides it into slots.

A port of Ray runs any code that it is sent. So a local cluster listens on the loopback only and
asks for a token that is drawn for it, and another cluster is joined with its token.
"""

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import trytable
from trytable.orchestrator.backends.base import CPU, GPU, Slot
from trytable.orchestrator.backends.ray.scratch import scratch_folder
from trytable.orchestrator.backends.slots import check_slot_count, default_cpu_slots, gpu_uuids
from trytable.orchestrator.errors import UserError
from trytable.spelling import setting

PACKAGE = Path(trytable.__file__).parent
"""The code that the nodes need."""

_GPU_UNITS = 10_000
"""Ray counts shares of a GPU in ten-thousandths."""

_STORE_BYTES = 100 * 2**20
"""The object store of a local cluster: on one machine it holds messages only, and no folders."""

_MAX_FOLDER_LENGTH = 20
"""Ray puts sockets far below its folder, and Linux limits their paths to 107 bytes."""

_CONNECT_SECONDS = 10.0

_QUIET: dict[str, Any] = {
    "include_dashboard": None,
    "log_to_driver": False,
    "logging_level": logging.ERROR,
}


@dataclass(frozen=True)
class NodeResources:
    """What a node of a cluster has, whether others use it or not."""

    cores: int
    gpus: int
    memory_bytes: int


# Dividing a cluster.


def cluster_slots(
    requested: int | None, nodes: Sequence[NodeResources], max_per_gpu: int = 1
) -> tuple[Slot, ...]:
    """Divide a cluster into slots.

    By default there are `max_per_gpu` slots for each GPU or, in a cluster without GPUs, one for
    each core up to four on a node. If there are more slots than GPUs, slots share them. Slots
    times threads never exceed the cores.

    Raises UserError if `requested` is below 1 or, without GPUs, above the cores, and if the
    cluster has neither GPUs nor cores.
    """
    check_slot_count(requested)
    gpus = _gpu_count(nodes)
    if not gpus:
        return _divide_cores(requested, nodes)
    cores = sum(node.cores for node in nodes if node.gpus)
    count = requested or min(gpus * max_per_gpu, max(gpus, cores))
    per_gpu = _slots_per_gpu(count, nodes)
    threads = min(node.cores // (node.gpus * per_gpu) for node in nodes if node.gpus)
    return _slots(count, GPU, threads)


def gpu_share(slots: int, nodes: Sequence[NodeResources]) -> float:
    """Return the share of a GPU for each of this many slots; 0 in a cluster without GPUs."""
    return _GPU_UNITS // _slots_per_gpu(slots, nodes) / _GPU_UNITS if _gpu_count(nodes) else 0.0


def _gpu_count(nodes: Sequence[NodeResources]) -> int:
    return sum(node.gpus for node in nodes)


def _slots_per_gpu(slots: int, nodes: Sequence[NodeResources]) -> int:
    return -(-slots // _gpu_count(nodes))


def _divide_cores(requested: int | None, nodes: Sequence[NodeResources]) -> tuple[Slot, ...]:
    cores = sum(node.cores for node in nodes)
    if not cores:
        raise UserError("The Ray cluster has neither GPU nor CPU cores to run trials on.")
    check_slot_count(requested, cores, "the Ray cluster")
    count = requested or sum(default_cpu_slots(node.cores, node.memory_bytes) for node in nodes)
    threads = next(t for t in range(cores, 0, -1) if sum(n.cores // t for n in nodes) >= count)
    return _slots(count, CPU, threads)


def _slots(count: int, device: str, threads: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"{i + 1}", device, max(1, threads)) for i in range(count))


# Joining a cluster.


@contextmanager
def join_cluster(warn: Callable[[str], None]) -> Iterator[list[NodeResources]]:
    """Join a cluster for as long as the block runs, and yield what its nodes have.

    `warn` prints what the user should know about the cluster. Raises UserError if Ray is not
    installed, or if there is no cluster or it cannot be joined.
    """
    if find_spec("ray") is None:
        raise UserError(
            f"{setting('ENGINE', 'ray')} needs Ray, which is not installed. To install it: make ray"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "")
    with _join_existing(address, warn) if address not in ("", "local") else _start_local():
        import ray  # noqa: PLC0415 - after the environment variables that it reads are set

        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray's is untyped
        yield [_node_resources(node["Resources"]) for node in nodes if node["Alive"]]


def _node_resources(resources: dict[str, Any]) -> NodeResources:
    cores, gpus, memory = (int(resources.get(name, 0)) for name in ("CPU", "GPU", "memory"))
    return NodeResources(cores, gpus, memory)


@contextmanager
def _start_local() -> Iterator[None]:
    """Start a cluster of this machine: on the loopback, with its own token, without a dashboard."""
    environment = dict(os.environ)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = _token()
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # so that Ray uses 127.0.0.1
    temporary = Path(tempfile.gettempdir())
    if len(str(temporary)) > _MAX_FOLDER_LENGTH:
        temporary = Path("/tmp")  # noqa: S108 - see _MAX_FOLDER_LENGTH; the folder in it is private
    folder = scratch_folder(f"ray-{secrets.token_hex(4)}", temporary)
    # A terminal that closes sends SIGHUP to its whole process group. Ray's processes inherit that
    # it is ignored, so that they last until the trials are saved.
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _initialize(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            num_gpus=len(gpu_uuids()),
            object_store_memory=_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
            **(_QUIET | {"include_dashboard": False}),
        ):
            signal.signal(signal.SIGHUP, hangup)
            yield
    finally:
        signal.signal(signal.SIGHUP, hangup)
        shutil.rmtree(folder, ignore_errors=True)
        for name in tuple(os.environ):
            if name.startswith("RAY_"):
                del os.environ[name]
        os.environ.update(environment)


@cache
def _token() -> str:
    """Return one token for all clusters of a process: Ray remembers the first that it read."""
    return secrets.token_hex(32)


@contextmanager
def _join_existing(address: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Join a cluster that runs already, and send it the code that its nodes need."""
    if "://" in address:
        raise UserError(
            f"RAY_ADDRESS={address}: a Ray client's address cannot be used. Run Trytable on a node "
            "of the cluster, with RAY_ADDRESS=auto or its head's address, such as 10.0.0.1:6379."
        )
    if address != "auto":
        _check_connection(address)
    _require_token(warn)
    with tempfile.TemporaryDirectory(prefix="trytable-") as code:
        # In a checkout the rooms are links, which would lead nowhere on a node.
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, Path(code) / "trytable", ignore=ignored)
        with _initialize(address=address, runtime_env={"working_dir": code}, **_QUIET):
            yield


def _check_connection(address: str) -> None:
    """Raise UserError if nothing listens at the address: Ray itself would retry for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}). Use the address of a "
            "cluster's head, such as 10.0.0.1:6379, or auto on one of its nodes."
        ) from error


def _require_token(warn: Callable[[str], None]) -> None:
    """Turn on Ray's token authentication. Raises UserError if there is no token."""
    mode = os.environ.setdefault("RAY_AUTH_MODE", "token")
    if mode != "token":
        warn(
            f"RAY_AUTH_MODE={mode}: anyone who can reach a port of this cluster can run code on "
            "its nodes."
        )
        return
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(path) if path else Path.home() / ".ray" / "auth_token"
    with suppress(OSError):
        if os.environ.get("RAY_AUTH_TOKEN") or file.read_text().strip():
            return
    raise UserError(
        f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: there is no token for this cluster, neither in "
        f"RAY_AUTH_TOKEN nor in {file}. Without one, anyone who can reach a port of Ray can run "
        "code on all nodes. Make one with `.venv/bin/ray get-auth-token --generate`, copy it to "
        "every node and start Ray there with RAY_AUTH_MODE=token. To join a cluster that needs no "
        "token, set RAY_AUTH_MODE=disabled."
    )


@contextmanager
def _initialize(**options: Any) -> Iterator[None]:
    import ray  # noqa: PLC0415 - see join_cluster
    import ray._private.worker as ray_worker  # noqa: PLC0415 - see join_cluster

    ray_worker._worker_logs_enabled = False  # the sweep reports lost nodes itself
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        try:
            ray.init(**options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            cause = f": {error.__cause__}" if error.__cause__ else ""
            raise UserError(f"Ray cannot be used: {error}{cause}") from error
        finally:
            signal.signal(signal.SIGTERM, terminate)  # Ray's handler would exit at once
        yield
    finally:
        ray.shutdown()
