"""The warm parent: it imports torch and reads the model once, then forks a worker for every job.

`entrypoints.forkserver FD TRAINER MODEL`, started by the orchestrator with one end of a packet
socket. A request is one packet: `{"start": KEY, "job": PATH}` with the worker's own socket as an
attached descriptor, or `{"kill": KEY}`. It answers `{"ready": true}` or `{"refused": TEXT}` once,
then `{"exited": KEY, "status": N}` for every worker (N as from os.waitstatus_to_exitcode).

What a forked child must not inherit decides what happens here: no forward pass and no second
thread (a child forked after one hangs in its first parallel region), no CUDA context.
"""

import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trytable.trainers.protocol.messages import Job, Refused

if TYPE_CHECKING:
    from trytable.trainers.models.backbone import LoadedModel

_PR_SET_PDEATHSIG = 1
_PACKET_BYTES = 65536


def main() -> None:
    """Serve until the orchestrator's end of the socket closes, then kill what still runs."""
    descriptor, trainer, model = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    die_with_parent(int(sys.argv[4]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the orchestrator's to handle
    control = socket.socket(fileno=descriptor)
    try:
        loaded = _load(model) if trainer == "finetune" else None
    except Refused as refusal:
        _answer(control, {"refused": str(refusal)})
        return
    _answer(control, {"ready": True})
    ForkServer(control, loaded).serve()


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent's thread ends.

    Raises SystemExit where the parent has gone already: no signal would come any more.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise SystemExit("the parent has gone")


def _load(model: str) -> "LoadedModel":
    import torch  # noqa: PLC0415 - only a trainer that needs torch pays for it

    torch.set_num_threads(1)
    from trytable.trainers.finetune import trainer as finetune  # noqa: F401, PLC0415 - warm: children find it imported
    from trytable.trainers.models import backbone  # noqa: PLC0415 - warm: children find it imported

    return backbone.load_model(model)


class ForkServer:
    """Forks workers, reaps them and says so."""

    def __init__(self, control: socket.socket, loaded: "LoadedModel | None") -> None:
        self._control = control
        self._loaded = loaded
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._pids: dict[str, int] = {}

    def serve(self) -> None:
        """Handle requests and ended children until the control socket closes."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._reap(key.data, int(key.fd))
                elif not self._request():
                    self._kill_all()
                    return

    def _request(self) -> bool:
        packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        if not packet:
            return False
        request = json.loads(packet)
        if "start" in request:
            self._start(request["start"], Path(request["job"]), descriptors[0])
        elif request["kill"] in self._pids:
            _kill_group(self._pids[request["kill"]])
        return True

    def _start(self, key: str, job: Path, descriptor: int) -> None:
        parent_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(job, descriptor, parent_pid)
        os.close(descriptor)
        os.setpgid(pid, pid)  # the child does the same: whoever comes first
        self._pids[key] = pid
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, key)

    def _become_worker(self, path: Path, descriptor: int, parent_pid: int) -> None:
        """The child's whole life; it never returns into the parent's loop."""
        status = 1
        try:
            os.setpgid(0, 0)
            die_with_parent(parent_pid)
            self._control.close()
            self._selector.close()
            job = Job.model_validate_json(path.read_bytes())
            _own_streams(Path(job.folder) / "worker.log")
            if job.device != "cpu":
                os.environ["CUDA_VISIBLE_DEVICES"] = job.device
            from trytable.trainers.entrypoints import worker  # noqa: PLC0415 - the parent must not import a trainer's loop

            worker.run(job, socket.socket(fileno=descriptor), self._loaded)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self, key: str, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        pid = self._pids.pop(key)
        _kill_group(pid)  # grandchildren that a worker left behind
        _, status = os.waitpid(pid, 0)
        _answer(self._control, {"exited": key, "status": os.waitstatus_to_exitcode(status)})

    def _kill_all(self) -> None:
        for pid in self._pids.values():
            _kill_group(pid)
        for pid in self._pids.values():
            os.waitpid(pid, 0)


def _kill_group(pid: int) -> None:
    """Kill a worker's process group; its leader is not yet reaped, so the id is still its own."""
    os.killpg(pid, signal.SIGKILL)


def _own_streams(log: Path) -> None:
    """Send everything that the worker or a library prints to its own log, and read nothing."""
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    source = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((source, 0), (sink, 1), (sink, 2)):
        os.dup2(descriptor, target)


def _answer(control: socket.socket, answer: dict[str, Any]) -> None:
    try:
        control.send(json.dumps(answer).encode())
    except OSError:
        raise SystemExit("the orchestrator has gone") from None


if __name__ == "__main__":
    main()
