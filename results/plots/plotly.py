"""Pictures as plotly's JSON for the page. Plotly reads tags in texts, so every text is escaped."""

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np

from trytable.results.plots.types import Axis, Bars, Layer, Lines, Mark, Marks, Picture
from trytable.results.text.escape import script_json, tagless

_MOST_TICKS = 15


def figures_json(pictures: Iterable[Picture]) -> str:
    """An object of figures by picture name, safe inside a script element.

    Numbers are packed as 64-bit floats. A layer's `meta` holds its hover texts with the number of
    points that each is of; the page's script spreads them over the points.
    """
    return script_json({one.name: _figure(one) for one in pictures})


def _figure(picture: Picture) -> dict[str, Any]:
    traces = [_trace(layer, picture) for layer in picture.layers]
    for rank, trace in enumerate(reversed(traces), start=1):
        trace["legendrank"] = rank  # what is drawn last, on top, is named first
    layout = {
        "xaxis": _axis(picture.x, [x for layer in picture.layers for x in _places(layer)]),
        "yaxis": _axis(picture.y, []),
        "showlegend": any(trace["showlegend"] for trace in traces),
        "barmode": "overlay",
    }
    return {"data": traces, "layout": layout}


def _trace(layer: Layer, picture: Picture) -> dict[str, Any]:
    shared = {
        "name": tagless(layer.name),
        "showlegend": bool(layer.name),
        "hovertemplate": _hover(layer, picture),
    }
    match layer:
        case Lines():
            return {**shared, **_lines(layer)}
        case Marks():
            return {**shared, **_marks(layer)}
        case Bars():
            return {**shared, **_bars(layer)}


def _lines(layer: Lines) -> dict[str, Any]:
    # One trace for all of them: a gap parts one from the next.
    x = [place for strand in layer.strands for place in (*strand.x, None)]
    y = [value for strand in layer.strands for value in (*strand.y, None)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _packed(x),
        "y": _packed(y),
        "opacity": layer.opacity,
        "line": {"color": layer.colour, "width": layer.width, "dash": layer.dash},
        "meta": [[tagless(one.told), len(one.x) + 1] for one in layer.strands],
        **_group(layer.group),
    }


def _marks(layer: Marks) -> dict[str, Any]:
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": _packed([mark.x for mark in layer.marks]),
        "y": _packed([mark.y for mark in layer.marks]),
        "marker": {
            "color": layer.colour,
            "symbol": layer.symbol,
            "size": layer.size,
            "line": {"color": layer.colour, "width": 2 if "open" in layer.symbol else 0},
        },
        "meta": [[tagless(mark.told), 1] for mark in layer.marks],
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
        "base": _packed([bar.start for bar in layer.bars]),
        "x": _packed([bar.length for bar in layer.bars]),
        "y": _packed([bar.row for bar in layer.bars]),
        "width": 0.7,
        "textposition": "none",
        "marker": {
            "color": layer.colour,
            "line": {"width": 0},
            "pattern": {"shape": layer.hatch, "solidity": 0.35},
        },
        "meta": [[tagless(bar.told), 1] for bar in layer.bars],
    }


def _hover(layer: Layer, picture: Picture) -> str:
    if isinstance(layer, Bars) or not picture.y.title:
        return "%{text}<extra></extra>"
    x = "" if picture.x.ticks else f"{tagless(picture.x.title)} %{{x:.6~g}}: "
    y = "%{y:.4~g}" if picture.y.whole or picture.y.scale == "log" else "%{y:.3~g}"
    return f"%{{text}}<br>{x}{tagless(picture.y.title)} {y}<extra></extra>"


def _axis(axis: Axis, places: list[float]) -> dict[str, Any]:
    made: dict[str, Any] = {"title": {"text": tagless(axis.title)}, "type": axis.scale}
    if axis.ticks:
        made["tickvals"] = [place for place, _ in axis.ticks]
        made["ticktext"] = ["<br>".join(map(tagless, text.split("\n"))) for _, text in axis.ticks]
        first, last = axis.ticks[0][0], axis.ticks[-1][0]
        made["range"] = [first - 0.5, last + 0.5]
    elif axis.scale == "log":
        made |= {"dtick": 1, "exponentformat": "power"}
    elif axis.whole and places and max(places) <= _MOST_TICKS:
        made["dtick"] = 1
    if axis.span:
        made["range"] = list(axis.span)
    return made


def _places(layer: Layer) -> list[float]:
    match layer:
        case Lines():
            return [x for strand in layer.strands for x in strand.x]
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


def _packed(values: Iterable[float | None]) -> dict[str, str]:
    numbers = np.array([np.nan if value is None else value for value in values], dtype="<f8")
    return {"dtype": "f8", "bdata": base64.b64encode(numbers.tobytes()).decode()}
