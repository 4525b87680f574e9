"""Trials whose first losses are equal because their seeds are: where they part."""

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import takewhile
from operator import itemgetter

from results.diagnosis import limits
from results.diagnosis.records import Found, Scalar, Trial


def same_seed(trials: Sequence[Trial]) -> Iterator[tuple[int, Found]]:
    """For each trial that begins with the losses of an earlier one: its number and what is found.

    Each group is held against its first trial.
    """
    references = _References()
    for trial in trials:
        if not trial.losses:
            continue
        reference = references.alike(trial)
        if reference is None:
            references.add(trial)
        else:
            yield trial.number, _parting(reference, trial)


class _References:
    """Trials by their first losses, in order: with thousands of them, a search must be short."""

    def __init__(self) -> None:
        self._count = 0
        self._by_step: dict[int, list[tuple[float, int, Trial]]] = {}

    def add(self, trial: Trial) -> None:
        step, loss = trial.losses[0]
        insort(self._by_step.setdefault(step, []), (loss, self._count, trial), key=itemgetter(0, 1))
        self._count += 1

    def alike(self, trial: Trial) -> Trial | None:
        """The first one added whose first loss is the trial's."""
        step, loss = trial.losses[0]
        known = self._by_step.get(step, [])
        place = bisect_left(known, loss, key=itemgetter(0))
        sides = (reversed(known[:place]), known[place:])
        near = [one for side in sides for one in takewhile(lambda one: _same(one[0], loss), side)]
        return min(near, key=itemgetter(1))[2] if near else None


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
