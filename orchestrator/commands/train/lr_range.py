"""`make lr-range`: a learning-rate range test of a sweep's baseline, repeated over seeds."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.slots import find_slots
from trytable.orchestrator.commands.sweep_files import sweeps_folder
from trytable.orchestrator.commands.terminal import wide_enough
from trytable.orchestrator.commands.train.lr_apply import why_not, write_bounds
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders, display_path
from trytable.orchestrator.run.jobs import baseline_job
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.results.analysis.lr_range import RangeCurve, StrategyResult, strategy_results
from trytable.results.report.lr_range import HEADINGS, advice, cells, rate, write_lr_range
from trytable.results.text.format import short
from trytable.sweeps.config import loader
from trytable.sweeps.config.knobs import Knobs
from trytable.sweeps.config.loader import Sweep
from trytable.sweeps.config.yaml_source import Document
from trytable.trainers.protocol.messages import TRAINERS, FinetuneSettings, Job, RangePoint

LEAST_STEPS = 20
HIGHEST = 1.0
"""The highest learning rate that a sweep takes."""

_KNOBS = Knobs("finetune", FinetuneSettings)


@dataclass(frozen=True)
class Rise:
    """How the learning rate rises, for which freeze strategies (as in `none,half,2`; none: the
    baseline's), and over how many seeds."""

    low: float = 1e-7
    high: float = HIGHEST
    steps: int = 100
    seeds: int = 3
    freezes: str = ""


@dataclass(frozen=True)
class Asked:
    """What a person asks for: a sweep's name, the folder of all studies, settings over the file's
    and how the command line had them, and whether the bounds are to be written."""

    name: str
    runs: Path
    overrides: Mapping[str, object]
    variables: Mapping[str, str]
    rise: Rise
    apply: bool


def lr_range(asked: Asked, console: Console) -> None:
    """Run the test, write its page, picture and numbers, and print what it suggests.

    With `apply` the bounds go into a copy of the sweep file. Raises UserError.
    """
    sweep = loader.read_sweep(
        loader.find_sweep(sweeps_folder(), asked.name), TRAINERS, asked.overrides
    )
    freezes = _check(sweep, asked.rise, apply=asked.apply)
    (slot,) = find_slots(1)
    folders = Folders(asked.runs.resolve(), sweep.name)
    job = baseline_job(sweep, folders, slot, "lr_range")
    curves = _curves(job, slot, asked.rise, freezes, console)
    if not any(one.lr for one in curves):
        raise UserError(f"The loss was not finite at {asked.rise.low:g} already. Lower LR_FROM.")
    found = strategy_results(curves)
    facts = {"sweep": sweep.to_json(), "rise": asdict(asked.rise)}
    paths = write_lr_range(sweep.name, found, facts, folders.home / "lr_range")
    _print(found, sweep, console)
    for one in paths:
        console.print(Text(display_path(one)), soft_wrap=True)
    if asked.apply:
        written = write_bounds(sweep, found, asked.overrides)
        console.print(
            Text(f"{display_path(written)}: {_command(written, asked)} runs it"), soft_wrap=True
        )


def _check(sweep: Sweep, rise: Rise, *, apply: bool) -> tuple[str | int, ...]:
    """The freeze strategies to test. Raises UserError with all that is wrong."""
    if sweep.trainer != "finetune":
        raise UserError(
            f"{sweep.path}: trainer {sweep.trainer} has no learning rate. Allowed: finetune."
        )
    wrong = []
    if not 0 < rise.low < rise.high <= HIGHEST:
        wrong.append(
            f"LR_FROM={rise.low:g} LR_TO={rise.high:g}: the rate must rise. Allowed: LR_FROM above "
            f"0 and below LR_TO, and LR_TO at most {HIGHEST:g}, as a sweep's lr."
        )
    if rise.steps < LEAST_STEPS:
        wrong.append(f"STEPS={rise.steps} shows no slope. Allowed: at least {LEAST_STEPS}.")
    if rise.seeds < 1:
        wrong.append(f"SEEDS={rise.seeds}. Allowed: at least 1.")
    freezes, mistakes = read_freezes(rise.freezes, sweep.baseline)
    wrong += mistakes
    if apply and not mistakes:
        wrong += why_not(sweep, freezes)
    if wrong:
        raise UserError("\n".join(wrong))
    return freezes


def read_freezes(text: str, baseline: Mapping[str, Any]) -> tuple[tuple[str | int, ...], list[str]]:
    """Freeze strategies from `none,half,2`, each once, and what is wrong with them.

    Without any it is the baseline's, which each must go together with.
    """
    document = Document("FREEZE")
    found: list[str | int] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        given = int(word) if word.isascii() and word.isdigit() else word
        value = _KNOBS.check(document, "freeze", given, ())
        if value is None:
            continue
        excluded = _KNOBS.excluded({**baseline, "freeze": value})
        if excluded is not None:
            document.complain((), f"with {word}: {excluded}.")
        found.append(value)
    mistakes = [f"FREEZE: {problem.text}" for problem in document.problems]
    return tuple(dict.fromkeys(found)) or (baseline["freeze"],), mistakes


def _curves(
    job: Job, slot: Slot, rise: Rise, freezes: tuple[str | int, ...], console: Console
) -> list[RangeCurve]:
    """Every test's curve, under a progress bar and with a line for each that has ended."""
    tests = [(str(freeze), job.seed + i) for freeze in freezes for i in range(rise.seeds)]
    points: dict[tuple[str, int], list[RangePoint]] = {test: [] for test in tests}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("Starting", total=len(tests) * rise.steps)
        ended = 0
        for said in _said(job, slot, rise, freezes):
            if isinstance(said, str):
                progress.update(bar, description=said)
                continue
            at = tests.index((said.freeze, said.seed))
            _tell(tests[ended:at], points, progress.console)
            ended = at
            points[tests[at]].append(said)
            # A test that ended early counts as whole.
            done = at * rise.steps + said.step
            progress.update(bar, description=_step(said), completed=done)
        _tell(tests[ended:], points, progress.console)
    return [_curve(test, points[test]) for test in tests]


def _said(
    job: Job, slot: Slot, rise: Rise, freezes: tuple[str | int, ...]
) -> Iterator[str | RangePoint]:
    """Every step as it comes, and words of what is under way."""
    rising = {"low": rise.low, "high": rise.high, "steps": rise.steps, "seeds": rise.seeds}
    request = {**rising, "job": job.model_dump(mode="json"), "freezes": freezes}
    failure = "The range test failed"
    with Subprocess("lr_range", RangePoint, request, failure, device=slot.device) as program:
        yield from program.messages()


def _step(point: RangePoint) -> str:
    return f"freeze {point.freeze}, seed {point.seed}: lr {point.lr:.1e}, loss {point.smoothed:.3f}"


def _tell(
    tests: list[tuple[str, int]],
    points: Mapping[tuple[str, int], list[RangePoint]],
    console: Console,
) -> None:
    """A line for each test that has ended, so that a pipe shows life, too."""
    for test in tests:
        found, name = points[test], f"freeze {test[0]}, seed {test[1]}"
        if not found:
            console.print(Text(f"{name}: the first loss was not finite"), soft_wrap=True)
            continue
        least = min(found, key=lambda one: one.smoothed)
        told = f"{name}: {found[-1].step} steps to lr {rate(found[-1].lr)}, smoothed loss "
        told += f"{found[0].smoothed:.3f}, least {least.smoothed:.3f} at lr {rate(least.lr)}"
        console.print(Text(told), soft_wrap=True)


def _curve(test: tuple[str, int], points: list[RangePoint]) -> RangeCurve:
    return RangeCurve(
        freeze=test[0],
        seed=test[1],
        lr=tuple(one.lr for one in points),
        loss=tuple(one.loss for one in points),
        smoothed=tuple(one.smoothed for one in points),
    )


def _print(found: tuple[StrategyResult, ...], sweep: Sweep, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        is_name = heading == HEADINGS[0]
        table.add_column(heading, justify="left" if is_name else "right", overflow="fold")
    for one in found:
        table.add_row(*map(Text, cells(one)))
    console.print()
    wide_enough(console).print(table)
    console.print()
    for one in found:
        console.print(Text(advice(one)), soft_wrap=True)
    head_lr = sweep.baseline["head_lr"]
    if head_lr is not None:
        times = short(head_lr / sweep.baseline["lr"])
        told = f"head_lr rose along, {times} times lr as in the baseline: change both alike."
        console.print(Text(told), soft_wrap=True)
    console.print()


def _command(written: Path, asked: Asked) -> str:
    """How the copy is run as it was tested."""
    given = {"NAME": written.stem, **asked.variables}
    return f"make sweep {' '.join(f'{name}={shlex.quote(one)}' for name, one in given.items())}"
