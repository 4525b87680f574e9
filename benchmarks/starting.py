"""From a free slot to the first training step, against a fresh process that imports torch."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Result, median_ratio, seconds, spread
from benchmarks.work import prepared_job
from orchestrator.backends.base import Exited, Said, Slot
from orchestrator.backends.local import LocalBackend
from trainers.protocol import Step

REPEATS = 5
_FRESH = """
import sys
from pathlib import Path
import torch, transformers
from trainers import backbone, finetune
from trainers.protocol import Job
class FirstStep(Exception): pass
class Line:
    def say(self, event):
        if event.event == "step": raise FirstStep
    def stop_reason(self): return None
job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
try: finetune.train(job, job.settings, Line(), backbone.load_model(job.model))
except FirstStep: pass
"""


def run(folder: Path) -> Result:
    """Measure both, in turn."""
    job = prepared_job(folder, "docstrings", epochs=1, log_every_steps=1)
    (folder / "job.json").write_text(job.model_dump_json())
    slot = Slot("1")
    backend = LocalBackend([slot], "finetune", job.model, folder / "warm.log")
    pairs, bare = [], []
    try:
        _first_step(backend, job, slot)  # the warm parent has read the model from here on
        for _ in range(REPEATS):
            warm = _first_step(backend, job, slot)
            command = [sys.executable, "-c", _FRESH, str(folder / "job.json")]
            fresh = seconds(lambda: subprocess.run(command, check=True, capture_output=True))  # noqa: B023
            pairs.append((fresh, warm))
            imports = [sys.executable, "-c", "import torch, transformers"]
            bare.append(seconds(lambda: subprocess.run(imports, check=True)))  # noqa: B023
    finally:
        backend.close()
    ratio = median_ratio(pairs)
    figures = (
        f"{spread([warm for _, warm in pairs])} forked, {spread([fresh for fresh, _ in pairs])} "
        f"fresh, {spread(bare)} for the imports alone: {ratio:.1f} times less"
    )
    return Result("free slot to first training step", figures, "at least 10 times", ratio >= 10)  # noqa: PLR2004


def _first_step(backend: LocalBackend, job: object, slot: Slot) -> float:
    began = time.perf_counter()
    backend.start(job, slot)  # type: ignore[arg-type]
    took = None
    while True:
        for message in backend.poll(5):
            if took is None and isinstance(message, Said) and isinstance(message.event, Step):
                took = time.perf_counter() - began
                backend.stop(message.trial_uid, "prune")
            if isinstance(message, Exited):
                if took is None:
                    raise RuntimeError(f"the worker ended before its first step: {message.how}")
                return took
