"""`python -m trainers.diagnose`: looks at data, model and settings before a sweep spends time.

One JSON object comes in on stdin (`job`, without the data's hash); JSON lines go out on stdout as
things become known: `{"doing": "…"}`, `{"check": …}`, or one `{"refused": "why"}`.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from trainers import backbone, checks
from trainers.finetune import Run
from trainers.prepare import prepare
from trainers.protocol import Check, Event, FinetuneSettings, Job, Refused, StopReason


class Nobody:
    """A line that nobody listens to: what is checked here is no attempt at a trial."""

    def say(self, event: Event) -> None:
        """Forget it."""

    def stop_reason(self) -> StopReason | None:
        """Nobody asks for a stop."""
        return None


def diagnose(job: Job) -> Iterator[str | Check]:
    """Every check of a job, and words of what is under way. Raises Refused."""
    settings = job.settings
    assert isinstance(settings, FinetuneSettings), "the orchestrator asks for this trainer alone"
    torch.set_num_threads(job.threads)
    yield "Reading data and model"
    found = prepare(job.model, job.data, settings.max_length, Path(job.cache_folder))
    known = job.model_copy(update={"data_hash": found.data_hash})
    loaded = backbone.load_model(job.model)
    # Without dropout and decay there is nothing left that keeps a model from learning by heart.
    bare = settings.model_copy(update={"dropout": 0.0, "weight_decay": 0.0})
    yield from checks.all_of(
        Run(known, settings, Nobody(), loaded), Run(known, bare, Nobody(), loaded)
    )


def main() -> None:
    """Answer the one request on stdin."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    out = sys.stdout
    job = Job.model_validate(json.loads(sys.stdin.buffer.read()))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no answer
            for one in diagnose(job):
                answer: dict[str, Any] = (
                    {"doing": one} if isinstance(one, str) else {"check": one.model_dump()}
                )
                out.write(json.dumps(answer) + "\n")
                out.flush()
    except Refused as refusal:
        out.write(json.dumps({"refused": str(refusal)}) + "\n")


if __name__ == "__main__":
    main()
