"""The text of a job: which splits there are, their sentences and their labels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trytable.records import UNLABELLED
from trytable.trainers.data import docstrings
from trytable.trainers.data.readers import (
    Rows,
    find_files,
    is_saved_dataset,
    label_names,
    read_dataset,
    read_rows,
)
from trytable.trainers.protocol.messages import DataSource, Refused

SPLITS = ("train", "dev", "test")
"""The label of a sentence whose class is not known."""


@dataclass(frozen=True)
class Split:
    """Sentences and class indices, in the order of their file; `pairs` is empty or as long."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    pairs: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether there is a gold label for any sentence."""
        return any(label != UNLABELLED for label in self.labels)


@dataclass(frozen=True)
class TextData:
    """Class names, the splits by name, and notes for the person."""

    classes: tuple[str, ...]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 over classes, texts and labels."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


def to_json(data: TextData) -> str:
    """Canonical JSON, read back by `from_json`."""
    splits = {
        name: {"texts": split.texts, "labels": split.labels, "pairs": split.pairs}
        for name, split in sorted(data.splits.items())
    }
    return json.dumps({"classes": data.classes, "splits": splits}, ensure_ascii=False)


def from_json(text: str) -> TextData:
    """Read what `to_json` wrote."""
    found = json.loads(text)
    splits = {
        name: Split(tuple(one["texts"]), tuple(one["labels"]), tuple(one["pairs"]))
        for name, one in found["splits"].items()
    }
    return TextData(tuple(found["classes"]), splits)


@dataclass
class _Complaints:
    """Mistakes of all files, so that one message tells them all."""

    found: list[str] = field(default_factory=list)
    shown: int = 8

    def raise_if_any(self) -> None:
        if self.found:
            more = len(self.found) - self.shown
            rest = f"\nand {more} more." if more > 0 else ""
            raise Refused("\n".join(self.found[: self.shown]) + rest)


def read_data(source: DataSource) -> TextData:
    """Read a data source. Raises Refused, with file, line and what was expected."""
    if source.name == docstrings.NAME:
        classes, splits = docstrings.read()
        return TextData(classes, {name: Split(*pair) for name, pair in splits.items()})
    try:
        return _read_folder_or_name(source)
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` of nobody
        raise Refused(f"DATA={source.name} cannot be read: {error}") from error


def _read_folder_or_name(source: DataSource) -> TextData:
    folder = Path(source.name).expanduser()
    if folder.is_dir() and not is_saved_dataset(folder):
        files, mapping = find_files(folder)
        rows = {split: read_rows(path, source) for split, path in files.items()}
        return _assemble(rows, label_names(mapping) if mapping else None)
    if folder.is_file():
        raise Refused(f"DATA={source.name} is a file; expected a folder with train and dev files.")
    if not folder.exists() and (folder.is_absolute() or source.name.startswith(".")):
        raise Refused(f"DATA={source.name}: there is no such folder.")
    return _assemble(*read_dataset(source))


def _assemble(rows: dict[str, Rows], names: Sequence[str] | None) -> TextData:
    complaints = _Complaints()
    for split in rows.values():
        complaints.found.extend(split.mistakes)
    complaints.raise_if_any()
    classes = tuple(names) if names else _classes(rows["train"])
    if len(classes) < 2:  # noqa: PLR2004 - one class leaves nothing to learn
        there = f"there is one class only, {classes[0]!r}" if classes else "there is no label"
        raise Refused(f"{rows['train'].source}: {there}; expected two classes or more.")
    index = _index(classes, set(rows["train"].labels), numbered=names is not None)
    splits = {name: _split(name, found, classes, index, complaints) for name, found in rows.items()}
    complaints.raise_if_any()
    return TextData(classes, splits, _notes(splits, rows))


def _classes(train: Rows) -> tuple[str, ...]:
    """The labels that the training file has: numbers by size, or words in their order."""
    found = {label for label in train.labels if label != str(UNLABELLED)}
    if all(label.isdecimal() for label in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def _index(classes: Sequence[str], found: set[str], *, numbered: bool) -> dict[str, int]:
    """The class index of each label; `numbered` classes may also be given by their numbers.

    Names may be numbers themselves (stars from 1 to 5), so all training labels, `found`, decide
    which are meant: one label must not be a name here and a number there.
    """
    by_name = {name: number for number, name in enumerate(classes)}
    if not numbered or found <= by_name.keys():
        return by_name
    return by_name | {str(number): number for number in range(len(classes))}


def _split(
    name: str,
    rows: Rows,
    classes: Sequence[str],
    index: dict[str, int],
    complaints: _Complaints,
) -> Split:
    unlabelled = name == "test" and set(rows.labels) == {str(UNLABELLED)}
    labels = []
    for line, label in zip(rows.lines, rows.labels, strict=True):
        if unlabelled:
            labels.append(UNLABELLED)
        elif label in index:
            labels.append(index[label])
        else:
            listed = ", ".join(classes[:10])
            complaints.found.append(
                f"{rows.source}:{line}: label {label!r} is outside the classes ({listed})."
            )
    return Split(tuple(rows.texts), tuple(labels), tuple(rows.pairs))


def _notes(splits: dict[str, Split], rows: dict[str, Rows]) -> tuple[str, ...]:
    if "test" not in splits:
        return ("There is no test file, so there is no test accuracy.",)
    if not splits["test"].labelled:
        return (f"{rows['test'].source} holds no gold labels: predicted, never scored.",)
    return ()
