"""Command lines of Trytable, forked from a process that has imported their libraries once.

Python's start and the imports of Optuna, SQLAlchemy, scipy and plotly cost more than most command
lines themselves. A forked one runs the same `python -m trytable.orchestrator.cli`, in a session,
folder and environment of its own, and ends as every Python process does. What only a fresh
interpreter can prove is tested with one, by tests/test_main_job.py, test_makefile.py and
test_packaging.py among others.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[2]
MODULE = "trytable.orchestrator.cli"
PRELOADED = (
    "trytable.orchestrator.commands.look.report_files",
    "trytable.orchestrator.commands.train.sweep",
    "trytable.orchestrator.run.engine",
    # Imported when first used:
    "alembic.command",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "optuna_dashboard",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "typer",
    "xlsxwriter",
)
_SERVER_VARIABLES = {"PYTHONPATH": str(TOP), "OPENBLAS_NUM_THREADS": "1"}
"""A math library's threads would not survive a fork."""

_PACKET_BYTES = 1 << 17
_STATUS_BYTES = 64


class _Request(NamedTuple):
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    cores: list[int]


class ForkedProcess:
    """A command line that runs: what tests use of a `subprocess.Popen`.

    stdout and stderr are one pipe, and text. Raises subprocess.TimeoutExpired as Popen does.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]):
        self.args = list(arguments)
        self.returncode: int | None = None
        self._printed = b""
        self._output, child_output = os.pipe()
        self._status, child_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        cores = sorted(os.sched_getaffinity(0))
        request = _Request(self.args, str(folder), dict(environment), cores)
        descriptors = [child_output, child_status.fileno()]
        socket.send_fds(_server().control, [json.dumps(request).encode()], descriptors)
        os.close(child_output)
        child_status.close()
        self.pid = int(self._status.recv(_STATUS_BYTES))

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._status.recv(_STATUS_BYTES)))
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait until the output ends and for the exit; returns all that was printed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._output >= 0:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._output], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            chunk = os.read(self._output, 1 << 16)
            self._printed += chunk
            if not chunk:
                os.close(self._output)
                self._output = -1
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return self._printed.decode().replace("\r\n", "\n"), None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether this environment is the server's in all that an interpreter reads as it starts."""
    return _at_start(environment) == _at_start(os.environ | _SERVER_VARIABLES)


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    prefixes = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
    return {name: value for name, value in environment.items() if name.startswith(prefixes)}


class _Server(NamedTuple):
    control: socket.socket
    process: "subprocess.Popen[bytes]"


@cache
def _server() -> _Server:
    """The server of this test process. It ends when the process does, which closes its socket."""
    control, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its_end:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.orchestrator.forking", str(its_end.fileno())],
            cwd=TOP,
            env={**os.environ, **_SERVER_VARIABLES},
            stdin=subprocess.DEVNULL,
            pass_fds=[its_end.fileno()],
            start_new_session=True,
        )
    atexit.register(process.wait)
    atexit.register(control.close)
    return _Server(control, process)


def _main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # a collection would copy what forked processes share
    control = socket.socket(fileno=int(sys.argv[1]))
    request = _serve(control)
    if request:
        sys.argv = [MODULE, *request.arguments]
        sys.path[0] = request.folder
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


def _serve(control: socket.socket) -> _Request | None:
    """Fork a process for each request and report its exit. Returns in each forked process, and
    with None in the server when the other end has closed."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                selector.unregister(key.fd)
                os.close(key.fd)
                _report_exit(*key.data)
                continue
            packet, descriptors, _, _ = socket.recv_fds(control, _PACKET_BYTES, 2)
            if not packet:
                return None
            output, status = descriptors
            pid = os.fork()
            if pid == 0:
                for other in selector.get_map().values():
                    if other.data is not None:
                        os.close(other.data[1])
                selector.close()
                control.close()
                return _become(_Request(*json.loads(packet)), output, status)
            os.close(output)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))


def _report_exit(pid: int, status: int) -> None:
    _, code = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # the test does not wait for it
        os.write(status, b"%d" % code)
    os.close(status)


def _become(request: _Request, output: int, status: int) -> _Request:
    """Give this process what `subprocess.Popen` would have given a new one, then report its id."""
    os.setsid()
    os.sched_setaffinity(0, request.cores)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    os.write(status, b"%d" % os.getpid())
    os.close(status)
    return request


if __name__ == "__main__":
    _main()
