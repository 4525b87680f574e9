"""The text of a job: its splits, with their sentences and labels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trytable.records import UNLABELLED, DataSource, Refused
from trytable.trainers.data import docstrings, readers

SPLITS = ("train", "dev", "test")


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
    """Class names, the splits by name, and notes for the user."""

    classes: tuple[str, ...]
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()

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


@dataclass
class _Mistakes:
    """Collects the mistakes of all files, so that one message reports them together."""

    messages: list[str] = field(default_factory=list)
    limit: int = 8

    def raise_if_any(self) -> None:
        if self.messages:
            remaining = len(self.messages) - self.limit
            ending = f"\nand {remaining} more." if remaining > 0 else ""
            raise Refused("\n".join(self.messages[: self.limit]) + ending)


def read_data(source: DataSource) -> TextData:
    """Read a data source. Raises Refused with file, line and what was expected."""
    if source.name == docstrings.NAME:
        classes, splits = docstrings.read()
        return TextData(classes, {name: Split(*pair) for name, pair in splits.items()})
    try:
        return _read_folder_or_name(source)
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` without such a user
        raise Refused(f"DATA={source.name} cannot be read: {error}") from error


def _read_folder_or_name(source: DataSource) -> TextData:
    folder = Path(source.name).expanduser()
    if folder.is_dir() and not readers.is_saved_dataset(folder):
        files, mapping = readers.find_files(folder)
        rows = {split: readers.read_rows(path, source) for split, path in files.items()}
        return _assemble(rows, readers.label_names(mapping) if mapping else None)
    if folder.is_file():
        raise Refused(f"DATA={source.name} is a file; expected a folder with train and dev files.")
    if not folder.exists() and (folder.is_absolute() or source.name.startswith(".")):
        raise Refused(f"DATA={source.name}: there is no such folder.")
    return _assemble(*readers.read_dataset(source))


def _assemble(rows: dict[str, readers.Rows], names: Sequence[str] | None) -> TextData:
    mistakes = _Mistakes()
    for split in rows.values():
        mistakes.messages.extend(split.mistakes)
    mistakes.raise_if_any()
    classes = tuple(names) if names else _classes(rows["train"])
    if len(classes) < 2:  # noqa: PLR2004 - one class leaves nothing to learn
        labels = f"found only one class, {classes[0]!r}" if classes else "found no label"
        raise Refused(f"{rows['train'].source}: {labels}; expected at least two classes.")
    index = _index(classes, set(rows["train"].labels), numbered=names is not None)
    splits = {name: _split(name, split, classes, index, mistakes) for name, split in rows.items()}
    mistakes.raise_if_any()
    return TextData(classes, splits, _notes(splits, rows))


def _classes(train: readers.Rows) -> tuple[str, ...]:
    """Return the labels of the training file, sorted as numbers or else as words."""
    labels = {label for label in train.labels if label != str(UNLABELLED)}
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def _index(classes: Sequence[str], labels: set[str], *, numbered: bool) -> dict[str, int]:
    """Return the class index of each label; labels of `numbered` classes may be indices instead.

    Class names may be numbers themselves (1 to 5 stars). All training labels together decide
    between names and indices, so that no file mixes the two.
    """
    by_name = {name: number for number, name in enumerate(classes)}
    if not numbered or labels <= by_name.keys():
        return by_name
    return by_name | {str(number): number for number in range(len(classes))}


def _split(
    name: str,
    rows: readers.Rows,
    classes: Sequence[str],
    index: dict[str, int],
    mistakes: _Mistakes,
) -> Split:
    unlabelled = name == "test" and set(rows.labels) == {str(UNLABELLED)}
    labels = []
    for line, label in zip(rows.lines, rows.labels, strict=True):
        if unlabelled:
            labels.append(UNLABELLED)
        elif label in index:
            labels.append(index[label])
        else:
            names = ", ".join(classes[:10])
            mistakes.messages.append(
                f"{rows.source}:{line}: label {label!r} is not one of the classes ({names})."
            )
    return Split(tuple(rows.texts), tuple(labels), tuple(rows.pairs))


def _notes(splits: dict[str, Split], rows: dict[str, readers.Rows]) -> tuple[str, ...]:
    if "test" not in splits:
        return ("There is no test file, so there is no test accuracy.",)
    if not splits["test"].labelled:
        return (f"{rows['test'].source} has no gold labels: it is predicted but not scored.",)
    return ()
