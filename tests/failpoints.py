"""Numbered failpoints: every boundary at which a process writes a file or commits to a database.

They are found from outside, by the interpreter's audit events and SQLAlchemy's, so a new write is
a new failpoint without anybody remembering to add it. A process is killed *before* the numbered
write happens; what follows one write is what precedes the next.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


STRIDE = int(os.environ.get("TRYTABLE_FAILPOINT_STRIDE", "4"))
"""`make test` walks every fourth failpoint, `make soak` all of them."""

TOP = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Walked:
    """One failpoint: where it was, the exit codes of the one who was killed there and of the one
    who went on, and what was wrong."""

    number: int
    where: str
    killed: int
    finished: int
    problems: tuple[str, ...]


def walk_all(program: str, folder: Path, *how: str) -> list[Walked]:
    """Have a program walk the failpoints, and check that it came to their end without a fault."""
    done = subprocess.run(
        [sys.executable, "-m", program, str(folder), str(STRIDE), *how],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
        timeout=1200,
    )
    walked = [Walked(**json.loads(line)) for line in done.stdout.splitlines()]
    wrong = [one for one in walked if one.problems or one.finished != 0]
    assert not wrong, (wrong, done.stderr[-5000:])
    assert {one.killed for one in walked[:-1]} == {-signal.SIGKILL}
    assert walked[-1].killed == 0, "the walk came to its end"
    return walked


class Failpoints:
    """Counts the write boundaries of this process and kills it at one.

    Args:
        folder: only what lies in it counts.
        kill_at: the boundary at which the process dies, counted from 1; None for never.
        log: gets a line a boundary, for the message of a test that fails.
    """

    def __init__(self, folder: Path, kill_at: int | None, log: Path) -> None:
        self._folder = str(folder)
        self._kill_at = kill_at
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._count = 0

    def install(self) -> None:
        """Watch this process from now on; there is no way back."""
        sys.addaudithook(self._audit)
        sa.event.listen(sa.Engine, "commit", lambda _: self.pass_by("commit"))

    def pass_by(self, where: str) -> None:
        """A boundary; may be the last thing that this process does."""
        self._count += 1
        os.write(self._log, f"{self._count} {' '.join(where.split())}\n".encode())
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and self._is_ours(path):
                self.pass_by(f"open {path}")
        elif event in _CHANGES and self._is_ours(arguments[0]):
            self.pass_by(f"{event} {arguments[0]}")

    def _is_ours(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a descriptor that is open already
        text = os.fsdecode(path)
        return text.startswith(self._folder) or not Path(text).is_absolute()


def forked(work: Callable[[], None]) -> int:
    """Run something in a child process; its exit code, negative for a signal.

    Only for a process that has no other thread and has run nothing in parallel.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
