"""A learning-rate range test as a page, a picture and files of numbers."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plotly.io import to_html  # type: ignore[import-untyped]  # it ships no types

from trytable.files import write_atomic
from trytable.results.analysis.lr_range import RangeCurve, RateRange, StrategyResult
from trytable.results.plots.matplotlib import safe_label
from trytable.results.plots.types import COLOURS
from trytable.results.text.escape import tagless
from trytable.results.text.format import clean, format_number, one_line

HEADINGS = ("freeze", "steepest", "min to max", "valley", "min to max", "seeds", "search lr in")
"""Steepest and valley are geometric medians over seeds; `seeds` says in how many the loss fell."""

_AGREE = 2.0
"""Suggestions within such a factor are one: learning rates are searched in steps no finer."""


def format_rate(lr: float) -> str:
    """A learning rate in two digits: the test knows no more."""
    return format_number(float(f"{lr:.2g}"))


def freeze_name(one: StrategyResult) -> str:
    """A freeze strategy on one line; patterns come from outside."""
    return one_line(clean(one.freeze))


def strategy_row(one: StrategyResult) -> tuple[str, ...]:
    """A strategy's row under HEADINGS."""
    fell = 0 if one.valley is None else one.valley.seeds
    return (
        freeze_name(one),
        *_spread(one.steepest),
        *_spread(one.valley),
        f"{fell} of {len(one.curves)}",
        _between(*one.bounds) if one.bounds else "",
    )


def _spread(spread: RateRange | None) -> tuple[str, str]:
    if spread is None:
        return "none", ""
    ends = _between(spread.low, spread.high) if spread.seeds > 1 else ""
    return format_rate(spread.median), ends


def _between(low: float, high: float) -> str:
    return f"{format_rate(low)} to {format_rate(high)}"


def strategy_advice(one: StrategyResult) -> str:
    """What to take, and how far to trust it."""
    tested = len(one.curves)
    if one.valley is None or one.bounds is None:
        return (
            f"freeze {freeze_name(one)}: the loss falls in none of {tested} seeds, so no rate can "
            "be suggested. Raise STEPS or LR_TO, or look at the sweep with make diagnose."
        )
    take = f"begin with lr {format_rate(one.valley.median)}, or search {_between(*one.bounds)}"
    return f"freeze {freeze_name(one)}: {take}; {_trust(one.valley, tested)}."


def _trust(valley: RateRange, tested: int) -> str:
    if tested == 1:
        return "one curve decides nothing, so raise SEEDS"
    if valley.seeds < tested:
        return f"the loss fell in {valley.seeds} of {tested} seeds only, so trust it little"
    apart = valley.high / valley.low
    if apart > _AGREE:
        far = f"the valleys of {tested} seeds lie a factor of {apart:.1f} apart"
        return f"{far}, so search rather than take one"
    return f"the valleys of {tested} seeds agree within a factor of {apart:.1f}"


_TEMPLATES = Path(__file__).parent / "templates"
_DASHES = {"steepest": "dash", "valley": "dot"}


