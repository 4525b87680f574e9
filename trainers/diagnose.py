"""`python -m trainers.diagnose`: looks at data, model and settings before a sweep spends time.

One JSON object comes in on stdin (`job`, without the data's hash); JSON lines go out on stdout as
things become known: `{"doing": "…"}`, `{"check": …}`, or one `{"refused": "why"}`.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from trainers import backbone, checks
from trainers.answering import answer_stdin
from trainers.finetune import Run
from trainers.prepare import prepare
from trainers.protocol import Check, Event, FinetuneSettings, Job, StopReason


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


if __name__ == "__main__":
    answer_stdin("check", lambda asked: diagnose(Job.model_validate(asked)))
