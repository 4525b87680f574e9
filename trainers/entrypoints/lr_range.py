"""`entrypoints.lr_range`: a learning-rate range test (Smith 2017) of a sweep's baseline.

The request (see `jsonl`) has the keys `job` (without the data's hash), `freezes`, `seeds`, `low`,
`high` and `steps`; the results are a RangePoint for every step.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trytable.records import Refused
from trytable.trainers.data.batches import batches_by_length
from trytable.trainers.data.tokens import Indices
from trytable.trainers.entrypoints.baseline import DiscardedEvents, load_baseline
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.models.state_dict import (
    copy_moments,
    copy_weights,
    load_moments,
    load_weights,
)
from trytable.trainers.protocol.messages import FinetuneSettings, Job, RangePoint
from trytable.trainers.seeding import draw_seed

SMOOTHING = 0.9
"""The weight of the smoothed loss so far when a new loss is added."""

DIVERGED = 4.0
"""The test ends when the smoothed loss is so many times its minimum."""


class Smoother:
    """An exponential moving average, corrected for its start at 0 (Kingma and Ba 2015, section 3).

    fastai's range test smooths its losses in the same way.
    """

    def __init__(self) -> None:
        self._mean, self._count = 0.0, 0

    def add(self, loss: float) -> float:
        """Return the average after one more loss."""
        self._count += 1
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        return self._mean / (1 - SMOOTHING**self._count)


def range_test(
    run: TrainingRun, low: float, high: float, steps: int
) -> Generator[tuple[float, float, float]]:
    """Yield learning rate, loss and smoothed loss of every step, until the loss diverges.

    The rate rises exponentially from `low` to `high`. Each loss is in nats a sentence, of the batch
    that the step then trains on. Every knob acts as in the first epoch of training. At the end,
    weights, optimizer, fp16's loss scale and random state are restored.
    """
    with _restored(run):
        yield from _raise_rate(run, low, high, steps)


@contextmanager
def _restored(run: TrainingRun) -> Iterator[None]:
    """Restore the run's state at the end, also after an error."""
    model, optimizer, stepper = run.model, run.optimizer, run.stepper
    weights, moments, scale = copy_weights(model), copy_moments(model, optimizer), stepper.state()
    rates = [group["lr"] for group in optimizer.param_groups]
    was_training = model.training
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        load_weights(model, weights)
        optimizer.state.clear()
        load_moments(model, optimizer, moments)
        optimizer.zero_grad(set_to_none=True)
        stepper.load_state(scale)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        model.begin_epoch(run.progress.epoch)
        model.train(was_training)


def _raise_rate(
    run: TrainingRun, low: float, high: float, steps: int
) -> Iterator[tuple[float, float, float]]:
    run.model.begin_epoch(1)
    run.model.train()
    smoother, minimum = Smoother(), float("inf")
    for step, (epoch, indices) in zip(range(steps), _batches(run), strict=False):
        lr = low * (high / low) ** (step / (steps - 1))
        for group in run.optimizer.param_groups:
            # Layer decay and the head's multiplier keep their ratios.
            group["lr"] = lr * group["peak_lr"] / run.settings.lr
        seed = draw_seed(run.job.seed, "dropout", epoch, step)
        try:
            loss = run.stepper.step(*run.augment(indices, epoch, step), seed).loss
        except NonFinite:
            return
        smoothed = smoother.add(loss)
        yield lr, loss, smoothed
        minimum = min(minimum, smoothed)
        if smoothed > DIVERGED * minimum:
            return


def _batches(run: TrainingRun) -> Iterator[tuple[int, Indices]]:
    """Yield the training batches without end, each with its epoch."""
    lengths, epoch = run.splits["train"].lengths, 0
    while True:
        epoch += 1
        seed = draw_seed(run.job.seed, "order", epoch)
        for indices in batches_by_length(lengths, run.settings.batch_size, seed):
            yield epoch, indices


def all_tests(request: dict[str, Any]) -> Iterator[str | RangePoint]:
    """Yield every point of every freeze strategy and seed, and progress texts.

    Raises Refused before the first step, with all strategies that the model does not support.
    """
    job = Job.model_validate(request["job"])
    assert isinstance(job.settings, FinetuneSettings), (
        "the orchestrator asks for this trainer alone"
    )
    baseline = job.settings.model_dump()
    yield "Reading data and model"
    job, prepared, loaded = load_baseline(job, job.settings)
    strategies = [
        FinetuneSettings.model_validate({**baseline, "freeze": freeze})
        for freeze in request["freezes"]
    ]
    _check_all(loaded, strategies, len(prepared.classes))
    for settings in strategies:
        # Each test starts where training would: from a new model, initialized by its seed.
        for offset in range(request["seeds"]):
            seeded = job.model_copy(update={"seed": job.seed + offset})
            yield f"freeze {settings.freeze}, seed {seeded.seed}"
            run = TrainingRun(seeded, settings, DiscardedEvents(), loaded)
            points = range_test(run, request["low"], request["high"], request["steps"])
            for step, (lr, loss, smoothed) in enumerate(points, start=1):
                yield RangePoint(
                    freeze=str(settings.freeze),
                    seed=seeded.seed,
                    step=step,
                    lr=lr,
                    loss=loss,
                    smoothed=smoothed,
                )


def _check_all(loaded: LoadedModel, strategies: list[FinetuneSettings], classes: int) -> None:
    """Refuse all strategies that cannot be built, before any of them takes minutes."""
    problems = []
    for settings in strategies:
        try:
            build_classifier(loaded, settings, classes, seed=0)
        except Refused as refusal:
            problems.append(str(refusal))
    if problems:
        raise Refused("\n".join(problems))


if __name__ == "__main__":
    answer_request(all_tests)
