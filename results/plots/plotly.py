"""Plots as plotly JSON for the page. Plotly interprets tags in texts, so every text is escaped."""

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np

from trytable.results.plots.types import Axis, Bars, Layer, Lines, Mark, Marks, Plot
from trytable.results.text.escape import script_json, tagless

_MAX_TICKS = 15


def figures_json(plots: Iterable[Plot]) -> str:
    """Return figures by plot name as JSON that is safe inside a script element.

    Numbers are packed as 64-bit floats. A layer's `meta` holds its hover texts, each with its
    number of points; the page's script repeats them for every point.
    """
    return script_json({plot.name: _figure(plot) for plot in plots})


def _figure(plot: Plot) -> dict[str, Any]:
    traces = [_trace(layer, plot) for layer in plot.layers]
    for rank, trace in enumerate(reversed(traces), start=1):
        trace["legendrank"] = rank  # the layer on top comes first in the legend
    layout = {
        "xaxis": _axis(plot.x, [x for layer in plot.layers for x in _positions(layer)]),
        "yaxis": _axis(plot.y, []),
        "showlegend": any(trace["showlegend"] for trace in traces),
        "barmode": "overlay",
    }
    return {"data": traces, "layout": layout}


def _trace(layer: Layer, plot: Plot) -> dict[str, Any]:
    shared = {
        "name": tagless(layer.name),
        "showlegend": bool(layer.name),
        "hovertemplate": _hover(layer, plot),
    }
    match layer:
        case Lines():
            return {**shared, **_lines(layer)}
        case Marks():
            return {**shared, **_marks(layer)}
        case Bars():
            return {**shared, **_bars(layer)}


def _lines(layer: Lines) -> dict[str, Any]:
    # One trace for all curves, separated by gaps: plotly is slow with many traces.
    x = [value for curve in layer.curves for value in (*curve.x, None)]
    y = [value for curve in layer.curves for value in (*curve.y, None)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _pack(x),
        "y": _pack(y),
        "opacity": layer.opacity,
        "line": {"color": layer.colour, "width": layer.width, "dash": layer.dash},
        "meta": [[tagless(curve.hover), len(curve.x) + 1] for curve in layer.curves],
        **_group(layer.group),
    }


def _marks(layer: Marks) -> dict[str, Any]:
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": _pack([mark.x for mark in layer.marks]),
        "y": _pack([mark.y for mark in layer.marks]),
        "marker": {
            "color": layer.colour,
            "symbol": layer.symbol,
            "size": layer.size,
            "line": {"color": layer.colour, "width": 2 if "open" in layer.symbol else 0},
        },
        "meta": [[tagless(mark.hover), 1] for mark in layer.marks],
        **_group(layer.group),
    }
    if any(mark.low is not None for mark in layer.marks):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_above(mark) for mark in layer.marks],
            "arrayminus": [_below(mark) for mark in layer.marks],
            "thickness": 1,
            "width": 3,
            "color": layer.colour,
        }
    return trace


def _bars(layer: Bars) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "base": _pack([bar.start for bar in layer.bars]),
        "x": _pack([bar.length for bar in layer.bars]),
        "y": _pack([bar.row for bar in layer.bars]),
        "width": 0.7,
        "textposition": "none",
        "marker": {
            "color": layer.colour,
            "line": {"width": 0},
            "pattern": {"shape": layer.hatch, "solidity": 0.35},
        },
        "meta": [[tagless(bar.hover), 1] for bar in layer.bars],
    }


def _hover(layer: Layer, plot: Plot) -> str:
    if isinstance(layer, Bars) or not plot.y.title:
        return "%{text}<extra></extra>"
    x = "" if plot.x.ticks else f"{tagless(plot.x.title)} %{{x:.6~g}}: "
    y = "%{y:.4~g}" if plot.y.whole or plot.y.scale == "log" else "%{y:.3~g}"
    return f"%{{text}}<br>{x}{tagless(plot.y.title)} {y}<extra></extra>"


def _axis(axis: Axis, positions: list[float]) -> dict[str, Any]:
    properties: dict[str, Any] = {"title": {"text": tagless(axis.title)}, "type": axis.scale}
    if axis.ticks:
        properties["tickvals"] = [position for position, _ in axis.ticks]
        properties["ticktext"] = [
            "<br>".join(map(tagless, text.split("\n"))) for _, text in axis.ticks
        ]
        first, last = axis.ticks[0][0], axis.ticks[-1][0]
        properties["range"] = [first - 0.5, last + 0.5]
    elif axis.scale == "log":
        properties |= {"dtick": 1, "exponentformat": "power"}
    elif axis.whole and positions and max(positions) <= _MAX_TICKS:
        properties["dtick"] = 1
    if axis.span:
        properties["range"] = list(axis.span)
    return properties


def _positions(layer: Layer) -> list[float]:
    match layer:
        case Lines():
            return [x for curve in layer.curves for x in curve.x]
        case Marks():
            return [mark.x for mark in layer.marks]
        case Bars():
            return [bar.start + bar.length for bar in layer.bars]


def _group(name: str) -> dict[str, str]:
    return {"legendgroup": tagless(name)} if name else {}


def _above(mark: Mark) -> float:
    return 0.0 if mark.high is None else max(0.0, mark.high - mark.y)


def _below(mark: Mark) -> float:
    return 0.0 if mark.low is None else max(0.0, mark.y - mark.low)


def _pack(values: Iterable[float | None]) -> dict[str, str]:
    numbers = np.array([np.nan if value is None else value for value in values], dtype="<f8")
    return {"dtype": "f8", "bdata": base64.b64encode(numbers.tobytes()).decode()}
