"""Records that several options of the command line make together."""

from dataclasses import dataclass

from trytable.results.text.catalog import ENGLISH, Words

DEFAULT_LR_FROM, DEFAULT_LR_TO, DEFAULT_STEPS, DEFAULT_RANGE_SEEDS = 1e-7, 1.0, 100, 3
"""The learning-rate range test."""


@dataclass(frozen=True)
class ReportOptions:
    """The language of a report, and whether it shows every test accuracy."""

    words: Words = ENGLISH
    all_tests: bool = False


@dataclass(frozen=True)
class RangeTestOptions:
    """The ramp of the learning rate, the freeze strategies to test, and the number of seeds.

    The rate rises from `low` to `high` in `steps` optimizer steps. `freezes` is a list such as
    `none,half,2`; empty for the baseline's strategy. The test's document stores these fields by
    their names.
    """

    low: float = DEFAULT_LR_FROM
    high: float = DEFAULT_LR_TO
    steps: int = DEFAULT_STEPS
    seeds: int = DEFAULT_RANGE_SEEDS
    freezes: str = ""
