"""A data set as it is read and as it is used, a dev split made by hash, texts that splits share."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trytable.records import UNLABELLED, Leak, Refused

_EXPECTED = {"text": "sentence", "label": "class"}
_MAX_LINES = 3
"""Line numbers that a message lists before it counts the rest."""


@dataclass(frozen=True)
class Split:
    """Sentences and class indices, in file order; `pairs` is empty or has as many texts."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    pairs: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether any sentence has a gold label."""
        return any(label != UNLABELLED for label in self.labels)


@dataclass(frozen=True)
class TextData:
    """Class names, the splits by name, notes for the user, and texts that splits share."""

    classes: tuple[str, ...]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()

    @property
    def hash(self) -> str:
        """The SHA-256 of classes, texts and labels."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


def to_json(data: TextData) -> str:
    """Return canonical JSON, which `from_json` reads back."""
    splits = {
        name: {"texts": split.texts, "labels": split.labels, "pairs": split.pairs}
        for name, split in sorted(data.splits.items())
    }
    return json.dumps({"classes": data.classes, "splits": splits}, ensure_ascii=False)


def from_json(text: str) -> TextData:
    """Read the JSON that `to_json` wrote."""
    content = json.loads(text)
    splits = {
        name: Split(tuple(split["texts"]), tuple(split["labels"]), tuple(split["pairs"]))
        for name, split in content["splits"].items()
    }
    return TextData(tuple(content["classes"]), splits)


@dataclass(frozen=True)
class ClassNames:
    """Class names that come with the data.

    `first_index` is the label of the first name if the source states it, 0 or 1. `are_indices`:
    every label is an index, never a name.
    """

    names: tuple[str, ...]
    first_index: int | None = None
    are_indices: bool = False


@dataclass(frozen=True)
class Mistake:
    """A mistake in a line; equal causes are reported together. Line None: the whole file."""

    source: str
    line: int | None
    message: str
    cause: str


@dataclass
class Rows:
    """The rows of a split, each with its line number, and the mistakes in them.

    `unit` comes before a line number in messages if it counts something else, such as the items of
    a JSON array; `paths` has the file of each line if every text is a file. `notes` are for the
    user. `names` are the class names that the data store; integer labels are indices to them.
    `extent` says how many rows come from how many lines, if that is worth a word.
    """

    source: str
    unit: str = ""
    paths: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()
    extent: str = ""

    def place(self, line: int | None) -> str:
        """Name a line for a message, as `train.csv:12`."""
        if line is None:
            return self.source
        return self.paths[line - 1] if self.paths else f"{self.source}:{self.unit}{line}"

    def note_place(self, line: int) -> str:
        """Name a line without the folder of its file, for a note."""
        return Path(self.place(line)).name

    def add_mistake(self, line: int | None, text: str, cause: str = "") -> None:
        """Record a mistake in a line; mistakes with the same `cause` are reported as one."""
        self.mistakes.append(Mistake(self.source, line, f"{self.place(line)}: {text}", cause))

    def add(self, line: int, label: str, text: str, pair: str | None = None) -> None:
        """Add a row, or a mistake if text or label is blank or cannot be encoded as UTF-8."""
        for column, value in (("text", text), ("label", label)):
            if not value.strip():
                expected = f"the {column} is blank; expected a {_EXPECTED[column]}."
                self.add_mistake(line, expected, f"blank {column}")
                return
        if not _is_unicode(f"{label}{text}{pair}"):
            self.add_mistake(
                line, "the row contains half a surrogate pair; expected valid Unicode.", "surrogate"
            )
            return
        self.lines.append(line)
        self.texts.append(text.strip())
        self.labels.append(label.strip())
        if pair is not None:
            self.pairs.append(pair.strip())

    def take(self, indices: Iterable[int], source: str) -> "Rows":
        """Return some of the rows under another name."""
        rows = Rows(source, self.unit, self.paths, names=self.names, extent=self.extent)
        for index in indices:
            rows.lines.append(self.lines[index])
            rows.texts.append(self.texts[index])
            rows.labels.append(self.labels[index])
            if self.pairs:
                rows.pairs.append(self.pairs[index])
        return rows

    def keys(self) -> list[tuple[str, str]]:
        """Return what makes a row's input equal to another's: its text, or its pair of texts."""
        pairs = self.pairs or [""] * len(self.texts)
        return list(zip(self.texts, pairs, strict=True))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def raise_mistakes(mistakes: Sequence[Mistake], limit: int = 8) -> None:
    """Raise Refused with every cause once, the lines that share it, and no more than `limit`."""
    causes: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in mistakes:
        causes.setdefault((mistake.source, mistake.cause or mistake.message), []).append(mistake)
    if not causes:
        return
    messages = [_message(group) for group in causes.values()]
    remaining = len(messages) - limit
    ending = f"\nand {remaining} more." if remaining > 0 else ""
    raise Refused("\n".join(messages[:limit]) + ending)


def _message(group: Sequence[Mistake]) -> str:
    repeats = [mistake.line for mistake in group[1:] if mistake.line is not None]
    if not repeats:
        return group[0].message
    return f"{group[0].message} The same in {list_lines(repeats)}."


def count_words(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 row` or `3 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def list_lines(lines: Sequence[int]) -> str:
    """List line numbers, the first few by name: `line 4`, or `lines 4, 5, 6 and 361 more`."""
    first = ", ".join(map(str, lines[:_MAX_LINES]))
    remainder = f" and {len(lines) - _MAX_LINES} more" if len(lines) > _MAX_LINES else ""
    return f"line{'s' if len(lines) > 1 else ''} {first}{remainder}"


def split_dev(train: Rows, share: float) -> tuple[Rows, Rows]:
    """Split a dev set off the training rows; return the other rows and the dev set.

    Of each class, the texts with the smallest SHA-256 go to dev, `share` of them rounded, so the
    split depends neither on a seed nor on the order of the rows. Equal texts stay together.
    Raises Refused if a share leaves nothing for dev.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, key in enumerate(train.keys()):
        groups.setdefault(key, []).append(index)
    by_label: dict[str, list[tuple[str, str]]] = {}
    for key, indices in groups.items():
        by_label.setdefault(train.labels[indices[0]], []).append(key)
    dev: list[int] = []
    for keys in by_label.values():
        count = min(round(share * len(keys)), len(keys) - 1)
        for key in sorted(keys, key=_digest)[:count]:
            dev.extend(groups[key])
    if not dev:
        raise Refused(
            f"{train.source}: data.dev={share:g} leaves no text for dev: the largest class has "
            f"{max(map(len, by_label.values()), default=0)} texts. Use a larger share."
        )
    in_dev = set(dev)
    remaining = [index for index in range(len(train.texts)) if index not in in_dev]
    return train.take(remaining, train.source), train.take(sorted(dev), f"{train.source}[dev]")


