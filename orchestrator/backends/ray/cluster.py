"""Joins the Ray cluster of RAY_ADDRESS, or starts one of this machine alone, and leaves it.

A port of Ray runs whatever code it is sent. So a local cluster listens on the loopback only and
asks for a token that is drawn for it, and a cluster is joined with its token.
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
from trytable.orchestrator.backends.slots import MAX_DEFAULT_CPU_SLOTS, WORKER_BYTES, gpu_uuids
from trytable.orchestrator.errors import UserError

_STEPS = 10_000
"""Ray counts shares of a GPU in ten-thousandths."""


@dataclass(frozen=True)
class NodeResources:
    """What a node of a cluster has, whoever else may use it."""

    cores: int
    gpus: int
    memory_bytes: int


def cluster_slots(
    wanted: int | None, nodes: Sequence[NodeResources], max_per_gpu: int = 1
) -> tuple[Slot, ...]:
    """`max_per_gpu` slots a GPU, or one a core up to four a node where there is no GPU, unless a
    number is given.

    More slots than GPUs share them. Slots times threads never exceed the cores. Raises UserError
    for a number below 1 or above the cores where there is no GPU, and for a cluster without either.
    """
    if wanted is not None and wanted < 1:
        raise UserError(f"SLOTS={wanted}: there must be at least one slot.")
    gpus = _gpus(nodes)
    cores = sum(node.cores for node in nodes if node.gpus)
    if gpus:
        return _share_gpus(wanted or min(gpus * max_per_gpu, max(gpus, cores)), nodes)
    return _share_cores(wanted, nodes)


def gpu_share(slots: int, nodes: Sequence[NodeResources]) -> float:
    """The part of a GPU that each of so many slots gets; 0 where there is no GPU."""
    return _STEPS // _each(slots, nodes) / _STEPS if _gpus(nodes) else 0.0


def _gpus(nodes: Sequence[NodeResources]) -> int:
    return sum(node.gpus for node in nodes)


def _each(slots: int, nodes: Sequence[NodeResources]) -> int:
    return -(-slots // _gpus(nodes))


def _share_gpus(number: int, nodes: Sequence[NodeResources]) -> tuple[Slot, ...]:
    each = _each(number, nodes)
    threads = min(node.cores // (node.gpus * each) for node in nodes if node.gpus)
    return _slots(number, GPU, threads)


def _share_cores(wanted: int | None, nodes: Sequence[NodeResources]) -> tuple[Slot, ...]:
    cores = sum(node.cores for node in nodes)
    if not cores:
        raise UserError("The Ray cluster has neither GPU nor CPU cores to run trials on.")
    if wanted is not None and wanted > cores:
        raise UserError(
            f"SLOTS={wanted}: the Ray cluster has {cores} CPU cores and no GPU; more slots than "
            f"cores only slow each other down. Allowed: 1 to {cores}."
        )
    number = wanted or sum(_by_default(node) for node in nodes)
    fitting = (t for t in range(cores, 0, -1) if sum(n.cores // t for n in nodes) >= number)
    return _slots(number, CPU, next(fitting))


def _by_default(node: NodeResources) -> int:
    room = max(1, node.memory_bytes // WORKER_BYTES)
    return min(node.cores, MAX_DEFAULT_CPU_SLOTS, room)


def _slots(number: int, device: str, threads: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"{i + 1}", device, max(1, threads)) for i in range(number))


PACKAGE = Path(trytable.__file__).parent
"""The code that the nodes need."""

_STORE_BYTES = 100 * 2**20
"""For messages alone: on one machine nothing travels."""

_LONGEST_PLACE = 20
"""Ray puts sockets far below its folder, and Linux allows their paths 107 bytes."""

_KNOCK_SECONDS = 10.0

_QUIET: dict[str, Any] = {
    "include_dashboard": None,
    "log_to_driver": False,
    "logging_level": logging.ERROR,
}


@contextmanager
def join_cluster(warn: Callable[[str], None]) -> Iterator[list[NodeResources]]:
    """The nodes of a cluster that this process has joined for as long as the block runs.

    `warn` is told what the person should know of the cluster.
    Raises UserError where there is none, where it cannot be joined, or where Ray is not installed.
    """
    if find_spec("ray") is None:
        raise UserError("ENGINE=ray needs Ray, which is not installed: make ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "")
    with _joined(address, warn) if address not in ("", "local") else _local():
        import ray  # noqa: PLC0415 - after what it reads of the environment has been set

        found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        yield [_node(one) for one in found if one["Alive"]]


def _node(found: dict[str, Any]) -> NodeResources:
    has = found["Resources"]
    return NodeResources(int(has.get("CPU", 0)), int(has.get("GPU", 0)), int(has.get("memory", 0)))


@contextmanager
def _local() -> Iterator[None]:
    """A cluster of this machine: on loopback, with a token of its own, without a dashboard."""
    before = dict(os.environ)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = _token()
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # by that Ray takes 127.0.0.1 as its own
    place = Path(tempfile.gettempdir())
    short = place if len(str(place)) <= _LONGEST_PLACE else Path("/tmp")  # noqa: S108 - see there
    folder = scratch_folder(f"ray-{secrets.token_hex(4)}", short)
    # A terminal that closes says so to its whole group; the trials are saved before Ray ends.
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _initialised(
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
        for name in (one for one in tuple(os.environ) if one.startswith("RAY_")):
            del os.environ[name]
        os.environ.update(before)


@cache
def _token() -> str:
    """One for all clusters of a process: Ray remembers the first that it read."""
    return secrets.token_hex(32)


@contextmanager
def _joined(address: str, warn: Callable[[str], None]) -> Iterator[None]:
    """The cluster that somebody has started, with the code that its nodes need."""
    if "://" in address:
        raise UserError(
            f"RAY_ADDRESS={address}: a Ray client's address cannot be used. Run Trytable on a node "
            "of the cluster, with RAY_ADDRESS=auto or its head's address, such as 10.0.0.1:6379."
        )
    if address != "auto":
        _knock(address)
    _use_token(warn)
    with tempfile.TemporaryDirectory(prefix="trytable-") as code:
        # In a checkout the rooms are links; the copy holds files.
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, Path(code) / "trytable", ignore=ignored)
        with _initialised(address=address, runtime_env={"working_dir": code}, **_QUIET):
            yield


def _knock(address: str) -> None:
    """Raise UserError where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}). Expected is the "
            "address of a cluster's head, such as 10.0.0.1:6379, or auto on one of its nodes."
        ) from error


