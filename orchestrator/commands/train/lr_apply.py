"""Writes the bounds that a range test found into a copy of the sweep file, comments included."""

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
from trytable.results.report.lr_range import format_rate, freeze_name
from trytable.results.text.format import format_number
from trytable.spelling import flag, label
from trytable.sweeps.config.schema import Sweep

_GRID_POINTS = 5
_UNLIMITED_WIDTH = 2**20
"""A line width that ruamel never folds at."""


def apply_problems(sweep: Sweep, tested: Sequence[str | int]) -> list[str]:
    """Return why bounds cannot be written for a sweep, as known before the first step.

    `tested` are the freeze strategies of the range test.
    """
    problems = []
    trained = _trained_freezes(sweep)
    if not {str(freeze) for freeze in tested} & set(trained):
        problems.append(
            f"{flag('APPLY')}: the sweep trains with freeze {', '.join(trained)}, which "
            f"{label('FREEZE')} does not name. The bounds of other strategies do not apply to it."
        )
    head_lr = sweep.baseline["head_lr"]
    if head_lr is not None or "head_lr" in sweep.parameters:
        ratio = (
            "" if head_lr is None else f" (here {format_number(head_lr / sweep.baseline['lr'])})"
        )
        problems.append(
            f"{flag('APPLY')}: head_lr would stay fixed while lr is searched, but the test moves "
            f"both. Use head_lr_multiplier instead{ratio}."
        )
    return problems


def _trained_freezes(sweep: Sweep) -> tuple[str, ...]:
    """Return the freeze strategies that the sweep's own trials are trained with."""
    swept = sweep.parameters.get("freeze")
    values = swept.values if swept else (sweep.baseline["freeze"],)
    return tuple(str(value) for value in values)


def write_bounds(
    sweep: Sweep, results: Sequence[StrategyResult], overrides: Mapping[str, object]
) -> Path:
    """Write the copy of the sweep file under a new name beside it and return its path.

    The copy is valid with the `overrides` that the test was run with. Raises UserError if no
    strategy that the sweep trains with has suggested a rate.
    """
    trained = _trained_freezes(sweep)
    bounds = {
        result.freeze: result.bounds
        for result in results
        if result.freeze in trained and result.bounds
    }
    if not bounds:
        raise UserError(
            f"{flag('APPLY')}: the test suggests no learning rate, so no file was written."
        )
    low = min(low for low, _ in bounds.values())
    high = max(high for _, high in bounds.values())
    path = Path(sweep.path)
    text = path.read_text(encoding="utf-8-sig")
    values, outside = _search_values(sweep, float(format_rate(low)), float(format_rate(high)))
    names = ", ".join(freeze_name(result) for result in results if result.freeze in bounds)
    ends = f"{format_rate(low)} to {format_rate(high)}"
    comment = f"# lr: from a range test of {path.name}, freeze {names}: {ends}"
    if outside:
        rates = ", ".join(map(format_number, outside))
        comment += f", extended to {rates} for the baseline and enqueued tries"
    return write_sweep(
        path.parent, f"{path.stem}-lr", f"{comment}\n{with_lr(text, values)}", overrides
    )


def _search_values(sweep: Sweep, low: float, high: float) -> tuple[str, list[float]]:
    """Return the values of lr to search, as YAML, and the rates among them outside the bounds.

    A sampler gets a range, a grid evenly spread values. Both include the rates of the baseline
    and of the enqueued trials: a sweep file whose baseline is outside its own range is refused.
    """
    baseline = float(sweep.baseline["lr"])
    required = {baseline, *(float(point["lr"]) for point in sweep.enqueue if "lr" in point)}
    outside = sorted(lr for lr in required if not low <= lr <= high)
    if sweep.sampler.name != "grid":
        ends = [low, high, *required]
        return f"{{low: {_exact(min(ends))}, high: {_exact(max(ends))}, log: true}}", outside
    step = math.log(high / low) / (_GRID_POINTS - 1)
    points = {float(format_rate(low * math.exp(step * i))) for i in range(_GRID_POINTS)}
    return f"[{', '.join(_exact(lr) for lr in sorted(points | required))}]", outside


def _exact(number: float) -> str:
    """Return the short form if it is the same number, else every digit."""
    text = format_number(number)
    return text if float(text) == number else repr(number)


def with_lr(text: str, values: str) -> str:
    """Return a sweep file's text with `parameters.lr` set to `values` (YAML); the rest stays."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _UNLIMITED_WIDTH
    document, indent, offset = load_yaml_guess_indent(text, yaml=yaml)
    parameters = document.get("parameters")
    if not isinstance(parameters, CommentedMap):  # all parameters came from SET
        document["parameters"] = parameters = CommentedMap()
    elif not parameters.fa.flow_style():
        yaml.indent(mapping=parameters.lc.col)
    if offset is not None:
        yaml.indent(sequence=indent, offset=offset)
    comment = _trailing_comment(parameters, "lr") if "lr" in parameters else None
    parameters["lr"] = YAML().load(values)
    if comment is not None and "lr" not in parameters.ca.items:
        # ruamel keeps the comment beside the last old rate and the lines below it in one token:
        # the first is about a value that is gone, the others are about what follows.
        _, newline, below = comment.value.partition("\n")
        comment.value = newline + below
        parameters.ca.items["lr"] = [None, None, comment, None]
    output = io.StringIO()
    yaml.dump(document, output)
    return output.getvalue()


def _trailing_comment(holder: CommentedMap | CommentedSeq, key: Any) -> CommentToken | None:
    """Return the comment after a value, which ruamel attaches to the innermost last value."""
    entry = holder.ca.items.get(key)
    comment = (entry or [])[0 if isinstance(holder, CommentedSeq) else 2 :][:1]
    if comment and isinstance(comment[0], CommentToken):
        return comment[0]
    value = holder[key]
    if isinstance(value, CommentedMap) and value:
        return _trailing_comment(value, list(value)[-1])
    if isinstance(value, CommentedSeq) and value:
        return _trailing_comment(value, len(value) - 1)
    return None
