"""What a picture is made of, whoever draws it: axes and layers of lines, marks and bars.

Texts are plain; whoever draws escapes them. Categories stand at 0, 1, ... with ticks of that name.
"""

from dataclasses import dataclass
from typing import Literal

COLOURS = ("#3b82d6", "#c2650a", "#148a5c", "#8b6ce0", "#d6558f", "#0c8a9b")
"""Told apart, and from the background, on white and on near-black: each has a contrast of 3."""
GREY = "#858b94"

Symbol = Literal["circle", "circle-open", "diamond", "x", "square", "triangle-down"]
Dash = Literal["solid", "dash", "dot"]
Hatch = Literal["", "/", "x", "."]


@dataclass(frozen=True)
class Axis:
    """An axis; `ticks` are places with their names, `whole` asks for whole numbers only.

    `span` are its ends, where the data should not say.
    """

    title: str
    scale: Literal["linear", "log"] = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    whole: bool = False
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Strand:
    """One line; None breaks it. `told` is its hover text."""

    told: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Lines:
    """Lines that look alike; without a name they stay out of the legend.

    A `group` is shown and hidden with the entry of that name.
    """

    name: str
    strands: tuple[Strand, ...]
    colour: str
    width: float = 1.0
    dash: Dash = "solid"
    opacity: float = 1.0
    group: str = ""


@dataclass(frozen=True)
class Mark:
    """A point, with the ends of its interval where it has one."""

    told: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Marks:
    """Points that look alike; without a name they stay out of the legend."""

    name: str
    marks: tuple[Mark, ...]
    colour: str
    symbol: Symbol = "circle"
    size: float = 8.0
    group: str = ""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar at height `row`, from `start`, of this length."""

    told: str
    row: float
    start: float
    length: float


@dataclass(frozen=True)
class Bars:
    """Bars that look alike; a hatch tells them apart where colour does not."""

    name: str
    bars: tuple[Bar, ...]
    colour: str
    hatch: Hatch = ""


Layer = Lines | Marks | Bars


@dataclass(frozen=True)
class Picture:
    """A picture; `name` is that of its file and of its place in the page, `tall` a wish."""

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    tall: bool = False
