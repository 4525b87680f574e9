"""`make lr-range`: a learning-rate range test of a sweep's baseline, repeated over seeds."""

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from orchestrator.backends.base import Slot
from orchestrator.baseline import baseline_job
from orchestrator.errors import UserError
from orchestrator.folders import Folders
from orchestrator.new_files import shown, write_new
from orchestrator.slots import find_slots
from orchestrator.streaming import answers
from orchestrator.verbs import sweeps_folder
from results.lr_pictures import told, write_lr_range
from results.lr_range import RangeCurve, StrategyResult, strategies
from sweeps import spec
from sweeps.spec import Sweep
from trainers.protocol import TRAINERS, FinetuneSettings, RangePoint

LEAST_STEPS = 20
_GRID_POINTS = 5


@dataclass(frozen=True)
class Rise:
    """How the learning rate rises, for which freeze strategies, and over how many seeds."""

    low: float = 1e-7
    high: float = 1.0
    steps: int = 100
    seeds: int = 3
    freezes: tuple[str | int, ...] = ()


def lr_range(
    *,
    name: str,
    runs: Path,
    overrides: Mapping[str, object],
    rise: Rise,
    apply: bool,
    console: Console,
) -> None:
    """Run the test, write its page, picture and numbers, and print what it suggests.

    With `apply` the bounds go into a copy of the sweep file. Raises UserError.
    """
    path = spec.find_sweep(sweeps_folder(), name)
    sweep = spec.read_sweep(path, TRAINERS, overrides)
    _check(sweep, rise)
    freezes = rise.freezes or (sweep.baseline["freeze"],)
    (slot,) = find_slots(1)
    folders = Folders(runs.resolve(), sweep.name)
    points = _points(
        _request(sweep, folders, slot, rise, freezes), slot, len(freezes), rise, console
    )
    found = strategies(_curves(points))
    if not found:
        raise UserError(f"The loss was not finite at {rise.low:g} already. Lower LR_FROM.")
    paths = write_lr_range(sweep.name, found, folders.home / "lr_range")
    _print(found, console)
    for one in paths:
        console.print(Text(shown(one)), soft_wrap=True)
    if apply:
        _apply(path, found[0], console)


def read_freezes(text: str) -> tuple[str | int, ...]:
    """Freeze strategies from `none,half,2`. Raises UserError with what is allowed."""
    field = FinetuneSettings.model_fields["freeze"]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type] # built at run time
    found: list[str | int] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        value: str | int = int(word) if word.isascii() and word.isdigit() else word
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            raise UserError(
                f"FREEZE: {word!r} is no freeze strategy. Allowed: none, embed, half, full, a "
                "number of layers, or patterns of weights' names, separated by commas."
            ) from None
        found.append(value)
    return tuple(found)


def _check(sweep: Sweep, rise: Rise) -> None:
    wrong = []
    if sweep.trainer != "finetune":
        wrong.append(
            f"{sweep.path}: trainer {sweep.trainer} has no learning rate. Allowed: finetune."
        )
    if not 0 < rise.low < rise.high <= 100:  # noqa: PLR2004 - beyond all reason
        wrong.append(
            f"LR_FROM={rise.low:g} LR_TO={rise.high:g}: the rate must rise. Allowed: LR_FROM above "
            "0 and below LR_TO, and LR_TO at most 100."
        )
    if rise.steps < LEAST_STEPS:
        wrong.append(f"STEPS={rise.steps} shows no slope. Allowed: at least {LEAST_STEPS}.")
    if rise.seeds < 1:
        wrong.append(f"SEEDS={rise.seeds}. Allowed: at least 1.")
    if wrong:
        raise UserError("\n".join(wrong))


def _request(
    sweep: Sweep, folders: Folders, slot: Slot, rise: Rise, freezes: tuple[str | int, ...]
) -> dict[str, object]:
    job = baseline_job(sweep, folders, slot, "lr_range")
    return {
        "job": job.model_dump(mode="json"),
        "freezes": list(freezes),
        "seeds": rise.seeds,
        "low": rise.low,
        "high": rise.high,
        "steps": rise.steps,
    }