def _digest(key: tuple[str, str]) -> bytes:
    return hashlib.sha256("\0".join(key).encode()).digest()


def find_leaks(splits: Mapping[str, Rows]) -> tuple[tuple[Leak, str], ...]:
    """Return the texts that two splits share, and a note for the user on each such pair.

    A text leaks if exactly the same text, or pair of texts, is in the other split.
    """
    order = [name for name in ("train", "dev", "test") if name in splits]
    leaks = []
    for number, other in enumerate(order):
        index = _first_index(splits[other])
        for name in order[number + 1 :]:
            leak = _leak(name, splits[name], other, splits[other], index)
            if leak is not None:
                leaks.append(leak)
    return tuple(leaks)


def _first_index(rows: Rows) -> dict[tuple[str, str], int]:
    index: dict[tuple[str, str], int] = {}
    for number, key in enumerate(rows.keys()):
        index.setdefault(key, number)
    return index


def _leak(
    name: str, rows: Rows, other: str, other_rows: Rows, index: Mapping[tuple[str, str], int]
) -> tuple[Leak, str] | None:
    shared = [(i, index[key]) for i, key in enumerate(rows.keys()) if key in index]
    if not shared:
        return None
    unlabelled = "-1"
    differing = sum(
        rows.labels[i] != other_rows.labels[j]
        for i, j in shared
        if unlabelled not in (rows.labels[i], other_rows.labels[j])
    )
    leak = Leak(
        split=name, other=other, size=len(rows.texts), shared=len(shared), other_label=differing
    )
    first, origin = shared[0]
    labels = f", {differing} of them with another label" if differing else ""
    note = (
        f"{len(shared)} of {len(rows.texts)} {name} texts ({leak.share:.1%}) are also in "
        f"{other}{labels}, such as {rows.note_place(rows.lines[first])} and "
        f"{other_rows.note_place(other_rows.lines[origin])}."
    )
    return leak, note
