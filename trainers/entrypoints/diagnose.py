"""What can be known before a sweep: data, model, one step, and whether it can learn at all."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from trytable.records import UNLABELLED, Scalar
from trytable.trainers.data.batches import batches_by_length
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.entrypoints.prepare import prepare
from trytable.trainers.finetune.optimizer import parameter_blocks, set_learning_rates
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.models import backbone
from trytable.trainers.protocol.messages import (
    Check,
    Event,
    FinetuneSettings,
    Job,
    StopReason,
    Verdict,
)
from trytable.trainers.seeding import draw_seed

LARGEST_SHARE = 0.8
"""A class with more of the sentences makes accuracy say little: saying it always gets as much."""

FEWEST = 10
"""Fewer train sentences of a class cannot be told from accidents."""

CUT_SHARE = 0.1
"""Share of texts as long as max_length above which much is likely cut off."""

TRAINABLE_SHARE = 0.01
"""Below it little but a head is trained."""

FIRST_LOSS = 1.5
"""The first loss by ln C: an untrained head should guess evenly."""

DEAD = 1e-6
"""Gradient norm of a block by the whole one's below which it does not learn."""

SAMPLES = 256
"""Few enough to be learnt by heart in a minute, and too many to be right by luck."""

LEARNT, HALFWAY = 0.95, 0.5
"""Train accuracy of a model that has learnt them, and the share of the way that is a start."""

MOST_EPOCHS = 30


def labels(splits: Mapping[str, TokenSplit], classes: int) -> Check:
    """Every label is a class, and train has all classes."""
    rows: list[tuple[str, Scalar]] = [("classes", classes)]
    wrong = []
    for name, split in splits.items():
        known = split.labels[split.labels != UNLABELLED]
        rows.append((f"{name} sentences", len(split)))
        if len(known) < len(split):
            rows.append((f"{name} without a label", len(split) - len(known)))
        if len(known):
            rows.append((f"{name} lowest label", int(known.min())))
            rows.append((f"{name} highest label", int(known.max())))
            if known.min() < 0 or known.max() >= classes:
                wrong.append(f"{name} has labels from {known.min()} to {known.max()}")
    missing = sorted(set(range(classes)) - set(splits["train"].labels.tolist()))
    if wrong:
        return _check("labels", "failed", f"{'; '.join(wrong)}; allowed: 0 to {classes - 1}", rows)
    if missing:
        told = f"no train sentence is of class {', '.join(map(str, missing))}"
        return _check("labels", "failed", told, rows)
    return _check("labels", "ok", f"0 to {classes - 1} in every split", rows)


def balance(split: TokenSplit, names: tuple[str, ...]) -> Check:
    """How the train sentences are spread over the classes."""
    counts = np.bincount(split.labels, minlength=len(names))
    shares = counts / counts.sum()
    largest = int(shares.argmax())
    entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    rows: list[tuple[str, Scalar]] = [
        (f"class {name}", int(one)) for name, one in zip(names, counts, strict=True)
    ]
    rows += [("majority share", float(shares[largest])), ("loss of guessing", entropy)]
    told = f"the largest class, {names[largest]}, is {shares[largest]:.1%} of train"
    uneven = shares[largest] > LARGEST_SHARE
    if uneven or counts.min() < FEWEST:
        rare = names[int(counts.argmin())]
        told += "" if uneven else f", and class {rare} has {counts.min()} sentences only"
        return _check("class balance", "warning", told + "; try class_weights: balanced", rows)
    return _check("class balance", "ok", told, rows)


def lengths(split: TokenSplit, max_length: int) -> Check:
    """How long the train sentences are, in tokens."""
    known = split.lengths
    cut = float((known >= max_length).mean())
    rows: list[tuple[str, Scalar]] = [
        ("shortest", int(known.min())),
        ("median", float(np.median(known))),
        ("95 of 100", float(np.percentile(known, 95))),
        ("longest", int(known.max())),
        ("max_length", max_length),
        ("share as long as that", cut),
    ]
    told = f"half have up to {np.median(known):g} tokens; {cut:.1%} fill max_length {max_length}"
    verdict: Verdict = "warning" if cut > CUT_SHARE else "ok"
    return _check("text lengths", verdict, told, rows)


def parameters(run: TrainingRun) -> Check:
    """How many parameters there are, and how many are trained, block by block."""
    blocks, counts = parameter_blocks(run.model), {"trained": 0, "in all": 0}
    by_block: dict[str, int] = {}
    for name, parameter in run.model.named_parameters():
        counts["in all"] += parameter.numel()
        by_block.setdefault(blocks[name], 0)
        if parameter.requires_grad:
            counts["trained"] += parameter.numel()
            by_block[blocks[name]] += parameter.numel()
    share = counts["trained"] / counts["in all"]
    rows: list[tuple[str, Scalar]] = [*counts.items(), ("trained share", share)]
    rows += [(f"trained in {block}", one) for block, one in by_block.items()]
    told = f"{counts['trained']:,} of {counts['in all']:,} are trained ({share:.2%})"
    if share < TRAINABLE_SHARE and not run.settings.lora_rank:
        return _check("parameters", "warning", f"{told}; freeze fewer layers", rows)
    return _check("parameters", "ok", told, rows)


