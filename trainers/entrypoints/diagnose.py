"""`entrypoints.diagnose`: checks a sweep's data, model and first steps before it spends any time.

The request (see `jsonl`) is a Job without the data's hash; the results are Checks, in their order.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trytable.records import UNLABELLED, Leak, Scalar
from trytable.trainers.data.batches import batches_by_length
from trytable.trainers.data.labels import rare_classes
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.entrypoints.baseline import DiscardedEvents, load_baseline
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.finetune.optimizer import parameter_blocks, set_learning_rates
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.finetune.trainer import TrainingRun
from trytable.trainers.protocol.messages import Check, FinetuneSettings, Job, Verdict
from trytable.trainers.seeding import draw_seed

MAX_CLASS_SHARE = 0.8
"""If one class has more of the sentences, accuracy says little: guessing it gets as much."""

MIN_CLASS_SENTENCES = 10
"""With fewer train sentences, results on a class are mostly chance."""

MAX_LEAK_SHARE = 0.01
"""If more of a split's texts are in another split, its accuracy is too high."""

MAX_FULL_LENGTH_SHARE = 0.1
"""If more of the texts fill max_length, many of them are probably cut."""

MIN_TRAINABLE_SHARE = 0.01
"""Below this share of the parameters, little but the head is trained."""

MAX_FIRST_LOSS = 1.5
"""The first loss as a multiple of ln C, the loss of an untrained head that guesses evenly."""

MIN_BLOCK_GRADIENT = 1e-6
"""A block learns nothing if its gradient norm is below this share of the whole model's."""

MEMORIZED_SENTENCES = 256
"""Few enough to memorize within a minute, too many to be right about by luck."""

MEMORIZED_ACCURACY = 0.95
"""The train accuracy from which on they count as memorized."""

PARTLY_MEMORIZED = 0.5
"""The share of the way from guessing to all right from which on it is a warning, not a failure."""

MAX_EPOCHS = 30


def check_labels(splits: Mapping[str, TokenSplit], classes: int) -> Check:
    """Check that every label is a class, and that train has all classes."""
    rows: list[tuple[str, Scalar]] = [("classes", classes)]
    problems = []
    for name, split in splits.items():
        labels = split.labels[split.labels != UNLABELLED]
        rows.append((f"{name} sentences", len(split)))
        if len(labels) < len(split):
            rows.append((f"{name} without a label", len(split) - len(labels)))
        if len(labels):
            rows.append((f"{name} lowest label", int(labels.min())))
            rows.append((f"{name} highest label", int(labels.max())))
            if labels.min() < 0 or labels.max() >= classes:
                problems.append(f"{name} has labels from {labels.min()} to {labels.max()}")
    missing = sorted(set(range(classes)) - set(splits["train"].labels.tolist()))
    if problems:
        message = f"{'; '.join(problems)}; allowed: 0 to {classes - 1}"
        return _check("labels", "failed", message, rows)
    if missing:
        message = f"no train sentence is of class {', '.join(map(str, missing))}"
        return _check("labels", "failed", message, rows)
    return _check("labels", "ok", f"0 to {classes - 1} in every split", rows)


def check_class_balance(split: TokenSplit, names: tuple[str, ...]) -> Check:
    """Check that no class has most of the train sentences, and none too few."""
    counts = np.bincount(split.labels, minlength=len(names))
    shares = counts / counts.sum()
    largest = int(shares.argmax())
    entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    rows: list[tuple[str, Scalar]] = [
        (f"class {name}", int(count)) for name, count in zip(names, counts, strict=True)
    ]
    rows += [("majority share", float(shares[largest])), ("loss of guessing", entropy)]
    message = f"the largest class, {names[largest]}, is {shares[largest]:.1%} of train"
    is_skewed = shares[largest] > MAX_CLASS_SHARE
    if is_skewed or counts.min() < MIN_CLASS_SENTENCES:
        rare = names[int(counts.argmin())]
        message += "" if is_skewed else f", and class {rare} has only {counts.min()} sentences"
        is_mistyped = rare_classes(dict(zip(names, counts.tolist(), strict=True)))
        message += "; check its label" if is_mistyped else "; try class_weights: balanced"
        return _check("class balance", "warning", message, rows)
    return _check("class balance", "ok", message, rows)