def write_lr_range(
    name: str, found: tuple[StrategyResult, ...], asked: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write lr_range.html, .png, .json and .csv, each whole; returns their paths.

    The csv has a line for every step; the json holds what was `asked` beside all of it. Raises
    OSError.
    """
    contents = {
        "lr_range.html": _page(name, found).encode(),
        "lr_range.png": _png(found),
        "lr_range.json": json.dumps({**asked, "strategies": _numbers(found)}, indent=1).encode(),
        "lr_range.csv": _points(found).encode(),
    }
    for file, content in contents.items():
        write_atomic(folder / file, content)
    return [folder / file for file in contents]


def _numbers(found: tuple[StrategyResult, ...]) -> list[dict[str, Any]]:
    return [{**asdict(one), "bounds": one.bounds} for one in found]


def _points(found: tuple[StrategyResult, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("freeze", "seed", "step", "lr", "loss", "smoothed"))
    for curve in (curve for one in found for curve in one.curves):
        points = zip(curve.lr, curve.loss, curve.smoothed, strict=True)
        for step, point in enumerate(points, start=1):
            writer.writerow((curve.freeze, curve.seed, step, *point))
    return text.getvalue()


def _page(name: str, found: tuple[StrategyResult, ...]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    drawn = to_html(
        _figure(found), full_html=False, include_plotlyjs=True, config={"responsive": True}
    )
    return environment.get_template("lr_range.html").render(
        name=name,
        headings=HEADINGS,
        rows=[strategy_row(one) for one in found],
        sentences=[strategy_advice(one) for one in found],
        seeds=max(len(one.curves) for one in found),
        figure=Markup(drawn),  # noqa: S704  plotly escapes <, > and / in its JSON
    )


def _figure(found: tuple[StrategyResult, ...]) -> go.Figure:
    figure, heights = go.Figure(), _loss_range(found)
    for index, one in enumerate(found):
        colour = COLOURS[index % len(COLOURS)]
        for number, curve in enumerate(one.curves):
            figure.add_trace(_line(curve, colour, is_first=number == 0))
        for kind, dash in _DASHES.items():
            spread: RateRange | None = getattr(one, kind)
            if spread is not None:
                figure.add_trace(
                    _mark(one.freeze, kind, spread, heights, {"color": colour, "dash": dash})
                )
        if one.valley is not None:
            low, high = one.valley.low, one.valley.high
            figure.add_vrect(low, high, fillcolor=colour, opacity=0.1, line_width=0)
    figure.update_layout(
        template="plotly_white",
        height=460,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
    )
    figure.update_xaxes(type="log", title_text="learning rate", exponentformat="power", dtick=1)
    figure.update_yaxes(title_text="smoothed loss (nats)", range=heights)
    return figure


def _line(curve: RangeCurve, colour: str, *, is_first: bool) -> go.Scatter:
    return go.Scatter(
        x=curve.lr,
        y=curve.smoothed,
        mode="lines",
        line={"color": colour, "width": 2},
        opacity=1 if is_first else 0.55,
        name=tagless(f"freeze {curve.freeze}"),
        legendgroup=tagless(curve.freeze),
        showlegend=is_first,
        text=[f"seed {curve.seed}"] * len(curve.lr),
        hovertemplate="%{text}<br>lr %{x:.2e}: loss %{y:.3f}<extra></extra>",
    )


def _mark(
    freeze: str, kind: str, spread: RateRange, heights: tuple[float, float], line: dict[str, Any]
) -> go.Scatter:
    """A line of its own, not a shape: shapes have no place in the legend."""
    return go.Scatter(
        x=[spread.median] * 2,
        y=heights,
        mode="lines",
        line={**line, "width": 1.5},
        name=f"{kind} {format_rate(spread.median)}",
        legendgroup=tagless(freeze),
        hoverinfo="name",
    )


def _loss_range(found: tuple[StrategyResult, ...]) -> tuple[float, float]:
    """From below the least to somewhat above the first: the end would flatten all that matters."""
    curves = [curve for one in found for curve in one.curves if curve.smoothed]
    least = min(min(curve.smoothed) for curve in curves)
    first = max(curve.smoothed[0] for curve in curves)
    margin = max(first - least, 0.1)
    return least - 0.1 * margin, first + 0.6 * margin


def _png(found: tuple[StrategyResult, ...]) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        _draw(figure.subplots(), found)
        figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    return content.getvalue()


def _draw(axes: Axes, found: tuple[StrategyResult, ...]) -> None:
    styles: dict[str, Any] = {"steepest": "--", "valley": ":"}
    for index, one in enumerate(found):
        colour = COLOURS[index % len(COLOURS)]
        for number, curve in enumerate(one.curves):
            label = safe_label(f"freeze {one.freeze}") if number == 0 else None
            shade = 1.0 if number == 0 else 0.5
            axes.plot(curve.lr, curve.smoothed, color=colour, lw=1.6, alpha=shade, label=label)
        for kind, style in styles.items():
            spread: RateRange | None = getattr(one, kind)
            if spread is not None:
                name = f"{kind} {format_rate(spread.median)}"
                axes.axvline(spread.median, color=colour, ls=style, lw=1, label=name)
        if one.valley is not None:
            axes.axvspan(one.valley.low, one.valley.high, color=colour, alpha=0.1, lw=0)
    axes.set_xscale("log")
    axes.set_ylim(*_loss_range(found))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed loss (nats)")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, framealpha=0.8)
