"""Runs a command so that nothing of it outlives whoever asked for it.

Between worker and command stands a keeper, a child of the worker in a session of its own, which
orphans of the command become children of. It ends all of them when the command has ended, when it
is told to stop, and when the worker's end of the socket closes, however the worker died.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_SECONDS = 0.02
_TIRELESS_SECONDS = 10.0
"""What forks faster than it can be killed is given up on after so long."""


@dataclass(frozen=True)
class CommandExit:
    """How a command ended: its exit code, negative for a signal, or why it never began."""

    code: int | None
    cannot_start: str = ""


class SupervisedCommand:
    """A command under a keeper, with pipes from it (non-blocking).

    `out` has its output, `err` its errors, `told` what it writes to the descriptor of its own.
    """

    def __init__(self, pid: int, control: socket.socket, pipes: Sequence[int]) -> None:
        self._pid = pid
        self._control = control
        self.out, self.err, self.told = pipes

    @property
    def control(self) -> socket.socket:
        """Becomes readable when the command has ended."""
        return self._control

    def stop(self) -> None:
        """SIGTERM to the command's group, and after its grace SIGKILL to all that is left."""
        with suppress(OSError):  # it has ended already
            self._control.send(b"s")

    def ended(self) -> CommandExit:
        """Wait for the end of the command and of all that it left behind."""
        said = b""
        with suppress(ConnectionResetError):  # a stop came when it had ended
            while chunk := self._control.recv(65536):
                said += chunk
        os.waitpid(self._pid, 0)
        self._control.close()
        # Nothing was said where the keeper itself was killed.
        return CommandExit(**json.loads(said)) if said else CommandExit(-signal.SIGKILL)


def start_supervised(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    grace_seconds: float,
    variable: str,
) -> SupervisedCommand:
    """Start a command under a keeper. The caller must have one thread only.

    The environment's `variable` has the number of a descriptor that the command may write to.
    """
    ours, theirs = socket.socketpair()
    pipes = [os.pipe() for _ in ("out", "err", "told")]
    reading, writing = [pair[0] for pair in pipes], [pair[1] for pair in pipes]
    pid = os.fork()
    if pid == 0:
        try:
            _become_supervisor((theirs.fileno(), *writing))
            known = {**env, variable: str(writing[2])}
            _Supervisor(theirs, grace_seconds).run(words, cwd, known, writing)
        finally:
            os._exit(0)
    theirs.close()
    for descriptor in writing:
        os.close(descriptor)
    for descriptor in reading:
        os.set_blocking(descriptor, False)
    return SupervisedCommand(pid, ours, reading)


def _become_supervisor(kept: Sequence[int]) -> None:
    """Leave the worker's group, and all its files but these: others wait for their end."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    start = 3
    for descriptor in sorted(kept):
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
        """Start the command, wait for its end, end the rest, and say how it ended."""
        try:
            command = subprocess.Popen(  # noqa: S603 - no shell; the words are the person's own
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
            why = getattr(error, "strerror", None) or str(error)
            self._say({"code": None, "cannot_start": f"{words[0]}: {why}"})
            return
        for stream in streams:
            os.close(stream)
        code = self._wait(command)
        _kill_descendants()
        self._say({"code": code})

    def _wait(self, command: "subprocess.Popen[bytes]") -> int:
        """The exit code, once the command has ended by itself or was made to."""
        descriptor = os.pidfd_open(command.pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        kill_at: float | None = None
        while True:
            wait = None if kill_at is None else max(0.0, kill_at - time.monotonic()) * 1000
            ready = [fd for fd, _ in poll.poll(wait)]
            if descriptor in ready:
                return command.wait()
            if not ready or not self._control.recv(1):  # out of grace, or the worker has gone
                with suppress(OSError):
                    os.killpg(command.pid, signal.SIGKILL)  # not reaped: the id is its own
                return command.wait()
            if kill_at is None:
                os.killpg(command.pid, signal.SIGTERM)
                kill_at = time.monotonic() + self._grace_seconds

    def _say(self, what: dict[str, int | str | None]) -> None:
        with suppress(OSError):
            self._control.sendall(json.dumps(what).encode())
        self._control.close()


def _die_with_supervisor() -> None:
    """In the command's process: the keeper is killed by nobody, but should it be, so is this."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_descendants() -> None:
    """Kill and reap all that descends from this process, also what has left the group."""
    me, give_up = psutil.Process(), time.monotonic() + _TIRELESS_SECONDS
    while time.monotonic() < give_up:
        for one in me.children(recursive=True):
            with suppress(psutil.Error):
                one.kill()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_SWEEP_SECONDS)


def script_environment(threads: int) -> dict[str, str]:
    """The environment that Trytable was started in, as a script should find it."""
    # Lines must come when they are printed, not when a buffer is full.
    return {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(threads)}


def interpreter() -> str:
    """The interpreter that Trytable runs in."""
    return sys.executable
