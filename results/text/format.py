"""Formats cells and values as text: numbers are rounded alike everywhere, strings made harmless."""

import re
from collections.abc import Callable, Mapping
from typing import Literal

from trytable.records import is_finite

Cell = bool | int | float | str | None
"""A typed cell; None if there is no value."""

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
"""What a column holds; decides how its numbers are rounded."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SMALL, _LARGE = 1e-3, 1000
_TENTHS_BELOW = 100
_MAX_STARS = 5


def clean(text: str) -> str:
    """Return the text with \n as line end and U+FFFD for each character that XML does not allow."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", lines)


def one_line(text: str) -> str:
    """Return the text with each run of white space, newlines included, as one space."""
    return " ".join(text.split())


def as_cell(value: object) -> Cell:
    """Return a parameter's value as a cell; other types than bool, number and str become text."""
    if not is_finite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(value if isinstance(value, str) else repr(value))


def format_value(cell: Cell, kind: CellKind) -> str:
    """Return the cell as text: accuracies to 3 decimals, small parameters as 2e-4, None as "".

    Strings are returned unchanged, because each output format escapes them differently.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return cell
    return _NUMBERS.get(kind, format_number)(cell)


def format_number(number: float) -> str:
    """Format to 4 significant digits below 1000 and 6 above; 0.0002 and 2e-04 both give 2e-4."""
    if isinstance(number, int):
        return str(number)
    text = f"{number:.4g}" if abs(number) < _LARGE else f"{number:g}"
    if 0 < abs(number) < _SMALL and "e" not in text:
        mantissa, exponent = f"{number:.3e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    return re.sub(r"e([+-])0*(\d)", _exponent, text)


def format_scalar(value: object) -> str:
    """Return a setting's value on one line; lists are joined by commas, None is empty."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(format_scalar, value))
    if isinstance(value, Mapping):
        return format_settings(value)
    return one_line(format_value(as_cell(value), "parameter"))


def format_settings(settings: object) -> str:
    """Return a mapping as `lr 2e-4, dropout 0.1`, or `tpe (seed 1)` if it has a `name`.

    None values are left out; anything but a mapping is formatted as a single value.
    """
    if not isinstance(settings, Mapping):
        return format_scalar(settings)
    values = {name: value for name, value in settings.items() if value is not None}
    name = values.pop("name", None)
    pairs = ", ".join(
        f"{format_scalar(key)} {format_scalar(value)}" for key, value in values.items()
    )
    return " ".join(filter(None, (format_scalar(name), f"({pairs})" if name and pairs else pairs)))


def _exponent(match: re.Match[str]) -> str:
    return f"e{match[1].replace('+', '')}{match[2]}"


def _difference(number: float) -> str:
    # Round first: a difference that rounds to zero must not read -0.000.
    return f"{number:+.3f}" if round(number, 3) else "0.000"


def _p(number: float) -> str:
    return f"{number:.3f}" if number >= _SMALL else format_number(float(f"{number:.1e}"))


def _stars(number: float) -> str:
    return "★" * int(number) + "☆" * (_MAX_STARS - int(number))


def _share(number: float) -> str:
    return f"{format_number(100 * number)}%"


def _seconds(number: float) -> str:
    return f"{number:.1f}" if number < _TENTHS_BELOW else f"{number:.0f}"


_NUMBERS: dict[CellKind, Callable[[float], str]] = {
    "try": "Try {}".format,
    "accuracy": "{:.3f}".format,
    "difference": _difference,
    "p": _p,
    "stars": _stars,
    "share": _share,
    "seconds": _seconds,
}
