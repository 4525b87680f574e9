"""`python -m trainers.lr_range`: how the loss moves while the learning rate rises (Smith 2017).

One JSON object comes in on stdin (`job`, without the data's hash; `freezes`, `seeds`, `low`,
`high`, `steps`); JSON lines go out on stdout: `{"doing": "…"}`, `{"point": …}` for every step, and
one `{"refused": "why"}` where it cannot be done.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from trainers import backbone
from trainers.answering import answer_stdin
from trainers.diagnose import Nobody
from trainers.draws import draw_seed
from trainers.finetune import Run
from trainers.prepare import prepare
from trainers.protocol import FinetuneSettings, Job, RangePoint
from trainers.stepping import NonFinite
from trainers.tokens import Indices, batches_by_length
from trainers.weights import Weights, load_moments, load_weights, moments_of, weights_of

SMOOTHING = 0.9
"""Of a smoothed loss so much is kept from step to step."""

DIVERGED = 4.0
"""A smoothed loss so many times the smallest one will not come back."""


def range_test(
    run: Run, low: float, high: float, steps: int
) -> Generator[tuple[float, float, float]]:
    """Learning rate, loss and smoothed loss of every step, until the loss diverges.

    The rate rises exponentially from `low` to `high`; losses are of the batch that the step then
    trains on, smoothed by an exponential mean that is corrected for its beginning at 0 (Kingma and
    Ba 2015, section 3). Weights, optimizer and random state are left as they were found.
    """
    state = torch.get_rng_state()
    weights, moments = weights_of(run.model), moments_of(run.model, run.optimizer)
    try:
        yield from _risen(run, low, high, steps)
    finally:
        _restore(run, weights, moments)
        torch.set_rng_state(state)


def _risen(run: Run, low: float, high: float, steps: int) -> Iterator[tuple[float, float, float]]:
    run.model.begin_epoch(1)
    run.model.train()
    mean, least = 0.0, float("inf")
    for step, indices in zip(range(steps), _batches(run), strict=False):
        lr = low * (high / low) ** (step / (steps - 1))
        for group in run.optimizer.param_groups:
            # Head and layers keep their places beside each other.
            group["lr"] = lr * group["peak_lr"] / run.settings.lr
        seed = draw_seed(run.job.seed, "dropout", 0, step)
        try:
            loss = run.stepper.step(run.splits["train"], indices, seed).loss
        except NonFinite:
            return
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (step + 1))
        yield lr, loss, smoothed
        least = min(least, smoothed)
        if smoothed > DIVERGED * least:
            return


def _batches(run: Run) -> Iterator[Indices]:
    """The training batches, over and over."""
    lengths, epoch = run.splits["train"].lengths, 0
    while True:
        epoch += 1
        seed = draw_seed(run.job.seed, "order", epoch)
        yield from batches_by_length(lengths, run.settings.batch_size, seed)


def _restore(run: Run, weights: Weights, moments: Weights) -> None:
    load_weights(run.model, weights)
    run.optimizer.state.clear()
    load_moments(run.model, run.optimizer, moments)
    run.optimizer.zero_grad(set_to_none=True)
    for group in run.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * run.schedule.share(0)


def all_tests(request: dict[str, Any]) -> Iterator[str | RangePoint]:
    """Every point of every freeze strategy and seed, and words of what is under way."""
    job = Job.model_validate(request["job"])
    assert isinstance(job.settings, FinetuneSettings), (
        "the orchestrator asks for this trainer alone"
    )
    torch.set_num_threads(job.threads)
    yield "Reading data and model"
    found = prepare(job.model, job.data, job.settings.max_length, Path(job.cache_folder))
    loaded = backbone.load_model(job.model)
    for freeze in request["freezes"]:
        # Each begins where training would: the model is built anew, and as the seed has it.
        for number in range(request["seeds"]):
            settings = FinetuneSettings.model_validate(
                {**job.settings.model_dump(), "freeze": freeze}
            )
            seeded = job.model_copy(
                update={"data_hash": found.data_hash, "seed": job.seed + number}
            )
            run = Run(seeded, settings, Nobody(), loaded)
            yield f"freeze {freeze}, seed {seeded.seed}"
            points = range_test(run, request["low"], request["high"], request["steps"])
            for step, (lr, loss, smoothed) in enumerate(points, start=1):
                yield RangePoint(
                    freeze=str(freeze),
                    seed=seeded.seed,
                    step=step,
                    lr=lr,
                    loss=loss,
                    smoothed=smoothed,
                )


if __name__ == "__main__":
    answer_stdin("point", all_tests)
