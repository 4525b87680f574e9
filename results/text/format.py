"""How a cell reads where it must be text: numbers rounded alike everywhere, strings harmless."""

import re
from collections.abc import Callable
from typing import Literal

from trytable.records import is_finite

Cell = bool | int | float | str | None
"""A typed cell; None is what never came."""

CellKind = Literal[
    "try",
    "parameter",
    "count",
    "accuracy",
    "difference",
    "p",
    "stars",
    "share",
    "seconds",
    "findings",
    "text",
    "state",
]
"""What a column holds, and with it how its numbers are rounded."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SMALL, _LARGE = 1e-3, 1000
_SHOWN_TENTHS_BELOW = 100
_MOST_STARS = 5


def clean(text: str) -> str:
    """The text with one kind of line end, and a question for each sign that XML cannot carry."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", lines)


def one_line(text: str) -> str:
    """The text with every run of white space, newlines too, as one space."""
    return " ".join(text.split())


def as_cell(value: object) -> Cell:
    """A parameter's value as a cell: what is no number, word or truth value becomes its text."""
    if not is_finite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(value if isinstance(value, str) else repr(value))


def format_value(cell: Cell, kind: CellKind) -> str:
    """The cell as text: accuracies to 3 decimals, small parameters as 2e-4; None is empty.

    Strings come back as they are: each format escapes them its own way.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return cell
    return _NUMBERS.get(kind, format_number)(cell)


def format_number(number: float) -> str:
    """At most four significant digits below 1000, six above; 2e-4 for 0.0002 and for 2e-04."""
    if isinstance(number, int):
        return str(number)
    text = f"{number:.4g}" if abs(number) < _LARGE else f"{number:g}"
    if 0 < abs(number) < _SMALL and "e" not in text:
        mantissa, exponent = f"{number:.3e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    return re.sub(r"e([+-])0*(\d)", _exponent, text)


def _exponent(found: re.Match[str]) -> str:
    return f"e{found[1].replace('+', '')}{found[2]}"


def _difference(number: float) -> str:
    # Rounded first: a difference too small to show must not read -0.000.
    return f"{number:+.3f}" if round(number, 3) else "0.000"


def _p(number: float) -> str:
    return f"{number:.3f}" if number >= _SMALL else format_number(float(f"{number:.1e}"))


def _stars(number: float) -> str:
    return "★" * int(number) + "☆" * (_MOST_STARS - int(number))


def _share(number: float) -> str:
    return f"{format_number(100 * number)}%"


def _seconds(number: float) -> str:
    return f"{number:.1f}" if number < _SHOWN_TENTHS_BELOW else f"{number:.0f}"


_NUMBERS: dict[CellKind, Callable[[float], str]] = {
    "try": "Try {}".format,
    "accuracy": "{:.3f}".format,
    "difference": _difference,
    "p": _p,
    "stars": _stars,
    "share": _share,
    "seconds": _seconds,
}
