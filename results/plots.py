"""The report's interactive figures. Every text from outside is escaped: plotly reads tags."""

import html
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types

from results.importance import importances
from results.records import StudyResult
from results.series import (
    COLOURS,
    GREY,
    Curve,
    ParameterPicture,
    ParameterPoint,
    RateCurve,
    Scale,
    curves,
    parameter_pictures,
    rate_curves,
)
from results.text import clean, one_line, shown

_MOST_TICKS = 15
_LOOKS = (
    {"color": COLOURS[0], "symbol": "circle"},
    {"color": COLOURS[1], "symbol": "diamond"},
    {"color": GREY, "symbol": "x"},
)


def figures(study: StudyResult) -> dict[str, go.Figure]:
    """The figures by a fixed id, in the report's order; those without data are left out."""
    drawn = curves(study)
    found = {"plot-curves": curves_figure(drawn, study.objective_title)} if drawn else {}
    rates = rate_curves(study)
    if rates:
        found["plot-rates"] = rates_figure(rates)
    for index, picture in enumerate(parameter_pictures(study), start=1):
        found[f"plot-parameter-{index}"] = parameter_figure(picture, study.objective_title)
    shares = importances(study)
    if shares:
        found["plot-importances"] = importance_figure(shares)
    return found


def curves_figure(drawn: tuple[Curve, ...], objective: str) -> go.Figure:
    """The objective by epoch (train probe dashed); rings at best epochs, crosses at early ends."""
    figure = _figure("epoch", objective)
    named: set[str] = set()
    for curve in drawn:
        group = _group(curve)
        figure.add_trace(_dev_line(curve, group, shows_legend=group not in named))
        named.add(group)
        if curve.colour != GREY and any(value is not None for value in curve.train):
            figure.add_trace(_train_line(curve, group))
    last = max(curve.epochs[-1] for curve in drawn)
    figure.update_xaxes(dtick=1 if last <= _MOST_TICKS else None)
    return figure


def rates_figure(drawn: tuple[RateCurve, ...]) -> go.Figure:
    """The learning rate by optimizer step, as every try's optimizer really used it."""
    figure = _figure("optimizer step", "learning rate")
    for curve in drawn:
        figure.add_trace(
            go.Scatter(
                x=curve.steps,
                y=curve.rates,
                name=_safe(curve.name),
                mode="lines",
                line={"color": curve.colour, "width": 2 if curve.colour != GREY else 1},
                showlegend=curve.colour != GREY,
                text=[_safe(curve.label)] * len(curve.steps),
                hovertemplate="%{text}<br>step %{x}: lr %{y:.3g}<extra></extra>",
            )
        )
    figure.update_yaxes(exponentformat="power", rangemode="tozero")
    return figure


def parameter_figure(picture: ParameterPicture, objective: str) -> go.Figure:
    """The parameter against the objective's best; of a try that ended early, the best so far."""
    figure = _figure(_safe(picture.name), f"best {objective}")
    for (name, chosen), look in zip(picture.groups.items(), _LOOKS, strict=True):
        if chosen:
            figure.add_trace(_scatter(chosen, picture.scale, name, look))
    _set_scale(figure, picture)
    return figure


def importance_figure(shares: Mapping[str, float]) -> go.Figure:
    """Bars, the largest on top."""
    figure = _figure("share of the importance", "")
    names = list(shares)[::-1]
    figure.add_trace(
        go.Bar(
            x=[shares[name] for name in names],
            y=[_safe(name) for name in names],
            orientation="h",
            marker={"color": COLOURS[0]},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    figure.update_yaxes(type="category")
    figure.update_layout(showlegend=False)
    return figure


def _figure(x_title: str, y_title: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        margin={"l": 55, "r": 15, "t": 15, "b": 45},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title_text=x_title, zeroline=False, automargin=True)
    figure.update_yaxes(title_text=y_title, zeroline=False, automargin=True)
    return figure


def _group(curve: Curve) -> str:
    if curve.colour != GREY:
        return _safe(curve.name)
    return "other completed tries" if curve.completed else "not completed"


def _dev_line(curve: Curve, group: str, *, shows_legend: bool) -> go.Scatter:
    told = _safe(f"{curve.label} {curve.values}")
    best = [epoch == curve.best_epoch for epoch in curve.epochs]
    end = [not curve.completed and epoch == curve.epochs[-1] for epoch in curve.epochs]
    marked = [
        "x" if ended else "circle-open" if is_best and curve.colour != GREY else "circle"
        for is_best, ended in zip(best, end, strict=True)
    ]
    sizes = [{"x": 7, "circle-open": 13}.get(symbol, 4) for symbol in marked]
    edges = [2 if symbol == "circle-open" else 0 for symbol in marked]
    return go.Scatter(
        x=curve.epochs,
        y=curve.value,
        name=group,
        legendgroup=group,
        showlegend=shows_legend,
        mode="lines+markers",
        line={"color": curve.colour, "width": 2 if curve.colour != GREY else 1},
        marker={
            "symbol": marked,
            "size": sizes,
            "color": curve.colour,
            "line": {"width": edges, "color": curve.colour},
            "opacity": 1,
        },
        opacity=1 if curve.colour != GREY else 0.7,
        text=[told] * len(curve.epochs),
        hovertemplate="%{text}<br>epoch %{x}: dev %{y:.3f}<extra></extra>",
    )


def _train_line(curve: Curve, group: str) -> go.Scatter:
    return go.Scatter(
        x=curve.epochs,
        y=curve.train,
        name=f"{group}, train",
        legendgroup=group,
        showlegend=False,
        mode="lines",
        line={"color": curve.colour, "width": 1.5, "dash": "dash"},
        text=[curve.label] * len(curve.epochs),
        hovertemplate="%{text}<br>epoch %{x}: train %{y:.3f}<extra></extra>",
    )


def _scatter(
    chosen: tuple[ParameterPoint, ...], scale: Scale, name: str, look: dict[str, str]
) -> go.Scatter:
    texts = [_safe(shown(one.value, "parameter")) for one in chosen]
    return go.Scatter(
        x=texts if scale == "category" else [one.value for one in chosen],
        y=[one.best for one in chosen],
        name=name,
        mode="markers",
        marker={"size": 9, **look},
        text=[f"{one.label}: {text}" for one, text in zip(chosen, texts, strict=True)],
        hovertemplate="%{text}<br>%{y:.3f}<extra></extra>",
    )


def _set_scale(figure: go.Figure, picture: ParameterPicture) -> None:
    arguments: dict[str, Any] = {"type": picture.scale}
    if picture.scale == "category":
        arguments["categoryorder"] = "array"
        arguments["categoryarray"] = [_safe(text) for text in picture.categories]
    elif picture.scale == "log":
        arguments["dtick"] = 1
        arguments["exponentformat"] = "power"
    figure.update_xaxes(**arguments)


def _safe(text: str) -> str:
    return html.escape(one_line(clean(text)), quote=False)
