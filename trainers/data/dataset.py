"""The text of a job: its splits, with their sentences and labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trytable.records import UNLABELLED, DataSource, Refused
from trytable.trainers.data import docstrings, labels, readers, shapes, splits
from trytable.trainers.data.splits import ClassNames, Mistake, Rows, Split, TextData

SPLITS = ("train", "dev", "test")


_FORM_OPTIONS = ("separator", "quoting", "header", "encoding")
"""Options of text files, which other sources cannot apply."""

_CONTENT_OPTIONS = ("train", "dev", "test", "labels")
"""Options of every source but the embedded data."""


def read_data(source: DataSource) -> TextData:
    """Read a data source. Raises Refused with file, line and what was expected."""
    if source.name == docstrings.NAME:
        _refuse_options(source, [*_FORM_OPTIONS, *_CONTENT_OPTIONS], "the embedded data")
        classes, pairs = docstrings.read()
        return TextData(classes, {name: Split(*pair) for name, pair in pairs.items()})
    try:
        return _assemble(*_read_rows(source), source)
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` without such a user
        raise Refused(f"DATA={source.name} cannot be read: {error}") from error


def _read_rows(source: DataSource) -> tuple[dict[str, Rows], ClassNames | None]:
    """Return the rows of each split, and the class names if the data have them."""
    if isinstance(source.dev, float) and not 0 < source.dev < 1:
        raise Refused(f"data.dev={source.dev:g} is not allowed. Use a share between 0 and 1.")
    folder = Path(source.name).expanduser()
    if folder.is_dir() and not readers.is_saved_dataset(folder):
        layout = shapes.find_layout(folder, source)
        if not any(shapes.is_text_file(path) for path in layout.splits.values()):
            _refuse_options(source, _FORM_OPTIONS[:3], "these files")
        rows = {
            split: readers.read_split(split, path, source) for split, path in layout.splits.items()
        }
        return rows, shapes.read_class_names(layout.mapping) if layout.mapping else None
    if folder.is_file():
        raise Refused(f"DATA={source.name} is a file; expected a folder with train and dev files.")
    if not folder.exists() and (folder.is_absolute() or source.name.startswith(".")):
        raise Refused(f"DATA={source.name}: there is no such folder.")
    _refuse_options(source, _FORM_OPTIONS, "a data set of the package `datasets`")
    rows = readers.read_dataset(source)
    names = {split.names for split in rows.values() if split.names}
    if len(names) > 1:
        raise Refused(f"DATA={source.name}: the splits have different class names.")
    return rows, ClassNames(names.pop(), are_indices=True) if names else None


def _refuse_options(source: DataSource, options: Sequence[str], subject: str) -> None:
    """Raise Refused if an option is set that has no meaning for a source."""
    pointless = [option for option in options if getattr(source, option) is not None]
    if pointless:
        names = ", ".join(f"data.{option}" for option in pointless)
        raise Refused(f"DATA={source.name}: {names} cannot be applied to {subject}; remove it.")


def _assemble(rows: dict[str, Rows], names: ClassNames | None, source: DataSource) -> TextData:
    splits.raise_mistakes([mistake for split in rows.values() for mistake in split.mistakes])
    rows = _prepare_labels(rows, names, source)
    notes = _reading_notes(rows)
    if isinstance(source.dev, float):
        whole = rows["train"]
        rows["train"], rows["dev"] = splits.split_dev(whole, source.dev)
        notes.append(
            f"dev is {len(rows['dev'].texts)} of {len(whole.texts)} train texts "
            f"(data.dev={source.dev:g}), chosen in each class by the texts' hashes."
        )
    if names is None:
        _refuse_suspicions(rows, source)
        notes += labels.doubts(rows)
    classes = names.names if names else _classes(rows["train"])
    if len(classes) < 2:  # noqa: PLR2004 - one class leaves nothing to learn
        problem = f"found only one class, {classes[0]!r}" if classes else "found no label"
        raise Refused(f"{rows['train'].source}: {problem}; expected at least two classes.")
    index = _index(rows, names or ClassNames(classes), numbered=names is not None)
    mistakes: list[Mistake] = []
    result = {name: _split(name, split, classes, index, mistakes) for name, split in rows.items()}
    splits.raise_mistakes(mistakes)
    leaks = splits.find_leaks(rows)
    notes += [note for _, note in leaks]
    notes += _split_notes(result, rows)
    return TextData(classes, result, tuple(notes), tuple(leak for leak, _ in leaks))


def _prepare_labels(
    rows: dict[str, Rows], names: ClassNames | None, source: DataSource
) -> dict[str, Rows]:
    """Apply `data.labels`, and spell equal numbers alike."""
    if source.labels:
        unused = labels.unused_labels(rows.values(), source.labels)
        if unused:
            present = sorted({label for split in rows.values() for label in split.labels})
            raise Refused(
                f"data.labels: {', '.join(map(repr, unused))} is not a label of the data; found: "
                f"{', '.join(present[:20])}."
            )
        rows = {name: labels.rename(split, source.labels) for name, split in rows.items()}
        for split in rows.values():
            if not split.texts:
                raise Refused(f"{split.source}: data.labels leaves out every row; expected some.")
    every = [label for split in rows.values() for label in split.labels]
    class_names = names.names if names else ()
    spellings = labels.canonical_numbers([*every, *map(str, range(len(class_names)))])
    if spellings and not set(every) <= set(class_names):
        rows = {name: labels.rename(split, spellings) for name, split in rows.items()}
    return rows


def _refuse_suspicions(rows: Mapping[str, Rows], source: DataSource) -> None:
    """Raise Refused if the labels are no classes."""
    messages = [f"{s.message}; {s.advice}" for s in labels.suspicions(rows, source)]
    if messages:
        raise Refused("\n".join(messages[:8]))


def _classes(train: Rows) -> tuple[str, ...]:
    """Return the labels of the training file, sorted as numbers or else as words."""
    present = {label for label in train.labels if label != str(UNLABELLED)}
    if all(label.isdecimal() for label in present):
        return tuple(sorted(present, key=int))
    return tuple(sorted(present))


def _index(rows: Mapping[str, Rows], classes: ClassNames, *, numbered: bool) -> dict[str, int]:
    """Return the class index of each label; those of `numbered` classes may be indices.

    The labels of all splits decide together.
    """
    if not numbered:
        return {name: number for number, name in enumerate(classes.names)}
    labelled = [split for name, split in rows.items() if not labels.is_unlabelled(name, split)]
    everywhere = {label for split in labelled for label in split.labels}
    return labels.class_index(classes, everywhere)


def _split(
    name: str,
    rows: Rows,
    classes: Sequence[str],
    index: Mapping[str, int],
    mistakes: list[Mistake],
) -> Split:
    if labels.is_unlabelled(name, rows):
        indices = [UNLABELLED] * len(rows.labels)
        return Split(tuple(rows.texts), tuple(indices), tuple(rows.pairs))
    names = ", ".join(classes[:10])
    for line, label in zip(rows.lines, rows.labels, strict=True):
        if label not in index:
            message = f"{rows.place(line)}: label {label!r} is not one of the classes ({names})."
            mistakes.append(Mistake(rows.source, line, message, f"label {label}"))
    class_indices = tuple(index.get(label, UNLABELLED) for label in rows.labels)
    return Split(tuple(rows.texts), class_indices, tuple(rows.pairs))


def _reading_notes(rows: Mapping[str, Rows]) -> list[str]:
    """Return how the files were read, the same note of several files once."""
    files: dict[str, list[str]] = {}
    for split in rows.values():
        for note in split.notes:
            extent = f" ({split.extent})" if split.extent else ""
            files.setdefault(note, []).append(f"{Path(split.source).name}{extent}")
    return [f"{', '.join(names)}: {note}" for note, names in files.items()]


def _split_notes(parts: Mapping[str, Split], rows: Mapping[str, Rows]) -> list[str]:
    notes = []
    size = len(parts["dev"].texts)
    if size < labels.SMALL_DEV:
        notes.append(f"dev has only {size} texts: each is {1 / size:.1%} of the accuracy.")
    if "test" not in parts:
        notes.append("There is no test file, so there is no test accuracy.")
    elif not parts["test"].labelled:
        notes.append(f"{rows['test'].source} has no gold labels: it is predicted but not scored.")
    return notes
