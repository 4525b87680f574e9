"""A still picture of the curves and parameters, for a page that cannot hold the report."""

import io
import warnings
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results.files import write_whole
from results.records import StudyResult
from results.series import COLOURS, GREY, Curve, ParameterPicture, curves, parameter_pictures
from results.text import Cell, clean, one_line, shown

_MOST_PARAMETERS = 2
_LONGEST_NAME = 40
_LOOKS = (("o", COLOURS[0]), ("D", COLOURS[1]), ("x", GREY))
_PANEL_INCHES = (4.2, 3.2)


def write_pictures(study: StudyResult, folder: Path) -> list[Path]:
    """Write curves.png whole or not at all; returns its path, or nothing where no epoch was run.

    Raises OSError.
    """
    drawn = curves(study)
    if not drawn:
        return []
    path = folder / "curves.png"
    pictures = parameter_pictures(study)[:_MOST_PARAMETERS]
    write_whole(path, _png(drawn, pictures, study.objective_title))
    return [path]


def _png(drawn: tuple[Curve, ...], pictures: tuple[ParameterPicture, ...], objective: str) -> bytes:
    content = io.BytesIO()
    panels = 1 + len(pictures)
    width, height = _PANEL_INCHES
    with mpl.rc_context({"font.size": 9}), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to stop or to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width * panels, height), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        _draw_curves(axes[0], drawn, objective)
        for axis, picture in zip(axes[1:], pictures, strict=True):
            _draw_parameter(axis, picture, objective)
        figure.savefig(content, format="png", dpi=120, metadata={"Software": None})
    return content.getvalue()


def _draw_curves(axes: Axes, drawn: tuple[Curve, ...], objective: str) -> None:
    for curve in reversed(drawn):
        is_grey = curve.colour == GREY
        label = None if is_grey else safe_label(curve.name)
        axes.plot(
            curve.epochs,
            _numbers(curve.value),
            color=curve.colour,
            lw=0.7 if is_grey else 1.8,
            alpha=0.6 if is_grey else 1,
            label=label,
        )
        if not is_grey:
            axes.plot(curve.epochs, _numbers(curve.train), color=curve.colour, lw=1, ls="--")
    _finish(axes, "epoch", f"{objective} (dashed: train accuracy)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[::-1], labels[::-1], fontsize=7, framealpha=0.7)


def _draw_parameter(axes: Axes, picture: ParameterPicture, objective: str) -> None:
    for (name, chosen), (marker, colour) in zip(picture.groups.items(), _LOOKS, strict=True):
        places = [_place(one.value, picture) for one in chosen]
        accuracies = [one.best for one in chosen]
        if chosen:
            axes.scatter(places, accuracies, marker=marker, color=colour, label=name, s=25)
    if picture.scale == "category":
        labels = [safe_label(text) for text in picture.categories]
        axes.set_xticks(range(len(labels)), labels)
    else:
        axes.set_xscale(picture.scale)
    _finish(axes, safe_label(picture.name), f"best {objective}")
    axes.legend(fontsize=7, framealpha=0.7)


def _place(cell: Cell, picture: ParameterPicture) -> float:
    if picture.scale != "category" and isinstance(cell, int | float):
        return cell
    return picture.categories.index(shown(cell, "parameter"))


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _numbers(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def safe_label(text: str) -> str:
    """A name from outside for a picture: short, and a dollar sign in it starts no formula."""
    return one_line(clean(text))[:_LONGEST_NAME].replace("$", r"\$")
