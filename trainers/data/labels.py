"""Decides what the labels of the data are: names, indices, or no classes at all."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trytable.records import UNLABELLED, DataSource, Refused
from trytable.trainers.data.splits import ClassNames, Rows, count_words, list_lines

_ABSENT = frozenset({"nan", "null", "<na>", "#n/a", "unsup", "unlabeled", "unlabelled", "[]"})
"""Labels, in lower case, that say that there is no label."""

_PERHAPS_ABSENT = frozenset({"none", "na", "n/a", "unknown", "undefined", "missing", "?"})
"""Labels that may say so, or name a class."""

_HEADER_LABELS = frozenset({"label", "labels", "class", "category", "target", "sentiment", "gold"})
_HEADER_TEXTS = frozenset({"text", "texts", "sentence", "sentences", "review", "content"})

MAX_SCORES = 10
"""More different numbers with fractions than this are scores, a regression, not classes."""

RARE_CLASS = 2
"""So few sentences of a class may be a mistyped label..."""

LARGE_CLASS = 50
"""...if an average class has this many."""

SMALL_DEV = 100
"""Sentences; below this, one sentence is more than a point of accuracy."""


@dataclass(frozen=True)
class Suspicion:
    """A label that is probably no class: where it is, what is wrong and what to set."""

    label: str
    message: str
    advice: str


def class_index(classes: ClassNames, labels: set[str]) -> dict[str, int]:
    """Return the class index of each label.

    Labels are names, or indices from 0 or from 1; the labels of all splits together decide. Labels
    that fit no way of reading get the one that fits most of them, and the others lack an entry.
    Raises Refused if they fit two.
    """
    count = len(classes.names)
    by_name = {name: number for number, name in enumerate(classes.names)}
    from_zero, from_one = (
        {str(number + first): number for number in range(count)} for first in (0, 1)
    )
    if classes.are_indices:
        return from_zero
    indices = {None: (from_zero, from_one), 0: (from_zero,), 1: (from_one,)}[classes.first_index]
    fitting = [index for index in (by_name, *indices) if labels <= index.keys()]
    meanings = {tuple(index[label] for label in sorted(labels)): index for index in fitting}
    if len(meanings) > 1:
        names = ", ".join(classes.names[:10])
        example = sorted(labels)[0]
        raise Refused(
            f"the labels {', '.join(sorted(labels)[:10])} can be read in {len(meanings)} ways with "
            f"the class names {names}: as indices from 0, indices from 1, or names. State it in "
            f'the label mapping, as {{"{example}": "name", ...}}, or in data.labels.'
        )
    return max((by_name, *indices), key=lambda index: len(labels & index.keys()))


def canonical_numbers(labels: Iterable[str]) -> dict[str, str]:
    """Return the spelling of each label if numbers are spelled in two ways: `1.0` becomes `1`."""
    by_number: dict[str, set[str]] = {}
    for label in labels:
        by_number.setdefault(re.sub(r"^(-?\d+)\.0+$", r"\1", label), set()).add(label)
    if all(len(spellings) == 1 for spellings in by_number.values()):
        return {}
    return {label: number for number, spellings in by_number.items() for label in spellings}


def rename(rows: Rows, classes: Mapping[str, str | None]) -> Rows:
    """Give labels the classes of `data.labels`; rows whose label has none are left out."""
    indices = [i for i, label in enumerate(rows.labels) if classes.get(label, label) is not None]
    result = rows.take(indices, rows.source)
    result.labels = [str(classes.get(label, label)) for label in result.labels]
    result.notes = list(rows.notes)
    count = len(rows.labels) - len(indices)
    if count:
        result.notes.append(f"data.labels leaves out {count} of {len(rows.labels)} rows")
    return result


def unused_labels(splits: Iterable[Rows], classes: Mapping[str, str | None]) -> list[str]:
    """Return the labels of `data.labels` that no row has."""
    labels = {label for rows in splits for label in rows.labels}
    return [label for label in classes if label not in labels]


def suspicions(splits: Mapping[str, Rows], source: DataSource) -> Iterator[Suspicion]:
    """Yield the labels that are no classes, each with its lines.

    Classes that `data.labels` names are taken as confirmed.
    """
    rows = {name: split for name, split in splits.items() if not is_unlabelled(name, split)}
    classes = {name for name in (source.labels or {}).values() if name is not None}
    counts = Counter(label for split in rows.values() for label in split.labels)
    labels = [label for label in counts if label not in classes]
    yield from _headers(rows.values(), source)
    yield from _absent(rows, labels, counts)
    yield from _spellings(rows, labels, counts)
    yield from _several(rows, labels, counts)
    yield from _scores(rows, labels)


def is_unlabelled(name: str, rows: Rows) -> bool:
    """Whether a split is a test set without gold labels."""
    return name == "test" and set(rows.labels) == {str(UNLABELLED)}


def _headers(splits: Iterable[Rows], source: DataSource) -> Iterator[Suspicion]:
    names = (source.label.lower(), source.text.lower())
    for rows in splits:
        for line, label, text in zip(rows.lines, rows.labels, rows.texts, strict=True):
            words = (label.lower(), text.lower())
            is_named = words == names and not any(name.isdecimal() for name in names)
            if is_named or (words[0] in _HEADER_LABELS and words[1] in _HEADER_TEXTS):
                yield Suspicion(
                    label,
                    f"{rows.place(line)}: the row {label!r}, {text!r} repeats the header",
                    "delete the line.",
                )


def _absent(
    splits: Mapping[str, Rows], labels: Iterable[str], counts: Counter[str]
) -> Iterator[Suspicion]:
    for label in labels:
        is_symbol = re.fullmatch(r"[-–—_?.]+", label) and "+" not in counts
        if label.lower() in _ABSENT or is_symbol:
            rows = count_words(counts[label], "row")
            yield Suspicion(
                label,
                f"{_first_place(splits, label)}: the label {label!r} of {rows} looks like none",
                f'set data.labels={{"{label}": null}} to leave these rows out, or '
                f'{{"{label}": "{label}"}} if it is a class.',
            )


def _spellings(
    splits: Mapping[str, Rows], labels: Iterable[str], counts: Counter[str]
) -> Iterator[Suspicion]:
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(" ".join(re.split(r"[\s_-]+", label.casefold())), []).append(label)
    for spellings in groups.values():
        if len(spellings) > 1:
            common, *variants = sorted(spellings, key=lambda label: (-counts[label], label))
            spelling_counts = ", ".join(
                f"{label!r} ({count_words(counts[label], 'row')})" for label in (common, *variants)
            )
            mapping = ", ".join(f'"{label}": "{common}"' for label in variants)
            yield Suspicion(
                variants[0],
                f"{_first_place(splits, variants[0])}: the labels {spelling_counts} differ only in "
                "case or blanks",
                f"set data.labels={{{mapping}}} to make them one class, or name each as its own.",
            )


def _several(
    splits: Mapping[str, Rows], labels: Iterable[str], counts: Counter[str]
) -> Iterator[Suspicion]:
    """Yield lists of labels: `0,1`, or `sad, angry` if `sad` and `angry` are labels as well."""
    several = [label for label in labels if _is_list(label, counts)]
    if several:
        rows = count_words(sum(counts[label] for label in several), "row")
        yield Suspicion(
            several[0],
            f"{_first_place(splits, several[0])}: the label {several[0]!r} is a list. "
            f"Several labels of one text ({rows}) are multi-label classification",
            "this trainer gives a text one class. Set data.label to a column with one label, or "
            "data.labels to make each list a class.",
        )


def _is_list(label: str, counts: Mapping[str, int]) -> bool:
    parts = [part.strip(" []'\"") for part in re.split(r"[,;|]", label)]
    if len(parts) < 2:  # noqa: PLR2004 - one part is no list
        return False
    return all(re.fullmatch(r"-?\d+", part) or part in counts for part in parts)


def _scores(splits: Mapping[str, Rows], labels: Iterable[str]) -> Iterator[Suspicion]:
    numbers = {label: number for label in labels if (number := _number(label)) is not None}
    fractions = [label for label, number in numbers.items() if not number.is_integer()]
    if fractions and len(set(numbers.values())) > MAX_SCORES:
        low, high = min(numbers.values()), max(numbers.values())
        yield Suspicion(
            fractions[0],
            f"{_first_place(splits, fractions[0])}: the labels are {len(set(numbers.values()))} "
            f"different numbers from {low:g} to {high:g}, such as {fractions[0]}; these are scores "
            "(regression), not classes",
            "this trainer learns classes. Set data.label to a column of classes, or data.labels "
            "to the class of each score.",
        )


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None


def _first_place(splits: Mapping[str, Rows], label: str) -> str:
    return next(
        rows.place(line)
        for rows in splits.values()
        for line, other in zip(rows.lines, rows.labels, strict=True)
        if other == label
    )


def doubts(splits: Mapping[str, Rows]) -> Iterator[str]:
    """Yield a note on each label that may be a mistake, but may be right."""
    train = splits["train"]
    counts = Counter(train.labels)
    for label in counts:
        if label.lower() in _PERHAPS_ABSENT:
            yield (
                f"class {label!r} has {count_words(counts[label], 'train text')}; if they have no "
                f'label, set data.labels={{"{label}": null}}.'
            )
    rare = rare_classes(counts)
    if rare:
        lines = [
            line for line, label in zip(train.lines, train.labels, strict=True) if label in rare
        ]
        words = ", ".join(map(repr, rare[:3])) + (" and others" if len(rare) > 3 else "")  # noqa: PLR2004 - three are an example
        place = f"{Path(train.source).name}, {list_lines(lines)}"
        yield (
            f"hardly any train text is of class {words} ({place}); if the label is mistyped, set "
            "data.labels."
        )
    numbers = [number for label in counts if (number := _number(label)) is not None]
    if len(numbers) == len(counts) and not all(number.is_integer() for number in numbers):
        yield f"the {len(numbers)} classes are numbers with fractions: scores are read as classes."


def rare_classes(counts: Mapping[str, int]) -> list[str]:
    """Return the classes so much rarer than the others that a mistyped label explains them."""
    if not counts or sum(counts.values()) < LARGE_CLASS * len(counts):
        return []
    return [label for label, count in counts.items() if count <= RARE_CLASS]
