"""From a free slot to the first training step, against a fresh process that imports torch."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Result, median_ratio, seconds, spread
from benchmarks.work import prepared_job
from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.backends.local import LocalBackend
from trytable.trainers.protocol.messages import Job, Started, Step

REPEATS = 5
AIM = 10.0
_FRESH = """
import sys
from pathlib import Path
import torch, transformers
from trytable.trainers.finetune import trainer
from trytable.trainers.models import backbone
from trytable.trainers.protocol.messages import Job
class Line:
    def send(self, event):
        if event.event in ("started", "step"): print(event.at)
        if event.event == "step": sys.exit()
    def stop_reason(self): return None
job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
trainer.train(job, job.settings, Line(), backbone.load_model(job.model))
"""


@dataclass(frozen=True)
class Start:
    """Seconds from the order to start until a worker stood at its first step, and had made it."""

    ready: float
    step: float


def run(folder: Path) -> Result:
    """Measure a forked worker, a fresh one and the bare imports, in turn."""
    job = prepared_job(folder, "docstrings", epochs=1, log_every_steps=1)
    (folder / "job.json").write_text(job.model_dump_json())
    backend = LocalBackend([Slot("1")], "finetune", job.model, folder / "forkserver.log")
    forked, fresh, bare = [], [], []
    try:
        _forked(backend, job)  # the fork server has read the model from here on
        for _ in range(REPEATS):
            forked.append(_forked(backend, job))
            fresh.append(_fresh(folder / "job.json"))
            bare.append(seconds(_imports))
    finally:
        backend.close()
    pairs = list(zip(fresh, forked, strict=True))
    ratio = median_ratio([(slow.ready, fast.ready) for slow, fast in pairs])
    step_ratio = median_ratio([(slow.step, fast.step) for slow, fast in pairs])
    figures = (
        f"until it stands at its first step, {spread([start.ready for start in forked])} forked, "
        f"{spread([start.ready for start in fresh])} fresh ({spread(bare)} the imports alone): "
        f"{ratio:.1f} times less; with that step made, {step_ratio:.1f} times less"
    )
    return Result("start of a worker", figures, f"at least {AIM:.0f} times", ratio >= AIM)


def _imports() -> None:
    subprocess.run([sys.executable, "-c", "import torch, transformers"], check=True)


def _fresh(job: Path) -> Start:
    began = time.time()
    command = [sys.executable, "-c", _FRESH, str(job)]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    ready, step = (float(line) - began for line in process.stdout.split())
    return Start(ready, step)


def _forked(backend: LocalBackend, job: Job) -> Start:
    began = time.time()
    at: dict[type, float] = {}
    backend.start(job, Slot("1"))
    while True:
        for message in backend.poll(5):
            if isinstance(message, WorkerExit):
                return Start(at[Started], at[Step])
            if isinstance(message, WorkerEvent):
                at.setdefault(type(message.event), message.event.at - began)
                if isinstance(message.event, Step):
                    backend.stop(job.trial_uid, "prune")
