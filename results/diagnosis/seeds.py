"""Trials whose first losses are equal because their seeds are: where they part."""

import math
from collections.abc import Iterator, Sequence

from results.diagnosis import limits
from results.diagnosis.records import Found, Scalar, Trial


def same_seed(trials: Sequence[Trial]) -> Iterator[tuple[int, Found]]:
    """For each trial that begins with the losses of an earlier one: its number and what is found.

    Each group is held against its first trial.
    """
    references: list[Trial] = []
    for trial in trials:
        if not trial.losses:
            continue
        reference = next((one for one in references if _begins_alike(one, trial)), None)
        if reference is None:
            references.append(trial)
        else:
            yield trial.number, _parting(reference, trial)


def _begins_alike(one: Trial, other: Trial) -> bool:
    (first, loss), (second, lost) = one.losses[0], other.losses[0]
    return first == second and _same(loss, lost)


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=limits.SAME_LOSS)


def _parting(reference: Trial, trial: Trial) -> Found:
    theirs = dict(reference.losses)
    common = [(step, loss, theirs[step]) for step, loss in trial.losses if step in theirs]
    parts_at = next((step for step, loss, other in common if not _same(loss, other)), None)
    alike = [step for step, *_ in common if parts_at is None or step < parts_at]
    evidence: dict[str, Scalar] = {
        "reference": reference.number + 1,
        "first_loss": common[0][1],
        "alike_until": alike[-1],
        "parts_at": parts_at,
    }
    compared = {step: pair for step, *pair in common if step in limits.COMPARED_STEPS}
    for step, (loss, other) in compared.items():
        evidence |= {f"loss_at_{step}": loss, f"reference_loss_at_{step}": other}
    return Found("same_seed", "info", evidence, (), "parted" if parts_at else "never")
