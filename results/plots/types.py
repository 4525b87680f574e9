"""The records of a plot, for plotly and matplotlib alike: axes and layers of lines, marks and bars.

Texts are plain; the module that draws them escapes them. Categories are at 0, 1, ... with named
ticks.
"""

from dataclasses import dataclass
from typing import Literal

COLOURS = ("#3b82d6", "#c2650a", "#148a5c", "#8b6ce0", "#d6558f", "#0c8a9b")
"""Distinct colours, each with a contrast of at least 3 on white and on near-black."""
GREY = "#858b94"

Symbol = Literal["circle", "circle-open", "diamond", "x", "square", "triangle-down"]
Dash = Literal["solid", "dash", "dot"]
Hatch = Literal["", "/", "x", "."]


@dataclass(frozen=True)
class Axis:
    """An axis.

    `ticks` are positions with their names, `whole` restricts ticks to whole numbers, and `span`
    fixes the ends, which otherwise follow the data.
    """

    title: str
    scale: Literal["linear", "log"] = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    whole: bool = False
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Curve:
    """One line with its hover text; None in `y` breaks the line."""

    hover: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Lines:
    """Lines of one style; without a name they have no entry in the legend.

    The legend entry of the same name shows and hides a `group`.
    """

    name: str
    curves: tuple[Curve, ...]
    colour: str
    width: float = 1.0
    dash: Dash = "solid"
    opacity: float = 1.0
    group: str = ""


@dataclass(frozen=True)
class Mark:
    """A point, with the ends of its interval if it has one."""

    hover: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Marks:
    """Points of one style; without a name they have no entry in the legend."""

    name: str
    marks: tuple[Mark, ...]
    colour: str
    symbol: Symbol = "circle"
    size: float = 8.0
    group: str = ""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar at height `row`, from `start`, of this length."""

    hover: str
    row: float
    start: float
    length: float


@dataclass(frozen=True)
class Bars:
    """Bars of one style; a hatch distinguishes them without colour."""

    name: str
    bars: tuple[Bar, ...]
    colour: str
    hatch: Hatch = ""


Layer = Lines | Marks | Bars


@dataclass(frozen=True)
class Plot:
    """A plot; `name` names its file and its element in the page; `tall` asks for more height."""

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    tall: bool = False
