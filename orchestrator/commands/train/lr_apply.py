"""Writes the bounds that a range test found into a copy of the sweep's file, comments and all."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tokens import CommentToken
from ruamel.yaml.util import load_yaml_guess_indent

from trytable.orchestrator.commands.sweep_files import write_sweep
from trytable.orchestrator.errors import UserError
from trytable.results.analysis.lr_range import StrategyResult
from trytable.results.report.lr_range import freeze_name, rate
from trytable.results.text.format import short
from trytable.sweeps.config.loader import Sweep

_GRID_POINTS = 5
_NEVER_FOLDED = 2**20


def own_strategies(sweep: Sweep) -> tuple[str, ...]:
    """The freeze strategies that a sweep trains with, as words."""
    swept = sweep.parameters.get("freeze")
    values = swept.points() if swept else (sweep.baseline["freeze"],)
    return tuple(str(one) for one in values)


def why_not(sweep: Sweep, tested: Sequence[str | int]) -> list[str]:
    """What keeps bounds for this sweep from being written, known before any step."""
    wrong = []
    own = own_strategies(sweep)
    if not {str(one) for one in tested} & set(own):
        wrong.append(
            f"APPLY=1: the sweep trains with freeze {', '.join(own)}, which FREEZE does not name: "
            "bounds of other strategies are not its own."
        )
    head_lr = sweep.baseline["head_lr"]
    if head_lr is not None or "head_lr" in sweep.parameters:
        times = "" if head_lr is None else f" (here {short(head_lr / sweep.baseline['lr'])})"
        wrong.append(
            "APPLY=1: head_lr would stand still while lr is searched, and the test moves both. "
            f"Allowed with it: head_lr_multiplier{times}."
        )
    return wrong


def write_bounds(
    sweep: Sweep, found: Sequence[StrategyResult], overrides: Mapping[str, object]
) -> Path:
    """Write the copy beside the file, over none; returns its path.

    It is a sweep with the `overrides` that the test was made with. Raises UserError where no
    strategy of the sweep's own suggests a rate.
    """
    own = [one for one in found if one.freeze in own_strategies(sweep)]
    bounds = [one.bounds for one in own if one.bounds]
    if not bounds:
        raise UserError("APPLY=1: the test suggests no learning rate, so no file was written.")
    low, high = min(one[0] for one in bounds), max(one[1] for one in bounds)
    names = ", ".join(freeze_name(one) for one in own if one.bounds)
    path = Path(sweep.path)
    text = path.read_text(encoding="utf-8-sig")
    why = f"# lr: from a range test of {path.name}, freeze {names}: {rate(low)} to {rate(high)}"
    searched, more = _searched(sweep, float(rate(low)), float(rate(high)))
    return write_sweep(
        path.parent, f"{path.stem}-lr", f"{why}{more}\n{with_lr(text, searched)}", overrides
    )


def _searched(sweep: Sweep, low: float, high: float) -> tuple[str, str]:
    """What to search, as YAML, and a word on why it is more than the bounds.

    A range for a sampler, evenly spread values for a grid; the rates of known tries are in both.
    """
    baseline = float(sweep.baseline["lr"])
    known = {baseline, *(float(one["lr"]) for one in sweep.enqueue if "lr" in one)}
    outside = sorted(one for one in known if not low <= one <= high)
    more = f", and {', '.join(map(short, outside))} of known tries" if outside else ""
    if sweep.sampler.name != "grid":
        ends = [low, high, *known]
        return f"{{low: {_exact(min(ends))}, high: {_exact(max(ends))}, log: true}}", more
    ratio = math.log(high / low) / (_GRID_POINTS - 1)
    points = {float(rate(low * math.exp(ratio * i))) for i in range(_GRID_POINTS)}
    return f"[{', '.join(_exact(one) for one in sorted(points | known))}]", more


def _exact(number: float) -> str:
    """Short where that is the same number."""
    text = short(number)
    return text if float(text) == number else repr(number)


def with_lr(text: str, searched: str) -> str:
    """A sweep file's text whose `parameters.lr` is `searched` (YAML); all else stays as it is."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _NEVER_FOLDED
    document, indent, offset = load_yaml_guess_indent(text, yaml=yaml)
    parameters = document.get("parameters")
    if not isinstance(parameters, CommentedMap):  # all that is swept came with SET
        document["parameters"] = parameters = CommentedMap()
    elif not parameters.fa.flow_style():
        yaml.indent(mapping=parameters.lc.col)
    if offset is not None:
        yaml.indent(sequence=indent, offset=offset)
    behind = _behind(parameters, "lr") if "lr" in parameters else None
    parameters["lr"] = YAML().load(searched)
    if behind is not None and "lr" not in parameters.ca.items:
        # What stands beside the last rate goes with it, what stands below stays.
        _, newline, below = behind.value.partition("\n")
        behind.value = newline + below
        parameters.ca.items["lr"] = [None, None, behind, None]
    written = io.StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def _behind(holder: CommentedMap | CommentedSeq, last: Any) -> CommentToken | None:
    """The comment behind a value, which ruamel keeps with the last value inside it."""
    found = holder.ca.items.get(last)
    comment = (found or [])[0 if isinstance(holder, CommentedSeq) else 2 :][:1]
    if comment and isinstance(comment[0], CommentToken):
        return comment[0]
    value = holder[last]
    if isinstance(value, CommentedMap) and value:
        return _behind(value, list(value)[-1])
    if isinstance(value, CommentedSeq) and value:
        return _behind(value, len(value) - 1)
    return None