def rates(run: TrainingRun) -> Check:
    """The learning rate of each group of the live optimizer at the first, peak and last step."""
    schedule = run.schedule
    steps = {"first": 0, "peak": schedule.peak_step, "last": schedule.steps_total - 1}
    found: dict[str, Scalar] = {}
    for word, step in steps.items():
        set_learning_rates(run.optimizer, schedule.share(step))
        for group in run.optimizer.param_groups:  # matrices and vectors of a role share a rate
            role = str(group["name"]).rpartition(".")[0]
            found[f"{role} {word} (step {step + 1})"] = float(group["lr"])
    set_learning_rates(run.optimizer, schedule.share(0))
    told = f"{run.settings.schedule} over {schedule.steps_total} steps, "
    told += f"{schedule.warmup_steps} of them warm-up"
    return _check("learning rates", "ok", told, [*found.items()])


def first_step(run: TrainingRun) -> Check:
    """One forward and backward pass: a sound loss, and a gradient in every trained block."""
    split = run.splits["train"]
    order = draw_seed(run.job.seed, "order", 1)
    indices = batches_by_length(split.lengths, run.settings.batch_size, order)[0]
    run.model.train()
    set_learning_rates(run.optimizer, 0.0)
    try:
        stepped = run.stepper.step(split, indices, run.job.seed)
    except NonFinite as error:
        return _check("one step", "failed", f"{error} at the first step; try precision: fp32", [])
    guess = math.log(len(run.classes))
    norms = run.block_norms.gradients(stepped.gradient_norm, run.settings.max_gradient_norm)
    rows: list[tuple[str, Scalar]] = [
        ("sentences", len(indices)),
        ("loss", stepped.loss),
        ("loss of guessing", guess),
        ("gradient norm", stepped.gradient_norm),
    ]
    rows += [(f"gradient norm in {block}", one) for block, one in norms.items()]
    dead = [block for block, one in norms.items() if one < DEAD * stepped.gradient_norm]
    told = f"loss {stepped.loss:.3f} beside ln {len(run.classes)} = {guess:.3f}"
    if dead or stepped.gradient_norm == 0:
        return _check("one step", "failed", f"no gradient reaches {', '.join(dead)}", rows)
    if stepped.loss > FIRST_LOSS * guess:
        return _check("one step", "warning", f"{told}: the head does not begin evenly", rows)
    return _check("one step", "ok", f"{told}; every trained block has a gradient", rows)


def by_heart(run: TrainingRun) -> Iterator[str | Check]:
    """Train on 256 sentences until they are known by heart; says each epoch, then the check.

    The run's rate stays at its peak. What cannot learn so few will not learn more.
    """
    split = run.splits["train"]
    few = _sample(split, run.job.seed)
    size = min(run.settings.batch_size, len(few))
    chance = float(np.bincount(few.labels).max() / len(few))
    set_learning_rates(run.optimizer, 1.0)
    accuracy, loss, epoch = 0.0, math.inf, 0
    courses: list[tuple[str, Scalar]] = []
    for epoch in range(1, MOST_EPOCHS + 1):
        run.model.train()
        batches = batches_by_length(few.lengths, size, draw_seed(run.job.seed, "heart", epoch))
        try:
            losses = [run.stepper.step(few, one, epoch).loss for one in batches]
        except NonFinite as error:
            yield _check("by heart", "failed", f"{error} in epoch {epoch}; try a lower lr", courses)
            return
        loss, accuracy = float(np.mean(losses)), run.evaluator.evaluate(few).accuracy
        courses.append((f"train accuracy, epoch {epoch}", accuracy))
        yield f"{len(few)} sentences, epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}"
        if accuracy >= LEARNT:
            break
    told = f"{accuracy:.1%} of {len(few)} sentences right after {epoch} epochs"
    verdict = _heart_verdict(accuracy, chance)
    more = "" if verdict == "ok" else "; try a higher lr, or freeze less"
    kept: list[tuple[str, Scalar]] = [("sentences", len(few)), ("majority share", chance)]
    kept += [("train loss", loss), *courses[-1:], ("epochs", epoch)]
    yield _check("by heart", verdict, told + more, kept)


def _heart_verdict(accuracy: float, chance: float) -> Verdict:
    if accuracy >= LEARNT:
        return "ok"
    return "warning" if accuracy >= chance + HALFWAY * (1 - chance) else "failed"


def _sample(split: TokenSplit, seed: int) -> TokenSplit:
    generator = np.random.default_rng(draw_seed(seed, "heart"))
    size = min(SAMPLES, len(split))
    chosen: Indices = np.sort(generator.choice(len(split), size, replace=False))
    return split.take(chosen)


def _check(name: str, verdict: Verdict, message: str, rows: Sequence[tuple[str, Scalar]]) -> Check:
    return Check(name=name, verdict=verdict, message=message, rows=tuple(rows))


def all_of(run: TrainingRun, rested: TrainingRun) -> Iterator[str | Check]:
    """Every check in turn, with a word of what is under way before those that take a while.

    `rested` is the run with its regularisation off; it is trained, `run` is not.
    """
    split, settings = run.splits["train"], run.settings
    yield labels(run.splits, len(run.classes))
    yield balance(split, run.classes)
    yield lengths(split, settings.max_length)
    yield parameters(run)
    yield rates(run)
    yield "One step forward and backward"
    yield first_step(run)
    yield from by_heart(rested)


class DiscardedEvents:
    """A line that nobody listens to: what is checked here is no attempt at a trial."""

    def say(self, event: Event) -> None:
        """Forget it."""

    def stop_reason(self) -> StopReason | None:
        """Return None: nobody can ask for a stop."""
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
    yield from all_of(
        TrainingRun(known, settings, DiscardedEvents(), loaded),
        TrainingRun(known, bare, DiscardedEvents(), loaded),
    )


if __name__ == "__main__":
    answer_request(lambda request: diagnose(Job.model_validate(request)))
