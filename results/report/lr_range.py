"""The results of a learning-rate range test as sentences, a page, a plot and files of numbers."""

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
"""Steepest and valley are geometric medians over seeds; `seeds` counts those whose loss fell."""

_MAX_AGREEMENT = 2.0
"""Rates within this factor count as equal: nobody searches learning rates in finer steps."""

_TEMPLATES = Path(__file__).parent / "templates"
_DASHES = {"steepest": "dash", "valley": "dot"}
_LINE_STYLES = {"steepest": "--", "valley": ":"}


def format_rate(lr: float) -> str:
    """Format a learning rate with two digits, the precision of the test."""
    return format_number(float(f"{lr:.2g}"))


def freeze_name(result: StrategyResult) -> str:
    """Return a freeze strategy on one line, because its patterns come from the user."""
    return one_line(clean(result.freeze))


def strategy_row(result: StrategyResult) -> tuple[str, ...]:
    """Return a strategy's row of the table with HEADINGS."""
    falling = 0 if result.valley is None else result.valley.seeds
    return (
        freeze_name(result),
        *_spread(result.steepest),
        *_spread(result.valley),
        f"{falling} of {len(result.curves)}",
        _between(*result.bounds) if result.bounds else "",
    )


def _spread(spread: RateRange | None) -> tuple[str, str]:
    if spread is None:
        return "none", ""
    ends = _between(spread.low, spread.high) if spread.seeds > 1 else ""
    return format_rate(spread.median), ends


def _between(low: float, high: float) -> str:
    return f"{format_rate(low)} to {format_rate(high)}"


def strategy_advice(result: StrategyResult) -> str:
    """Return a sentence on which learning rate to use and how reliable it is."""
    tested = len(result.curves)
    if result.valley is None or result.bounds is None:
        return (
            f"freeze {freeze_name(result)}: the loss fell in none of {tested} seeds, so no rate "
            "can be suggested. Raise STEPS or LR_TO, or check the sweep with make diagnose."
        )
    rates = (
        f"start with lr {format_rate(result.valley.median)}, or search {_between(*result.bounds)}"
    )
    return f"freeze {freeze_name(result)}: {rates}; {_reliability(result.valley, tested)}."


def _reliability(valley: RateRange, tested: int) -> str:
    if tested == 1:
        return "a single curve is not reliable, so raise SEEDS"
    if valley.seeds < tested:
        return f"the loss fell in only {valley.seeds} of {tested} seeds, so this is not reliable"
    factor = valley.high / valley.low
    if factor > _MAX_AGREEMENT:
        spread = f"the valleys of {tested} seeds differ by a factor of {factor:.1f}"
        return f"{spread}, so search instead of choosing one"
    return f"the valleys of {tested} seeds agree within a factor of {factor:.1f}"


def write_lr_range(
    name: str, strategies: tuple[StrategyResult, ...], facts: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write lr_range.html, .png, .json and .csv, each atomically, and return their paths.

    The csv has a line per step; the json has the `facts` of the test and the results of every
    strategy. Raises OSError.
    """
    numbers = {**facts, "strategies": _numbers(strategies)}
    contents = {
        "lr_range.html": _page(name, strategies).encode(),
        "lr_range.png": _png(strategies),
        "lr_range.json": json.dumps(numbers, indent=1).encode(),
        "lr_range.csv": _points(strategies).encode(),
    }
    for file, content in contents.items():
        write_atomic(folder / file, content)
    return [folder / file for file in contents]


def _numbers(strategies: tuple[StrategyResult, ...]) -> list[dict[str, Any]]:
    return [{**asdict(result), "bounds": result.bounds} for result in strategies]


def _points(strategies: tuple[StrategyResult, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("freeze", "seed", "step", "lr", "loss", "smoothed"))
    for curve in (curve for result in strategies for curve in result.curves):
        points = zip(curve.lr, curve.loss, curve.smoothed, strict=True)
        for step, point in enumerate(points, start=1):
            writer.writerow((curve.freeze, curve.seed, step, *point))
    return text.getvalue()


def _page(name: str, strategies: tuple[StrategyResult, ...]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    figure = to_html(
        _figure(strategies), full_html=False, include_plotlyjs=True, config={"responsive": True}
    )
    return environment.get_template("lr_range.html").render(
        name=name,
        headings=HEADINGS,
        rows=[strategy_row(result) for result in strategies],
        sentences=[strategy_advice(result) for result in strategies],
        seeds=max(len(result.curves) for result in strategies),
        figure=Markup(figure),  # noqa: S704  plotly escapes <, > and / in its JSON
    )


def _figure(strategies: tuple[StrategyResult, ...]) -> go.Figure:
    figure, heights = go.Figure(), _loss_range(strategies)
    for index, result in enumerate(strategies):
        colour = COLOURS[index % len(COLOURS)]
        for number, curve in enumerate(result.curves):
            figure.add_trace(_line(curve, colour, is_first=number == 0))
        for kind, dash in _DASHES.items():
            spread: RateRange | None = getattr(result, kind)
            if spread is not None:
                figure.add_trace(
                    _mark(result.freeze, kind, spread, heights, {"color": colour, "dash": dash})
                )
        if result.valley is not None:
            low, high = result.valley.low, result.valley.high
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
    """Return a line, not a shape, because shapes have no legend entry."""
    return go.Scatter(
        x=[spread.median] * 2,
        y=heights,
        mode="lines",
        line={**line, "width": 1.5},
        name=f"{kind} {format_rate(spread.median)}",
        legendgroup=tagless(freeze),
        hoverinfo="name",
    )


def _loss_range(strategies: tuple[StrategyResult, ...]) -> tuple[float, float]:
    """Return an axis range that ends above the first loss: the last ones would flatten the rest."""
    curves = [curve for result in strategies for curve in result.curves if curve.smoothed]
    lowest = min(min(curve.smoothed) for curve in curves)
    first = max(curve.smoothed[0] for curve in curves)
    margin = max(first - lowest, 0.1)
    return lowest - 0.1 * margin, first + 0.6 * margin


def _png(strategies: tuple[StrategyResult, ...]) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        _draw(figure.subplots(), strategies)
        figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    return content.getvalue()


def _draw(axes: Axes, strategies: tuple[StrategyResult, ...]) -> None:
    for index, result in enumerate(strategies):
        colour = COLOURS[index % len(COLOURS)]
        for number, curve in enumerate(result.curves):
            label = safe_label(f"freeze {result.freeze}") if number == 0 else None
            shade = 1.0 if number == 0 else 0.5
            axes.plot(curve.lr, curve.smoothed, color=colour, lw=1.6, alpha=shade, label=label)
        for kind, style in _LINE_STYLES.items():
            spread: RateRange | None = getattr(result, kind)
            if spread is not None:
                name = f"{kind} {format_rate(spread.median)}"
                axes.axvline(spread.median, color=colour, ls=style, lw=1, label=name)
        if result.valley is not None:
            axes.axvspan(result.valley.low, result.valley.high, color=colour, alpha=0.1, lw=0)
    axes.set_xscale("log")
    axes.set_ylim(*_loss_range(strategies))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed loss (nats)")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, framealpha=0.8)