def _use_token(warn: Callable[[str], None]) -> None:
    """Have Ray ask for the token and give it. Raises UserError where there is none."""
    mode = os.environ.setdefault("RAY_AUTH_MODE", "token")
    if mode != "token":
        warn(
            f"RAY_AUTH_MODE={mode}: whoever reaches a port of this cluster runs code on its nodes."
        )
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    kept = Path(named) if named else Path.home() / ".ray" / "auth_token"
    with suppress(OSError):
        if os.environ.get("RAY_AUTH_TOKEN") or kept.read_text().strip():
            return
    raise UserError(
        f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: there is no token for this cluster, neither in "
        f"RAY_AUTH_TOKEN nor in {kept}. Without one, anybody who reaches a port of Ray runs code "
        "on all nodes. Make one with `.venv/bin/ray get-auth-token --generate`, copy it to every "
        "node and start Ray there with RAY_AUTH_MODE=token. A cluster that asks for none is joined "
        "with RAY_AUTH_MODE=disabled."
    )


@contextmanager
def _initialised(**options: Any) -> Iterator[None]:
    import ray  # noqa: PLC0415 - see above
    import ray._private.worker as quiet  # noqa: PLC0415 - see above

    quiet._worker_logs_enabled = False  # its news of lost nodes, of which the sweep says its own
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        try:
            ray.init(**options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            cause = f": {error.__cause__}" if error.__cause__ else ""
            raise UserError(f"Ray cannot be used: {error}{cause}") from error
        finally:
            signal.signal(signal.SIGTERM, terminate)  # Ray would end the process at once
        yield
    finally:
        ray.shutdown()
