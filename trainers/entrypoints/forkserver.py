"""The fork server: imports torch and reads the model once, then forks a worker for every job.

`entrypoints.forkserver FD TRAINER MODEL PARENT_PID` is started by the orchestrator, with one end of
a packet socket. A request is one packet: `{"start": KEY, "job": PATH}` with the worker's own socket
as an attached descriptor, or `{"kill": KEY}`. The answers are `{"ready": true}` or
`{"refused": TEXT}` once, then `{"exited": KEY, "status": N}` for every worker (N as from
os.waitstatus_to_exitcode).

What a forked worker must not inherit decides what may happen here:

- No forward pass, and one thread, set before anything is loaded. After a forward pass with torch's
  default threads, every forked worker hung in its first parallel region.
- No CUDA context, which does not survive a fork. Workers make their own.
- A config and a state dict, not a live model: a worker builds the model from its own config, since
  a copied model cannot take, for example, another dropout.

The kernel kills this process when the orchestrator dies, and each worker when this process dies
(PR_SET_PDEATHSIG, set by both). The workers' alone would not do: a killed orchestrator would leave
this process, and so its workers, running. The orchestrator must start this process from its main
thread, because the signal comes when the thread that started it ends.
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

from trytable.records import Refused
from trytable.trainers.protocol.messages import Job

if TYPE_CHECKING:
    from trytable.trainers.models.backbone import LoadedModel

_PR_SET_PDEATHSIG = 1
_PACKET_BYTES = 65536


def main() -> None:
    """Serve until the orchestrator's end of the socket closes, then kill all workers."""
    descriptor, trainer, model = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    die_with_parent(int(sys.argv[4]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the orchestrator handles Ctrl-C
    control = socket.socket(fileno=descriptor)
    try:
        loaded = _load(model) if trainer == "finetune" else None
    except Refused as refusal:
        _answer(control, {"refused": str(refusal)})
        return
    _answer(control, {"ready": True})
    ForkServer(control, loaded).serve()


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Raises SystemExit if the parent has ended already, since the signal would never come.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise SystemExit("the parent has ended")


def _load(model: str) -> "LoadedModel":
    import torch  # noqa: PLC0415 - other trainers do without, and start faster

    torch.set_num_threads(1)  # before anything else is loaded: see the top of this module
    from trytable.trainers.finetune import trainer as finetune  # noqa: F401, PLC0415 - imported for the workers
    from trytable.trainers.models import backbone  # noqa: PLC0415 - after the threads are set

    return backbone.load_model(model)


class ForkServer:
    """Forks workers, reaps them and reports their exit."""

    def __init__(self, control: socket.socket, loaded: "LoadedModel | None") -> None:
        self._control = control
        self._loaded = loaded
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._pids: dict[str, int] = {}

    def serve(self) -> None:
        """Handle requests and exited workers until the control socket closes."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._reap(key.data, int(key.fd))
                elif not self._handle_request():
                    self._kill_workers()
                    return

    def _handle_request(self) -> bool:
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
        os.setpgid(pid, pid)  # the child does the same; either may come first
        self._pids[key] = pid
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, key)

    def _become_worker(self, path: Path, descriptor: int, parent_pid: int) -> None:
        """Run the worker in the forked child. Never returns into the parent's loop."""
        status = 1
        try:
            os.setpgid(0, 0)
            die_with_parent(parent_pid)
            self._control.close()
            self._selector.close()
            job = Job.model_validate_json(path.read_bytes())
            _redirect_streams(Path(job.folder) / "worker.log")
            if job.device != "cpu":
                os.environ["CUDA_VISIBLE_DEVICES"] = job.device
            from trytable.trainers.entrypoints import worker  # noqa: PLC0415 - only workers need it

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
        _kill_group(pid)  # processes that the worker left behind
        _, status = os.waitpid(pid, 0)
        _answer(self._control, {"exited": key, "status": os.waitstatus_to_exitcode(status)})

    def _kill_workers(self) -> None:
        for pid in self._pids.values():
            _kill_group(pid)
        for pid in self._pids.values():
            os.waitpid(pid, 0)


def _kill_group(pid: int) -> None:
    """Kill a worker's process group. The worker is not reaped yet, so its id is still its own."""
    os.killpg(pid, signal.SIGKILL)


def _redirect_streams(log: Path) -> None:
    """Send all that the worker or a library prints to the worker's log; stdin is empty."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    empty = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((empty, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)


def _answer(control: socket.socket, answer: dict[str, Any]) -> None:
    try:
        control.send(json.dumps(answer).encode())
    except OSError:
        raise SystemExit("the orchestrator has ended") from None


if __name__ == "__main__":
    main()
