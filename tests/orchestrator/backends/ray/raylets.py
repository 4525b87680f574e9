"""A Ray cluster of several real nodes on one machine, in a process of its own, with a token.

`python -m tests.orchestrator.backends.ray.raylets CORES…` starts a head without cores and a node
for each number, prints the address as one JSON line, and removes all of it when its input ends.
All listen on the loopback. With `join ADDRESS CORES` it is one more node.
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

TOP = Path(__file__).resolve().parents[4]
STORE_BYTES = 80 * 2**20
LOOPBACK = "127.0.0.1"

NOTICES_SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""By default a lost node is noticed after 15 seconds."""


@dataclass
class Raylets:
    """A running cluster. `pids` are those of its nodes' raylets, without the head's."""

    address: str
    pids: list[int]
    environment: dict[str, str]

    def lose(self, pid: int) -> None:
        """A node goes dark: none of its processes says another word."""
        raylet = psutil.Process(pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            process.kill()

    def node_of(self, pid: int) -> int:
        """The raylet that a worker descends from."""
        (found,) = {one.pid for one in psutil.Process(pid).parents()} & set(self.pids)
        return found

    @contextmanager
    def stranger(self, hidden: Path, cores: int = 1) -> Iterator[int]:
        """One more node, which has an empty folder where others have `hidden`; its pid."""
        start = (
            f"mount -t tmpfs none {shlex.quote(str(hidden))} && exec {shlex.quote(sys.executable)} "
            f"-m tests.orchestrator.backends.ray.raylets join {self.address} {cores}"
        )
        with subprocess.Popen(
            [
                "unshare",
                *([] if os.getuid() == 0 else ["--map-root-user"]),
                "-m",
                "sh",
                "-c",
                start,
            ],
            cwd=TOP,
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield int(process.stdout.readline())
            finally:
                family = psutil.Process(process.pid).children(recursive=True)
                for one in [*family, psutil.Process(process.pid)]:
                    one.kill()


@contextmanager
def raylets(*cores: int) -> Iterator[Raylets]:
    """A cluster with a node for each number of cores, and its head beside them."""
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # by that Ray takes 127.0.0.1 as its own
        "PYTHONPATH": str(TOP),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.orchestrator.backends.ray.raylets", *map(str, cores)],
        cwd="/",  # what the nodes know of our code has to come with the sweep
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = json.loads(process.stdout.readline())
            environment["RAY_ADDRESS"] = said["address"]
            yield Raylets(said["address"], said["pids"], environment)
        finally:
            process.stdin.close()
            process.wait(timeout=60)


def main() -> None:
    """Start the cluster, say where it is, and end it with the input."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - only this process has Ray in it

    os.environ["PYTHONPATH"] = ""
    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
    small: dict[str, Any] = {"object_store_memory": STORE_BYTES, "num_gpus": 0}
    small["node_ip_address"] = LOOPBACK
    cluster = Cluster(True, head_node_args={**head, **small, "_system_config": NOTICES_SOON})
    nodes = [cluster.add_node(num_cpus=int(one), **small) for one in sys.argv[1:]]
    pids = [node.all_processes["raylet"][0].process.pid for node in nodes]
    sys.stdout.write(json.dumps({"address": cluster.address, "pids": pids}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()  # type: ignore[no-untyped-call]


def join(address: str, cores: int) -> None:
    """Be one more node until the input ends; says its raylet's pid."""
    from ray._private.node import Node  # noqa: PLC0415 - as above
    from ray._private.parameter import RayParams  # noqa: PLC0415 - as above

    os.environ["PYTHONPATH"] = ""
    parameters = RayParams(
        gcs_address=address,
        node_ip_address=LOOPBACK,
        num_cpus=cores,
        num_gpus=0,
        object_store_memory=STORE_BYTES,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
    )
    node = Node(parameters, head=False, shutdown_at_exit=True, spawn_reaper=True)
    sys.stdout.write(f"{node.all_processes['raylet'][0].process.pid}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:2] == ["join"]:
        join(sys.argv[2], int(sys.argv[3]))
    else:
        main()
