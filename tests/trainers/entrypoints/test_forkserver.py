"""Twenty children of one fork server, each of which trains the real encoder."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.trainers.small import DATA, job_for
from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit, WorkerMessage
from trytable.orchestrator.backends.local import LocalBackend
from trytable.trainers.protocol.messages import Started

TOP = Path(__file__).resolve().parents[3]
CHILDREN = 20


def test_twenty_forked_children_train(odd: Path) -> None:
    job, _ = job_for(odd, "minilm", epochs=1, batch_size=35, lr=2e-4)
    slots = [Slot("1"), Slot("2")]
    backend = LocalBackend(slots, "finetune", "minilm", odd / "forkserver.log")
    heard: list[WorkerMessage] = []
    waiting = list(range(CHILDREN))
    give_up = time.monotonic() + 180
    try:
        while sum(isinstance(message, WorkerExit) for message in heard) < CHILDREN:
            assert time.monotonic() < give_up, (odd / "forkserver.log").read_text()
            for slot in backend.free_slots()[: len(waiting)]:
                number = waiting.pop()
                folder = odd / "trials" / str(number)
                update = {"trial_uid": f"u{number}", "number": number, "folder": str(folder)}
                backend.start(job.model_copy(update=update), slot)
            heard.extend(backend.poll(1))
    finally:
        backend.close()
    words = [m.event.event for m in heard if isinstance(m, WorkerEvent)]
    assert words.count("finished") == CHILDREN
    started = [
        m.event for m in heard if isinstance(m, WorkerEvent) and isinstance(m.event, Started)
    ]
    assert {event.threads for event in started} == {1}
    assert not any(psutil.pid_exists(event.pid) for event in started)
    assert len(DATA.splits["train"].texts) == 70


def test_a_worker_never_loads_the_orchestrators_libraries() -> None:
    code = (
        "import sys\n"
        "from trytable.trainers.entrypoints import forkserver, worker\n"
        "from trytable.trainers.finetune import trainer\n"
        "from trytable.trainers.models import backbone\n"
        "rooms = ['trytable.' + room for room in ('orchestrator', 'results', 'sweeps')]\n"
        "print([m for m in ('optuna', 'sqlalchemy', *rooms) if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"
