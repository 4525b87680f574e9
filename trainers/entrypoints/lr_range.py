"""`entrypoints.lr_range`: how the loss moves while the learning rate rises (Smith 2017).

One JSON object comes in on stdin (`job`, without the data's hash; `freezes`, `seeds`, `low`,
`high`, `steps`); JSON lines go out on stdout: `{"doing": "…"}`, `{"point": …}` for every step, and
one `{"refused": "why"}` where it cannot be done.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trytable.trainers.data.batches import batches_by_length
from trytable.trainers.data.tokens import Indices
from trytable.trainers.entrypoints.diagnose import DiscardedEvents
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.entrypoints.prepare import prepare
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.models import backbone
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.models.state_dict import (
    copy_moments,
    copy_weights,
    load_moments,
    load_weights,
)
from trytable.trainers.protocol.messages import FinetuneSettings, Job, RangePoint, Refused
from trytable.trainers.seeding import draw_seed

SMOOTHING = 0.9
"""Of a smoothed loss so much is kept from step to step."""

DIVERGED = 4.0
"""A smoothed loss so many times the smallest one will not come back."""


class Smoother:
    """An exponential mean that is corrected for its beginning at 0 (Kingma and Ba 2015, section 3).

    As fastai's range test smooths its losses.
    """

    def __init__(self) -> None:
        self._mean, self._count = 0.0, 0

    def add(self, loss: float) -> float:
        """The mean after one more loss."""
        self._count += 1
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        return self._mean / (1 - SMOOTHING**self._count)


def range_test(
    run: TrainingRun, low: float, high: float, steps: int
) -> Generator[tuple[float, float, float]]:
    """Learning rate, loss and smoothed loss of every step, until the loss diverges.

    The rate rises exponentially from `low` to `high`; losses are of the batch that the step then
    trains on. Every knob does what it does in training, at its first epoch. Weights, optimizer,
    fp16's scale and random state are left as they were found.
    """
    with _put_back(run):
        yield from _risen(run, low, high, steps)


@contextmanager
def _put_back(run: TrainingRun) -> Iterator[None]:
    """Whatever happens inside, the run goes on as if it had not."""
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


def _risen(
    run: TrainingRun, low: float, high: float, steps: int
) -> Iterator[tuple[float, float, float]]:
    run.model.begin_epoch(1)
    run.model.train()
    smoother, least = Smoother(), float("inf")
    for step, (epoch, indices) in zip(range(steps), _batches(run), strict=False):
        lr = low * (high / low) ** (step / (steps - 1))
        for group in run.optimizer.param_groups:
            # Head and layers keep their places beside each other.
            group["lr"] = lr * group["peak_lr"] / run.settings.lr
        seed = draw_seed(run.job.seed, "dropout", epoch, step)
        try:
            loss = run.stepper.step(*run.augment(indices, epoch, step), seed).loss
        except NonFinite:
            return
        smoothed = smoother.add(loss)
        yield lr, loss, smoothed
        least = min(least, smoothed)
        if smoothed > DIVERGED * least:
            return


def _batches(run: TrainingRun) -> Iterator[tuple[int, Indices]]:
    """The training batches over and over, with the epoch that they are of."""
    lengths, epoch = run.splits["train"].lengths, 0
    while True:
        epoch += 1
        seed = draw_seed(run.job.seed, "order", epoch)
        for indices in batches_by_length(lengths, run.settings.batch_size, seed):
            yield epoch, indices


def all_tests(request: dict[str, Any]) -> Iterator[str | RangePoint]:
    """Every point of every freeze strategy and seed, and words of what is under way.

    Raises Refused, before the first step, with all strategies that the model does not have.
    """
    job = Job.model_validate(request["job"])
    assert isinstance(job.settings, FinetuneSettings), (
        "the orchestrator asks for this trainer alone"
    )
    torch.set_num_threads(job.threads)
    yield "Reading data and model"
    found = prepare(job.model, job.data, job.settings.max_length, Path(job.cache_folder))
    job = job.model_copy(update={"data_hash": found.data_hash})
    loaded = backbone.load_model(job.model)
    frozen = [{**job.settings.model_dump(), "freeze": one} for one in request["freezes"]]
    strategies = [FinetuneSettings.model_validate(one) for one in frozen]
    _check_all(loaded, strategies, len(found.classes))
    for settings in strategies:
        # Each begins where training would: the model is built anew, and as the seed has it.
        for number in range(request["seeds"]):
            seeded = job.model_copy(update={"seed": job.seed + number})
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
    """Refuse at once what would be refused when its turn comes, minutes later."""
    wrong = []
    for settings in strategies:
        try:
            build_classifier(loaded, settings, classes, seed=0)
        except Refused as refusal:
            wrong.append(str(refusal))
    if wrong:
        raise Refused("\n".join(wrong))


if __name__ == "__main__":
    answer_request(all_tests)
