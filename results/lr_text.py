"""What a range test found, in numbers and a sentence: the same on the terminal and the page."""

from results.lr_range import Spread, StrategyResult
from results.text import clean, one_line, short

HEADINGS = ("freeze", "steepest", "min to max", "valley", "min to max", "seeds", "search lr in")
"""Steepest and valley are geometric medians over seeds; `seeds` says in how many the loss fell."""

_AGREE = 2.0
"""Suggestions within such a factor are one: learning rates are searched in steps no finer."""


def rate(lr: float) -> str:
    """A learning rate in two digits: the test knows no more."""
    return short(float(f"{lr:.2g}"))


def freeze_name(one: StrategyResult) -> str:
    """A freeze strategy on one line; patterns come from outside."""
    return one_line(clean(one.freeze))


def cells(one: StrategyResult) -> tuple[str, ...]:
    """A strategy's row under HEADINGS."""
    fell = 0 if one.valley is None else one.valley.seeds
    return (
        freeze_name(one),
        *_spread(one.steepest),
        *_spread(one.valley),
        f"{fell} of {len(one.curves)}",
        _between(*one.bounds) if one.bounds else "",
    )


def _spread(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "none", ""
    ends = _between(spread.low, spread.high) if spread.seeds > 1 else ""
    return rate(spread.median), ends


def _between(low: float, high: float) -> str:
    return f"{rate(low)} to {rate(high)}"


def advice(one: StrategyResult) -> str:
    """What to take, and how far to trust it."""
    tested = len(one.curves)
    if one.valley is None or one.bounds is None:
        return (
            f"freeze {freeze_name(one)}: the loss falls in none of {tested} seeds, so no rate can "
            "be suggested. Raise STEPS or LR_TO, or look at the sweep with make diagnose."
        )
    take = f"begin with lr {rate(one.valley.median)}, or search {_between(*one.bounds)}"
    return f"freeze {freeze_name(one)}: {take}; {_trust(one.valley, tested)}."


def _trust(valley: Spread, tested: int) -> str:
    if tested == 1:
        return "one curve decides nothing, so raise SEEDS"
    if valley.seeds < tested:
        return f"the loss fell in {valley.seeds} of {tested} seeds only, so trust it little"
    apart = valley.high / valley.low
    if apart > _AGREE:
        far = f"the valleys of {tested} seeds lie a factor of {apart:.1f} apart"
        return f"{far}, so search rather than take one"
    return f"the valleys of {tested} seeds agree within a factor of {apart:.1f}"
