"""Runs a command so that none of its processes outlives the worker that asked for it.

Between worker and command runs a supervisor, a child of the worker. A worker alone could not clean
up: the fork server kills it with SIGKILL, and a script's children may have left its process group,
or have been orphaned, so that no signal to a group reaches them. The supervisor has a session of
its own, so what kills the worker's group misses it, and it is a subreaper: orphaned descendants of
the command become its children, where it finds them. It kills all of them when the command has
ended, after a stop, and when the worker's end of the socket closes, however the worker died.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_INTERVAL_SECONDS = 0.02
_KILL_TIMEOUT_SECONDS = 10.0
"""The supervisor gives up on processes that fork faster than it can kill them after so long."""


@dataclass(frozen=True)
class CommandExit:
    """How a command ended: its exit code, negative for a signal, or why it could not start."""

    code: int | None
    cannot_start: str = ""


class SupervisedCommand:
    """A command under a supervisor, with non-blocking pipes from it.

    Attributes:
        stdout: the descriptor to read its output from.
        stderr: the descriptor to read its errors from.
        observations: the descriptor to read what the observer in the script writes.
    """

    def __init__(self, pid: int, control: socket.socket, pipes: Sequence[int]) -> None:
        self._pid = pid
        self._control = control
        self.stdout, self.stderr, self.observations = pipes

    @property
    def control(self) -> socket.socket:
        """A socket that becomes readable when the command has ended."""
        return self._control

    def stop(self) -> None:
        """Send SIGTERM to the command's group, and after the grace SIGKILL to all that is left."""
        with suppress(OSError):  # it has ended already
            self._control.send(b"s")

    def wait(self) -> CommandExit:
        """Wait until the command and all that it left behind have ended."""
        message = b""
        with suppress(ConnectionResetError):  # a stop was sent after the command had ended
            while chunk := self._control.recv(65536):
                message += chunk
        os.waitpid(self._pid, 0)
        self._control.close()
        # There is no message if the supervisor itself was killed.
        return CommandExit(**json.loads(message)) if message else CommandExit(-signal.SIGKILL)


def start_supervised(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    grace_seconds: float,
    observer_variable: str,
) -> SupervisedCommand:
    """Start a command under a supervisor. The caller must have one thread only, since it forks.

    The environment variable `observer_variable` is set to the descriptor that the observer in the
    script writes to.
    """
    control, supervisor_control = socket.socketpair()
    pipes = [os.pipe() for _ in ("stdout", "stderr", "observations")]
    read_ends, write_ends = [pair[0] for pair in pipes], [pair[1] for pair in pipes]
    pid = os.fork()
    if pid == 0:
        try:
            _become_supervisor((supervisor_control.fileno(), *write_ends))
            full_env = {**env, observer_variable: str(write_ends[2])}
            _Supervisor(supervisor_control, grace_seconds).run(words, cwd, full_env, write_ends)
        finally:
            os._exit(0)
    supervisor_control.close()
    for descriptor in write_ends:
        os.close(descriptor)
    for descriptor in read_ends:
        os.set_blocking(descriptor, False)
    return SupervisedCommand(pid, control, read_ends)


def _become_supervisor(descriptors: Sequence[int]) -> None:
    """Leave the worker's process group and close all files but these.

    An inherited end of a pipe or socket would keep others from noticing that it has closed.
    """
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    start = 3
    for descriptor in sorted(descriptors):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


class _Supervisor:
    def __init__(self, control: socket.socket, grace_seconds: float) -> None:
        self._control = control
        self._grace_seconds = grace_seconds

    def run(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], streams: Sequence[int]
    ) -> None:
        """Start the command, wait for its end, kill what is left and report how it ended."""
        try:
            command = subprocess.Popen(  # noqa: S603 - no shell; the words are the user's own
                words,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=streams[0],
                stderr=streams[1],
                pass_fds=[streams[2]],
                start_new_session=True,
                preexec_fn=_die_with_supervisor,  # noqa: PLW1509 - there is one thread
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._report({"code": None, "cannot_start": f"{words[0]}: {reason}"})
            return
        for stream in streams:
            os.close(stream)
        code = self._wait(command)
        _kill_descendants()
        self._report({"code": code})

    def _wait(self, command: "subprocess.Popen[bytes]") -> int:
        """Return the exit code, once the command has ended by itself or was stopped."""
        descriptor = os.pidfd_open(command.pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        kill_at: float | None = None
        while True:
            timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic()) * 1000
            ready = [fd for fd, _ in poll.poll(timeout)]
            if descriptor in ready:
                return command.wait()
            if not ready or not self._control.recv(1):  # the grace is over, or the worker is gone
                with suppress(OSError):
                    # The command is not reaped yet, so its process id cannot be another's.
                    os.killpg(command.pid, signal.SIGKILL)
                return command.wait()
            if kill_at is None:
                os.killpg(command.pid, signal.SIGTERM)
                kill_at = time.monotonic() + self._grace_seconds

    def _report(self, result: dict[str, int | str | None]) -> None:
        with suppress(OSError):
            self._control.sendall(json.dumps(result).encode())
        self._control.close()


def _die_with_supervisor() -> None:
    """Have the kernel kill the command with its supervisor. Nothing here kills that; a user may."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_descendants() -> None:
    """Kill and reap all descendants of this process, also those that left the process group."""
    supervisor, give_up_at = psutil.Process(), time.monotonic() + _KILL_TIMEOUT_SECONDS
    while time.monotonic() < give_up_at:
        for process in supervisor.children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_KILL_INTERVAL_SECONDS)


def script_environment(threads: int) -> dict[str, str]:
    """Return the environment that Trytable was started in, with the worker's thread count."""
    # Without PYTHONUNBUFFERED, a script's lines come only when its output buffer is full.
    return {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(threads)}
