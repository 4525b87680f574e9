"""A range test's bounds in a copy of the sweep file: all else stays."""

from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.running import write_sweep
from trytable.orchestrator.commands.train.lr_apply import apply_problems, with_lr, write_bounds
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.results.analysis.lr_range import RateRange, StrategyResult
from trytable.sweeps.config.loader import Range, Sweep, read_sweep

BUSY = """\
# tried by hand, in vain
description: "quoted, and a line that is far longer than any tool would leave on one line by itself"
baseline: {lr: 1e-3, dropout: 0.1}  # Try 1
parameters:
    lr:
        - 1e-4  # low
        - 1e-2  # high

    # not yet: weight_decay
    dropout: [0.0, 0.1]   # the head's
enqueue:
    - {lr: 0.05}
# a grid, for now
sampler: 'grid'
"""


def sweep_of(folder: Path, text: str, **overrides: Any) -> Sweep:
    write_sweep(folder, text)
    return read_sweep(folder / "sweeps" / "quality.yaml", KINDS, overrides)


def found(freeze: str, low: float, high: float) -> StrategyResult:
    """A strategy whose bounds are these, but for the margin of 3."""
    spread = RateRange(low * 3, low * 3, high / 3, 3)
    return StrategyResult(freeze, (), spread, spread, turning=RateRange(1.0, 1.0, 1.0, 3))


def test_all_but_the_rates_stays_as_it_was(tmp_path: Path) -> None:
    written = write_bounds(sweep_of(tmp_path, BUSY), [found("none", 1e-4, 1e-2)], {})
    assert written == tmp_path / "sweeps" / "quality-lr.yaml"
    lines = written.read_text().splitlines()
    assert lines[0].startswith("# lr: from a range test of quality.yaml, freeze none: 1e-4 to 0.01")
    before = BUSY.splitlines()
    assert [line.split("#")[0].rstrip() for line in lines[1:5]] == [
        line.split("#")[0].rstrip() for line in before[:4]
    ]
    assert lines[5] == "    lr: [1e-4, 3.2e-4, 0.001, 0.0032, 0.01, 0.05]"
    assert [" ".join(line.split()) for line in lines[6:]] == [
        " ".join(line.split()) for line in before[7:]
    ]
    assert lines[3].endswith("# Try 1")


def test_no_file_is_written_over(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, BUSY)
    names = [write_bounds(sweep, [found("none", 1e-4, 1e-2)], {}).name for _ in range(3)]
    assert names == ["quality-lr.yaml", "quality-lr2.yaml", "quality-lr3.yaml"]
    assert (tmp_path / "sweeps" / "quality.yaml").read_text() == BUSY


def test_a_sampler_gets_a_range_that_holds_all_known_tries(tmp_path: Path) -> None:
    """A baseline outside of a range would be refused, also where it stands in no file."""
    text = """
parameters: {dropout: {low: 0.0, high: 0.3}}
sampler: tpe
trials: 5
enqueue: [{dropout: 0.2}]
"""
    written = write_bounds(sweep_of(tmp_path, text), [found("none", 2e-3, 4e-2)], {})
    assert read_sweep(written, KINDS).parameters["lr"] == Range(2e-4, 0.04, log=True)
    assert (
        "0.002 to 0.04, extended to 2e-4 for the baseline and enqueued tries" in written.read_text()
    )


def test_bounds_are_of_the_strategies_that_the_sweep_trains_with(tmp_path: Path) -> None:
    text = "parameters: {freeze: [none, half], dropout: [0.0, 0.1]}\nbaseline: {lr: 1e-3}\n"
    several = [found("none", 1e-4, 1e-3), found("half", 1e-3, 1e-2), found("full", 1e-6, 1.0)]
    written = write_bounds(sweep_of(tmp_path, text), several, {})
    points = read_sweep(written, KINDS).parameters["lr"].values
    assert (min(points), max(points)) == (1e-4, 1e-2)
    assert "freeze none, half: 1e-4 to 0.01" in written.read_text()


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ("lr: 1e-3", "the sweep trains with freeze none, which FREEZE does not name"),
        ("freeze: half, lr: 1e-3, head_lr: 1e-2", "Use head_lr_multiplier instead (here 10)"),
    ],
)
def test_bounds_that_would_be_of_something_else_are_refused(
    tmp_path: Path, baseline: str, said: str
) -> None:
    text = f"baseline: {{{baseline}}}\nparameters: {{dropout: [0.0, 0.1]}}\n"
    (wrong,) = apply_problems(sweep_of(tmp_path, text), ["half", "full"])
    assert said in wrong


def test_a_test_without_a_suggestion_writes_nothing(tmp_path: Path) -> None:
    silent = StrategyResult("none", (), None, None, None)
    with pytest.raises(UserError, match="suggests no learning rate"):
        write_bounds(sweep_of(tmp_path, BUSY), [silent, found("half", 1e-4, 1e-2)], {})
    assert [path.name for path in (tmp_path / "sweeps").iterdir()] == ["quality.yaml"]


def test_what_came_with_set_is_taken_into_account(tmp_path: Path) -> None:
    overrides = {"parameters": {"dropout": [0.1, 0.2]}, "lr": 0.5}
    sweep = sweep_of(tmp_path, "baseline: {epochs: 2}\n", **overrides)
    written = write_bounds(sweep, [found("none", 1e-4, 1e-2)], overrides)
    assert "lr: [1e-4, 3.2e-4, 0.001, 0.0032, 0.01, 0.5]" in written.read_text()


@pytest.mark.parametrize(
    ("behind", "left"),
    [
        ("\n# a grid\nsampler: grid\n", "\n# a grid\nsampler: grid\n"),
        ("  # high\nsampler: grid\n", "\nsampler: grid\n"),
        ("  # high\n\n  # not yet\n  dropout: [0.1]\n", "\n\n  # not yet\n  dropout: [0.1]\n"),
        ("  # high\n", "\n"),
        ("  # high", "\n"),
        ("", "\n"),
    ],
)
@pytest.mark.parametrize(
    "rates", ["  lr:\n  - 1e-3\n  - 1e-2", "  lr:\n    low: 1e-3\n    high: 1e-2"]
)
def test_a_comment_below_the_rates_stays_and_one_beside_them_goes(
    rates: str, behind: str, left: str
) -> None:
    assert with_lr(f"parameters:\n{rates}{behind}", "[0.1]") == f"parameters:\n  lr: [0.1]{left}"


def test_a_comment_beside_a_list_on_one_line_stays() -> None:
    text = "parameters:\n  lr: [1e-3, 1e-2]  # by hand\nsampler: grid\n"
    written = [" ".join(line.split()) for line in with_lr(text, "[0.1]").splitlines()]
    assert written == ["parameters:", "lr: [0.1] # by hand", "sampler: grid"]
