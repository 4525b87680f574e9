"""A learning-rate range test as a page, a picture and numbers."""

import io
import json
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

from results.files import write_whole
from results.lr_range import Spread, StrategyResult
from results.pictures.records import COLOURS
from results.text import short

_TEMPLATES = Path(__file__).parent / "templates"
_MARKS = {"steepest": "dash", "valley": "dot"}


def write_lr_range(name: str, found: tuple[StrategyResult, ...], folder: Path) -> list[Path]:
    """Write lr_range.html, lr_range.png and lr_range.json, each whole; returns their paths.

    Raises OSError.
    """
    contents = {
        "lr_range.html": _page(name, found).encode(),
        "lr_range.png": _png(found),
        "lr_range.json": json.dumps([asdict(one) for one in found], indent=1).encode(),
    }
    for file, content in contents.items():
        write_whole(folder / file, content)
    return [folder / file for file in contents]


def told(spread: Spread | None) -> str:
    """A suggestion with its spread over seeds, as `2.1e-4 (1.8e-4 to 3e-4)`."""
    if spread is None:
        return "none: the loss never falls"
    if spread.seeds == 1:
        return f"{short(_rounded(spread.median))} (one seed)"
    ends = f"{short(_rounded(spread.low))} to {short(_rounded(spread.high))}"
    return f"{short(_rounded(spread.median))} ({ends})"


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


def _page(name: str, found: tuple[StrategyResult, ...]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    drawn = to_html(
        _figure(found), full_html=False, include_plotlyjs=True, config={"responsive": True}
    )
    rows = [(one.freeze, told(one.steepest), told(one.valley), _bounds(one)) for one in found]
    return environment.get_template("lr_range.html").render(
        name=name,
        rows=rows,
        seeds=max(len(one.curves) for one in found),
        figure=Markup(drawn),  # noqa: S704  plotly escapes <, > and / in its JSON
    )


def _bounds(one: StrategyResult) -> str:
    if one.bounds is None:
        return ""
    low, high = (short(_rounded(rate)) for rate in one.bounds)
    return f"{low} to {high}"


def _figure(found: tuple[StrategyResult, ...]) -> go.Figure:
    figure = go.Figure()
    for index, one in enumerate(found):
        colour = COLOURS[index % len(COLOURS)]
        for number, curve in enumerate(one.curves):
            figure.add_trace(
                go.Scatter(
                    x=curve.lr,
                    y=curve.smoothed,
                    mode="lines",
                    line={"color": colour, "width": 2},
                    opacity=1 if number == 0 else 0.55,
                    name=f"freeze {one.freeze}",
                    legendgroup=one.freeze,
                    showlegend=number == 0,
                    text=[f"seed {curve.seed}"] * len(curve.lr),
                    hovertemplate="%{text}<br>lr %{x:.2e}: loss %{y:.3f}<extra></extra>",
                )
            )
        for kind, dash in _MARKS.items():
            spread: Spread | None = getattr(one, kind)
            if spread is not None:
                # A line of its own, not a shape: shapes have no place in the legend.
                figure.add_trace(
                    go.Scatter(
                        x=[spread.median] * 2,
                        y=_loss_range(found),
                        mode="lines",
                        line={"color": colour, "dash": dash, "width": 1.5},
                        name=f"{kind} {short(_rounded(spread.median))}",
                        legendgroup=one.freeze,
                        hoverinfo="name",
                    )
                )
    figure.update_layout(
        template="plotly_white",
        height=460,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
    )
    figure.update_xaxes(type="log", title_text="learning rate", exponentformat="power", dtick=1)
    figure.update_yaxes(title_text="smoothed loss (nats)", range=_loss_range(found))
    return figure


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
            label = f"freeze {one.freeze}" if number == 0 else None
            shade = 1.0 if number == 0 else 0.5
            axes.plot(curve.lr, curve.smoothed, color=colour, lw=1.6, alpha=shade, label=label)
        for kind, style in styles.items():
            spread: Spread | None = getattr(one, kind)
            if spread is not None:
                name = f"{kind} {short(_rounded(spread.median))}"
                axes.axvline(spread.median, color=colour, ls=style, lw=1, label=name)
                axes.axvspan(spread.low, spread.high, color=colour, alpha=0.08, lw=0)
    axes.set_xscale("log")
    axes.set_ylim(*_loss_range(found))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed loss (nats)")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, framealpha=0.8)