def check_leaks(leaks: Sequence[Leak]) -> Check:
    """Check that hardly any text is in two splits."""
    rows: list[tuple[str, Scalar]] = []
    for leak in leaks:
        rows.append((f"{leak.split} texts also in {leak.other}", leak.shared))
        rows.append(("of them with another label", leak.other_label))
    worst = max(leaks, key=lambda leak: leak.share, default=None)
    if worst is None:
        return _check("shared texts", "ok", "no text is in two splits", rows)
    message = f"{worst.share:.1%} of the {worst.split} texts are also in {worst.other}"
    if worst.share > MAX_LEAK_SHARE:
        advice = "remove them from one of the two"
        return _check("shared texts", "warning", f"{message}; {advice}", rows)
    return _check("shared texts", "ok", message, rows)


def check_lengths(split: TokenSplit, max_length: int) -> Check:
    """Check that `max_length` cuts few train sentences; lengths are in tokens."""
    lengths = split.lengths
    full_share = float((lengths >= max_length).mean())
    rows: list[tuple[str, Scalar]] = [
        ("shortest", int(lengths.min())),
        ("median", float(np.median(lengths))),
        ("95 of 100", float(np.percentile(lengths, 95))),
        ("longest", int(lengths.max())),
        ("max_length", max_length),
        ("share as long as that", full_share),
    ]
    message = f"half have up to {np.median(lengths):g} tokens; "
    message += f"{full_share:.1%} fill max_length {max_length}"
    verdict: Verdict = "warning" if full_share > MAX_FULL_LENGTH_SHARE else "ok"
    return _check("text lengths", verdict, message, rows)


def check_parameters(run: TrainingRun) -> Check:
    """Count all parameters and the trained ones, block by block."""
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
    rows += [(f"trained in {block}", count) for block, count in by_block.items()]
    message = f"{counts['trained']:,} of {counts['in all']:,} are trained ({share:.2%})"
    if share < MIN_TRAINABLE_SHARE and not run.settings.lora_rank:
        return _check("parameters", "warning", f"{message}; freeze fewer layers", rows)
    return _check("parameters", "ok", message, rows)


def check_learning_rates(run: TrainingRun) -> Check:
    """List the learning rates of the live optimizer's groups at the first, peak and last step."""
    schedule = run.schedule
    steps = {"first": 0, "peak": schedule.peak_step, "last": schedule.steps_total - 1}
    rates: dict[str, Scalar] = {}
    for word, step in steps.items():
        set_learning_rates(run.optimizer, schedule.share(step))
        for group in run.optimizer.param_groups:  # matrices and vectors of a role share a rate
            role = str(group["name"]).rpartition(".")[0]
            rates[f"{role} {word} (step {step + 1})"] = float(group["lr"])
    set_learning_rates(run.optimizer, schedule.share(0))
    message = f"{run.settings.schedule} over {schedule.steps_total} steps, "
    message += f"{schedule.warmup_steps} of them warm-up"
    return _check("learning rates", "ok", message, [*rates.items()])


def check_first_step(run: TrainingRun) -> Check:
    """Take one step at a learning rate of 0: is the loss sound, has every block a gradient?"""
    split = run.splits["train"]
    order = draw_seed(run.job.seed, "order", 1)
    indices = batches_by_length(split.lengths, run.settings.batch_size, order)[0]
    run.model.train()
    set_learning_rates(run.optimizer, 0.0)
    try:
        step = run.stepper.step(split, indices, run.job.seed)
    except NonFinite as error:
        return _check("one step", "failed", f"{error} at the first step; try precision: fp32", [])
    guessing_loss = math.log(len(run.classes))
    norms = run.block_norms.gradients(step.gradient_norm, run.settings.max_gradient_norm)
    rows: list[tuple[str, Scalar]] = [
        ("sentences", len(indices)),
        ("loss", step.loss),
        ("loss of guessing", guessing_loss),
        ("gradient norm", step.gradient_norm),
    ]
    rows += [(f"gradient norm in {block}", norm) for block, norm in norms.items()]
    threshold = MIN_BLOCK_GRADIENT * step.gradient_norm
    dead = [block for block, norm in norms.items() if norm < threshold]
    message = f"loss {step.loss:.3f}, where guessing has ln {len(run.classes)} = "
    message += f"{guessing_loss:.3f}"
    if dead or step.gradient_norm == 0:
        return _check("one step", "failed", f"no gradient reaches {', '.join(dead)}", rows)
    if step.loss > MAX_FIRST_LOSS * guessing_loss:
        message += ": the untrained head does not guess evenly"
        return _check("one step", "warning", message, rows)
    return _check("one step", "ok", f"{message}; every trained block has a gradient", rows)


