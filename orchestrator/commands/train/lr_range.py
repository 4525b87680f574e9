"""`trytable lr-range`: a learning-rate range test of a sweep's baseline, repeated over seeds."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.slots import find_slots
from trytable.orchestrator.commands.option_records import RangeTestOptions
from trytable.orchestrator.commands.sweep_files import load_sweep
from trytable.orchestrator.commands.terminal import full_width, print_line
from trytable.orchestrator.commands.train.lr_apply import apply_problems, write_bounds
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.log.facts import log_start, sweep_hash
from trytable.orchestrator.log.run_log import logged_run
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.run.jobs import baseline_job
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.results.analysis.lr_range import RangeCurve, StrategyResult, strategy_results
from trytable.results.report.lr_range import (
    HEADINGS,
    format_rate,
    strategy_advice,
    strategy_row,
    write_lr_range,
)
from trytable.results.text.format import format_number
from trytable.spelling import command, label, setting
from trytable.sweeps.config.knobs import Knobs
from trytable.sweeps.config.schema import Sweep
from trytable.sweeps.config.yaml_source import Document
from trytable.trainers.protocol.messages import FinetuneSettings, Job, RangePoint

_LOGGER = logging.getLogger(__name__)

MIN_STEPS = 20
MAX_LR = 1.0
"""The highest learning rate that a sweep accepts."""

_KNOBS = Knobs("finetune", FinetuneSettings)

Freeze = str | int
"""A freeze strategy: a word or patterns, or a number of layers."""


@dataclass(frozen=True)
class RangeTestRequest:
    """What the command line asks for.

    Attributes:
        name: the sweep.
        runs: the folder of all studies.
        overrides: settings that replace those of the sweep file.
        variables: the same as Make variables, to print the command that runs the new sweep.
        options: the test itself.
        apply: whether to write the bounds into a copy of the sweep file.
    """

    name: str
    runs: Path
    overrides: Mapping[str, object]
    variables: Mapping[str, str]
    options: RangeTestOptions
    apply: bool


def run_range_test(request: RangeTestRequest, console: Console) -> None:
    """Run the test, write its page, plot and numbers, and print the suggested learning rates.

    Raises UserError and SweepError.
    """
    sweep = load_sweep(request.name, request.overrides)
    options = request.options
    freezes = _check(sweep, options, apply=request.apply)
    (slot,) = find_slots(1)
    folders = Folders(request.runs.resolve(), sweep.name)
    job = baseline_job(sweep, folders, slot, "lr_range")
    with logged_run(folders.log, partial(print_line, console)):
        test = {"Sweep hash": sweep_hash(sweep.to_json()), "Test": asdict(options)}
        log_start(f"Learning-rate range test of {sweep.name}", [slot], {"Seed": job.seed, **test})
        curves = _run_tests(job, slot, options, freezes, console)
        _LOGGER.info("Range test ended: %d curves", len(curves))
    if not any(curve.lr for curve in curves):
        raise UserError(
            f"The loss was not finite even at lr {options.low:g}. Lower {label('LR_FROM')}."
        )
    results = strategy_results(curves)
    facts = {"sweep": sweep.to_json(), "rise": asdict(options)}
    paths = write_lr_range(sweep.name, results, facts, folders.home / "lr_range")
    _print_results(results, sweep, console)
    for path in paths:
        print_line(console, display_path(path))
    if request.apply:
        new_file = write_bounds(sweep, results, request.overrides)
        print_line(
            console, f"{display_path(new_file)}: run it with {_sweep_command(new_file, request)}"
        )


def _check(sweep: Sweep, options: RangeTestOptions, *, apply: bool) -> tuple[Freeze, ...]:
    """Return the freeze strategies to test. Raises UserError with every mistake."""
    if sweep.trainer != "finetune":
        raise UserError(
            f"{sweep.path}: trainer {sweep.trainer} has no learning rate. "
            "Use a sweep of trainer finetune."
        )
    problems = []
    if not 0 < options.low < options.high <= MAX_LR:
        limits = (setting("LR_FROM", f"{options.low:g}"), setting("LR_TO", f"{options.high:g}"))
        problems.append(
            f"{' '.join(limits)}: the rate must rise. Use {label('LR_FROM')} above 0 and "
            f"below {label('LR_TO')}, and {label('LR_TO')} at most {MAX_LR:g}, the "
            "highest lr of a sweep."
        )
    if options.steps < MIN_STEPS:
        problems.append(
            f"{setting('STEPS', options.steps)} shows no slope. Use at least {MIN_STEPS}."
        )
    if options.seeds < 1:
        problems.append(f"{setting('SEEDS', options.seeds)} trains nothing. Use at least 1.")
    freezes, freeze_problems = parse_freezes(options.freezes, sweep.baseline)
    problems += freeze_problems
    if apply and not freeze_problems:
        problems += apply_problems(sweep, freezes)
    if problems:
        raise UserError("\n".join(problems))
    return freezes


def parse_freezes(text: str, baseline: Mapping[str, Any]) -> tuple[tuple[Freeze, ...], list[str]]:
    """Return the distinct freeze strategies in a text such as `none,half,2`, and its mistakes.

    An empty text stands for the baseline's strategy. Each strategy must be valid together with the
    baseline's other settings.
    """
    document = Document("FREEZE")
    freezes: list[Freeze] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        freeze = int(word) if word.isascii() and word.isdigit() else word
        value = _KNOBS.check(document, "freeze", freeze, ())
        if value is None:
            continue
        conflict = _KNOBS.conflict({**baseline, "freeze": value})
        if conflict is not None:
            document.complain((), f"with {word}: {conflict}.")
        freezes.append(value)
    problems = [f"FREEZE: {problem.text}" for problem in document.problems]
    return tuple(dict.fromkeys(freezes)) or (baseline["freeze"],), problems


def _run_tests(
    job: Job, slot: Slot, options: RangeTestOptions, freezes: tuple[Freeze, ...], console: Console
) -> list[RangeCurve]:
    """Return the curve of every test; show a progress bar and a line for each test that ended."""
    tests = [(str(freeze), job.seed + i) for freeze in freezes for i in range(options.seeds)]
    points: dict[tuple[str, int], list[RangePoint]] = {test: [] for test in tests}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Starting", total=len(tests) * options.steps)
        ended_count = 0
        for answer in _answers(job, slot, options, freezes):
            if isinstance(answer, str):
                progress.update(task, description=answer)
                continue
            index = tests.index((answer.freeze, answer.seed))
            _print_ended(tests[ended_count:index], points, progress.console)
            ended_count = index
            points[tests[index]].append(answer)
            # A test that ended early counts as complete.
            completed = index * options.steps + answer.step
            progress.update(task, description=_describe(answer), completed=completed)
        _print_ended(tests[ended_count:], points, progress.console)
    return [_curve(freeze, seed, points[freeze, seed]) for freeze, seed in tests]


def _answers(
    job: Job, slot: Slot, options: RangeTestOptions, freezes: tuple[Freeze, ...]
) -> Iterator[str | RangePoint]:
    """Yield each step as it comes, and what is in progress as text."""
    request = {**asdict(options), "job": job.model_dump(mode="json"), "freezes": freezes}
    failure = "The range test failed"
    with Subprocess("lr_range", RangePoint, request, failure, device=slot.device) as program:
        yield from program.messages()


def _describe(point: RangePoint) -> str:
    return f"freeze {point.freeze}, seed {point.seed}: lr {point.lr:.1e}, loss {point.smoothed:.3f}"


def _print_ended(
    tests: Sequence[tuple[str, int]],
    points: Mapping[tuple[str, int], list[RangePoint]],
    console: Console,
) -> None:
    """Print a line for each ended test, because a pipe shows no progress bar."""
    for freeze, seed in tests:
        curve = points[freeze, seed]
        if not curve:
            line = "the first loss was not finite"
        else:
            lowest = min(curve, key=lambda point: point.smoothed)
            line = (
                f"{curve[-1].step} steps to lr {format_rate(curve[-1].lr)}, smoothed loss "
                f"{curve[0].smoothed:.3f}, lowest {lowest.smoothed:.3f} at lr "
                f"{format_rate(lowest.lr)}"
            )
        print_line(console, f"freeze {freeze}, seed {seed}: {line}")


def _curve(freeze: str, seed: int, points: list[RangePoint]) -> RangeCurve:
    return RangeCurve(
        freeze=freeze,
        seed=seed,
        lr=tuple(point.lr for point in points),
        loss=tuple(point.loss for point in points),
        smoothed=tuple(point.smoothed for point in points),
    )


def _print_results(results: tuple[StrategyResult, ...], sweep: Sweep, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        is_name = heading == HEADINGS[0]
        table.add_column(heading, justify="left" if is_name else "right", overflow="fold")
    for result in results:
        table.add_row(*map(Text, strategy_row(result)))
    console.print()
    full_width(console).print(table)
    console.print()
    for result in results:
        print_line(console, strategy_advice(result))
    head_lr = sweep.baseline["head_lr"]
    if head_lr is not None:
        ratio = format_number(head_lr / sweep.baseline["lr"])
        note = f"head_lr rose with lr, at {ratio} times lr as in the baseline. Change both alike."
        print_line(console, note)
    console.print()


def _sweep_command(path: Path, request: RangeTestRequest) -> str:
    """Return the command that runs the new sweep file with the settings of the test."""
    return command("sweep", NAME=path.stem, **request.variables)
