"""A sweep's file as plain data, with the place of every key and the mistakes found so far."""

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sweeps.errors import SweepError
from sweeps.wording import show

Key = tuple[str | int, ...]
"""The path of a value: names in mappings, numbers in lists."""


@dataclass(frozen=True)
class Place:
    """Where a value stands: a line of a file, or something without lines, such as `SET`."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One mistake; `key` is the path of what is wrong."""

    place: Place
    key: Key
    text: str

    def __str__(self) -> str:
        said = spell(self.key)
        return f"{self.place}: {said}: {self.text}" if said else f"{self.place}: {self.text}"


@dataclass
class Document:
    """Plain data, the place of every key, and what was wrong so far."""

    source: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, key: Key) -> Place:
        """Where a key stands; for one that is missing, what it should stand in."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, Place(self.source, 1))

    def complain(self, key: Key, text: str, place: Place | None = None) -> None:
        """Note a mistake, unless the same value or what holds it is known to be wrong."""
        known = (problem.key for problem in self.problems)
        if place is not None or not any(one == key[: len(one)] for one in known if one):
            self.problems.append(Problem(place or self.place(key), key, text))

    def fail(self) -> NoReturn:
        """Raise SweepError with every mistake, in the order of the lines, those of SET last."""
        ordered = sorted(self.problems, key=lambda one: (not one.place.line, one.place.line))
        raise SweepError("\n".join(str(problem) for problem in ordered))


def spell(key: Key) -> str:
    """A path as people write it: `parameters.dropout[2]`."""
    said = ""
    for part in key:
        word = f"[{part}]" if isinstance(part, int) else f".{_plain(part)}"
        said += word
    return said.removeprefix(".")


def _plain(word: str) -> str:
    return word if re.fullmatch(r"[\w@+/-]+", word) else show(word)