def _points(
    request: dict[str, object], slot: Slot, freezes: int, rise: Rise, console: Console
) -> Iterator[RangePoint]:
    """Every step as it comes, under a progress bar that fills as tests end."""
    asked = json.dumps(request)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("Starting", total=freezes * rise.seeds * rise.steps)
        begun = 0
        for said in answers("trainers.lr_range", asked, slot, "The range test could not be made"):
            if "point" in said:
                progress.advance(bar)
                yield RangePoint.model_validate(said["point"])
            else:
                # A test that ended early counts as whole.
                _begin(progress, bar, str(said["doing"]), begun * rise.steps)
                begun += str(said["doing"]).startswith("freeze")


def _begin(progress: Progress, bar: TaskID, doing: str, completed: int) -> None:
    progress.update(bar, description=doing, completed=completed)


def _curves(points: Iterator[RangePoint]) -> tuple[RangeCurve, ...]:
    grouped: dict[tuple[str, int], list[RangePoint]] = {}
    for point in points:
        grouped.setdefault((point.freeze, point.seed), []).append(point)
    return tuple(
        RangeCurve(
            freeze=freeze,
            seed=seed,
            lr=tuple(point.lr for point in found),
            loss=tuple(point.loss for point in found),
            smoothed=tuple(point.smoothed for point in found),
        )
        for (freeze, seed), found in grouped.items()
    )


def _print(found: tuple[StrategyResult, ...], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("freeze")
    for heading in ("steepest", "valley", "search lr in"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        bounds = " to ".join(f"{rate:.2g}" for rate in one.bounds or ())
        table.add_row(Text(one.freeze), told(one.steepest), told(one.valley), bounds)
    console.print(table)
    console.print()
    for one in found:
        console.print(Text(_advice(one)), soft_wrap=True)
    console.print()


def _advice(one: StrategyResult) -> str:
    if one.valley is None or one.bounds is None:
        return (
            f"freeze {one.freeze}: the loss never falls, so no rate can be suggested. Raise STEPS, "
            "or look at the sweep with make diagnose."
        )
    apart = one.valley.high / one.valley.low
    trust = "the seeds agree" if apart <= 2 else f"the seeds lie {apart:.1f} times apart"  # noqa: PLR2004 - a factor of two
    return f"freeze {one.freeze}: begin with lr {one.valley.median:.1g}; {trust}."


def _apply(path: Path, found: StrategyResult, console: Console) -> None:
    """Write a copy of the sweep file that searches the learning rate within the bounds."""
    if found.bounds is None:
        raise UserError("APPLY=1: the test suggests no learning rate, so no file was written.")
    yaml = YAML()
    document = yaml.load(path)
    if not isinstance(document.get("parameters"), CommentedMap):
        document["parameters"] = CommentedMap(document.get("parameters") or {})
    document["parameters"]["lr"] = _searched(document, *found.bounds)
    text = io.StringIO()
    yaml.dump(document, text)
    written = write_new(path.parent, f"{path.stem}-lr", text.getvalue())
    spec.read_sweep(written, TRAINERS)
    console.print(Text(f"{shown(written)}: make sweep NAME={written.stem} runs it"), soft_wrap=True)


def _searched(document: CommentedMap, low: float, high: float) -> CommentedMap | CommentedSeq:
    """A range for a sampler, evenly spread values for a grid; the baseline's rate is in both."""
    sampler = document.get("sampler", "grid")
    name = sampler if isinstance(sampler, str) else sampler.get("name", "grid")
    baseline = (document.get("baseline") or {}).get("lr")
    known = [baseline] if isinstance(baseline, float) else []
    low, high = (float(f"{rate:.2g}") for rate in (low, high))
    if name != "grid":
        ends = [low, high, *known]
        searched: CommentedMap | CommentedSeq = CommentedMap(
            low=min(ends), high=max(ends), log=True
        )
    else:
        ratio = math.log(high / low) / (_GRID_POINTS - 1)
        points = [float(f"{low * math.exp(ratio * i):.2g}") for i in range(_GRID_POINTS)]
        searched = CommentedSeq(sorted({*points, *known}))
    searched.fa.set_flow_style()
    return searched
