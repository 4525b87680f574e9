"""Plots as files for papers, drawn by matplotlib: PNG for the screen, SVG for print."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator

from trytable.files import write_atomic
from trytable.results.plots.types import Axis, Bars, Layer, Lines, Marks, Plot
from trytable.results.text.format import clean, one_line

FORMATS = ("png", "svg")
_INCHES, _TALL_INCHES = (5.2, 3.2), (5.2, 3.8)
_DPI = 160
_LONGEST_NAME = 40
_MAX_VECTOR_POINTS = 2000
"""A layer with more points is a bitmap even in an SVG file."""
_SYMBOLS = {
    "circle": "o",
    "circle-open": "o",
    "diamond": "D",
    "x": "x",
    "square": "s",
    "triangle-down": "v",
}
_DASHES = {"solid": "-", "dash": "--", "dot": ":"}
_HATCHES = {"": "", "/": "///", "x": "xxx", ".": "..."}
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
)
"""The font that comes with matplotlib, then fonts with Chinese characters, if installed."""
_SETTINGS: Any = {
    "font.size": 9,
    "svg.hashsalt": "trytable",
    "hatch.linewidth": 0.5,
}


def write_plots(plots: Iterable[Plot], folder: Path) -> list[Path]:
    """Write NAME.png and NAME.svg for each plot, each file atomically, and return the paths.

    Files of plots that are no longer drawn stay as they are. Raises OSError.
    """
    paths = []
    installed = set(fontManager.get_font_names())
    fonts = [name for name in _FONTS if name in installed]
    with mpl.rc_context({**_SETTINGS, "font.sans-serif": fonts}), warnings.catch_warnings():
        # A character that no font has is drawn as a box, which needs no warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        for plot in plots:
            figure = _draw_plot(plot)
            for kind in FORMATS:
                path = folder / f"{plot.name}.{kind}"
                write_atomic(path, _render(figure, kind))
                figure.set_layout_engine("none")  # the layout is computed once for both formats
                paths.append(path)
    return paths


def _render(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(content, format=kind, dpi=_DPI, metadata=metadata)
    return content.getvalue()


def _draw_plot(plot: Plot) -> Figure:
    figure = Figure(figsize=_TALL_INCHES if plot.tall else _INCHES, layout="constrained")
    axes = figure.subplots()
    for layer in plot.layers:
        _draw(axes, layer)
    axes.autoscale_view()
    _finish(axes, plot)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        figure.legend(loc="outside upper left", ncols=4, fontsize=7, frameon=False)
    return figure


def _draw(axes: Axes, layer: Layer) -> None:
    label = safe_label(layer.name)[:_LONGEST_NAME] if layer.name else None
    match layer:
        case Lines():
            _draw_lines(axes, layer, label)
        case Marks():
            _draw_marks(axes, layer, label)
        case Bars():
            _draw_bars(axes, layer, label)


def _draw_bars(axes: Axes, layer: Bars, label: str | None) -> None:
    half = 0.35
    corners = [
        [
            (bar.start, bar.row - half),
            (bar.start + bar.length, bar.row - half),
            (bar.start + bar.length, bar.row + half),
            (bar.start, bar.row + half),
        ]
        for bar in layer.bars
    ]
    bars = PolyCollection(
        corners,
        facecolors=layer.colour,
        edgecolors="white",
        linewidths=0,
        hatch=_HATCHES[layer.hatch] or None,
        label=label,
        rasterized=len(layer.bars) > _MAX_VECTOR_POINTS,
    )
    axes.add_collection(bars)


def _draw_lines(axes: Axes, layer: Lines, label: str | None) -> None:
    lines = LineCollection(
        [list(zip(curve.x, _numbers(curve.y), strict=True)) for curve in layer.curves],
        colors=layer.colour,
        linewidths=layer.width * 0.75,
        linestyles=_DASHES[layer.dash],
        alpha=layer.opacity,
        label=label,
        rasterized=sum(len(curve.x) for curve in layer.curves) > _MAX_VECTOR_POINTS,
    )
    axes.add_collection(lines)


def _draw_marks(axes: Axes, layer: Marks, label: str | None) -> None:
    x, y = [mark.x for mark in layer.marks], [mark.y for mark in layer.marks]
    is_open, is_cross = "open" in layer.symbol, layer.symbol == "x"
    look: dict[str, Any] = {"color": layer.colour}
    if is_open:
        look = {"facecolors": "none", "edgecolors": layer.colour}
    axes.scatter(
        x,
        y,
        s=(layer.size * 0.6) ** 2,
        marker=_SYMBOLS[layer.symbol],
        linewidths=1 if is_open or is_cross else 0,
        label=label,
        zorder=3,
        rasterized=len(x) > _MAX_VECTOR_POINTS,
        **look,
    )
    within = [mark for mark in layer.marks if mark.low is not None and mark.high is not None]
    if within:
        axes.vlines(
            [mark.x for mark in within],
            [mark.low or 0.0 for mark in within],
            [mark.high or 0.0 for mark in within],
            colors=layer.colour,
            linewidths=0.8,
        )


def _finish(axes: Axes, plot: Plot) -> None:
    _finish_axis(axes.xaxis, plot.x, axes.set_xlabel, axes.set_xscale, axes.set_xlim)
    _finish_axis(axes.yaxis, plot.y, axes.set_ylabel, axes.set_yscale, axes.set_ylim)
    axes.grid(visible=True, alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _finish_axis(target: Any, axis: Axis, label: Any, scale: Any, limits: Any) -> None:
    label(safe_label(axis.title))
    scale(axis.scale)
    if axis.ticks:
        texts = ["\n".join(map(safe_label, text.split("\n"))) for _, text in axis.ticks]
        target.set_ticks([position for position, _ in axis.ticks], texts)
    elif axis.whole:
        target.set_major_locator(MaxNLocator(integer=True))
    if axis.span:
        limits(*axis.span)


def _numbers(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def safe_label(text: str) -> str:
    """Return a user's text as a one-line label in which a dollar sign starts no formula."""
    return one_line(clean(text)).replace("$", r"\$")