def check_memorization(run: TrainingRun) -> Iterator[str | Check]:
    """Train on 256 sentences until they are memorized; yields each epoch as text, then the check.

    The learning rate stays at its peak. What cannot memorize so few will not learn more.
    """
    split = run.splits["train"]
    sample = _sample(split, run.job.seed)
    batch_size = min(run.settings.batch_size, len(sample))
    majority_share = float(np.bincount(sample.labels).max() / len(sample))
    set_learning_rates(run.optimizer, 1.0)
    accuracy, loss, epoch = 0.0, math.inf, 0
    accuracies: list[tuple[str, Scalar]] = []
    for epoch in range(1, MAX_EPOCHS + 1):
        run.model.train()
        order = draw_seed(run.job.seed, "heart", epoch)
        batches = batches_by_length(sample.lengths, batch_size, order)
        try:
            losses = [run.stepper.step(sample, indices, epoch).loss for indices in batches]
        except NonFinite as error:
            message = f"{error} in epoch {epoch}; try a lower lr"
            yield _check("by heart", "failed", message, accuracies)
            return
        loss, accuracy = float(np.mean(losses)), run.evaluator.evaluate(sample).accuracy
        accuracies.append((f"train accuracy, epoch {epoch}", accuracy))
        yield f"{len(sample)} sentences, epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}"
        if accuracy >= MEMORIZED_ACCURACY:
            break
    message = f"{accuracy:.1%} of {len(sample)} sentences right after {epoch} epochs"
    verdict = _memorization_verdict(accuracy, majority_share)
    advice = "" if verdict == "ok" else "; try a higher lr, or freeze less"
    rows: list[tuple[str, Scalar]] = [
        ("sentences", len(sample)),
        ("majority share", majority_share),
        ("train loss", loss),
        *accuracies[-1:],
        ("epochs", epoch),
    ]
    yield _check("by heart", verdict, message + advice, rows)


def _memorization_verdict(accuracy: float, majority_share: float) -> Verdict:
    if accuracy >= MEMORIZED_ACCURACY:
        return "ok"
    halfway = majority_share + PARTLY_MEMORIZED * (1 - majority_share)
    return "warning" if accuracy >= halfway else "failed"


def _sample(split: TokenSplit, seed: int) -> TokenSplit:
    generator = np.random.default_rng(draw_seed(seed, "heart"))
    size = min(MEMORIZED_SENTENCES, len(split))
    indices: Indices = np.sort(generator.choice(len(split), size, replace=False))
    return split.take(indices)


def _check(name: str, verdict: Verdict, message: str, rows: Sequence[tuple[str, Scalar]]) -> Check:
    return Check(name=name, verdict=verdict, message=message, rows=tuple(rows))


def all_checks(
    run: TrainingRun, unregularized: TrainingRun, leaks: Sequence[Leak] = ()
) -> Iterator[str | Check]:
    """Yield every check, and a progress text before each that takes a while.

    `unregularized` is the same run without dropout and weight decay. It is trained; `run` is not.
    """
    split, settings = run.splits["train"], run.settings
    yield check_labels(run.splits, len(run.classes))
    yield check_class_balance(split, run.classes)
    yield check_leaks(leaks)
    yield check_lengths(split, settings.max_length)
    yield check_parameters(run)
    yield check_learning_rates(run)
    yield "One step forward and backward"
    yield check_first_step(run)
    yield from check_memorization(unregularized)


def diagnose(job: Job) -> Iterator[str | Check]:
    """Yield every check of a job, and progress texts. Raises Refused."""
    settings = job.settings
    assert isinstance(settings, FinetuneSettings), "the orchestrator asks for this trainer alone"
    yield "Reading data and model"
    job, prepared, loaded = load_baseline(job, settings)
    # Without dropout and weight decay nothing is left that keeps a model from memorizing.
    bare = settings.model_copy(update={"dropout": 0.0, "weight_decay": 0.0})
    yield from all_checks(
        TrainingRun(job, settings, DiscardedEvents(), loaded),
        TrainingRun(job, bare, DiscardedEvents(), loaded),
        prepared.leaks,
    )


if __name__ == "__main__":
    answer_request(lambda request: diagnose(Job.model_validate(request)))
