"""Finds what a folder holds of each split, and reads what is no table: lines, class folders."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trytable.records import DataSource, Refused
from trytable.trainers.data.splits import ClassNames, Rows, count_words

ENDINGS = (".txt", ".sst", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".label")
SEPARATOR = "|||"
FASTTEXT = "__label__"
TREC = re.compile(r"([A-Z]{2,}):([a-z]+) +(\S.*)")
_WORDS = {"train": ("train",), "dev": ("dev", "valid"), "test": ("test",)}
_OTHER_WORDS = {"train": ("training",), "dev": ("val", "eval"), "test": ("testing",)}
"""Words that name a split if nothing else does; whole words only, since `val` is in `interval`."""

_MAPPING = "label-mapping.json"


@dataclass(frozen=True)
class Layout:
    """The file or class folder of each split, and the file with the names of the classes."""

    splits: Mapping[str, Path]
    mapping: Path | None


def ending(path: Path) -> str:
    """Return the ending that says what a file holds; `.gz` says only how it is packed."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def is_text_file(path: Path) -> bool:
    """Whether a split is a text file, which may have a separator, quotes and a header."""
    return path.is_file() and ending(path) in (".txt", ".sst", ".csv", ".tsv", ".label")


def find_layout(folder: Path, source: DataSource) -> Layout:
    """Return the train, dev and test files of a folder, and its label mapping.

    Hidden files and Excel's lock files are ignored. Raises Refused if train or dev is missing, if
    two files match one split, if one file matches two splits, or if there are two mappings; OSError
    if the folder cannot be read.
    """
    visible = sorted(p for p in folder.iterdir() if not p.name.startswith((".", "~$")))
    mappings = [path for path in visible if path.name.endswith(_MAPPING) and path.is_file()]
    files = [p for p in visible if p.is_file() and ending(p) in ENDINGS and p not in mappings]
    folders = [path for path in visible if path.is_dir() and class_folders(path)]
    splits: dict[str, Path] = {}
    mistakes = []
    if len(mappings) > 1:
        names = ", ".join(path.name for path in mappings)
        mistakes.append(f"{folder}: more than one label mapping ({names}); keep one of them.")
    by_user = _files_by_user(folder, source, mistakes)
    for split in _WORDS:
        if split in by_user:
            splits[split] = by_user[split]
            continue
        matching = _matching(split, [p for p in files if p not in by_user.values()])
        matching = matching or _matching(split, [p for p in folders if p not in by_user.values()])
        _choose(folder, split, matching, source=source, splits=splits, mistakes=mistakes)
    if mistakes:
        raise Refused("\n".join(mistakes))
    return Layout(splits, mappings[0] if mappings else None)


def _files_by_user(folder: Path, source: DataSource, mistakes: list[str]) -> dict[str, Path]:
    """Return the files that `data.train`, `data.dev` and `data.test` name."""
    names = {"train": source.train, "dev": source.dev, "test": source.test}
    by_user: dict[str, Path] = {}
    for split, name in names.items():
        if not isinstance(name, str):
            continue
        path = folder / name
        if not path.exists():
            mistakes.append(f"data.{split}={name}: there is no such file in {folder}.")
        elif path in by_user.values():
            mistakes.append(f"data.{split}={name}: this file is another split, too.")
        else:
            by_user[split] = path
    return by_user


def _matching(split: str, paths: Iterable[Path]) -> list[Path]:
    names = {path: path.name.lower().removesuffix(".gz") for path in paths}
    stems = {path: Path(name).stem for path, name in names.items()}
    matching = [p for p, stem in stems.items() if any(word in stem for word in _WORDS[split])]
    if matching:
        return matching
    words = set(_OTHER_WORDS[split])
    return [path for path, stem in stems.items() if words & set(re.split(r"[^a-z0-9]+", stem))]


def _choose(
    folder: Path,
    split: str,
    matching: list[Path],
    *,
    source: DataSource,
    splits: dict[str, Path],
    mistakes: list[str],
) -> None:
    """Choose the file of a split among those whose names match, or note a mistake."""
    names = ", ".join(path.name for path in matching)
    is_share = split == "dev" and isinstance(source.dev, float)
    if is_share and matching:
        mistakes.append(
            f"{folder}: data.dev={source.dev} splits dev off train, but there is {names}. Set "
            f"data.dev={matching[0].name} to use it, or move it away."
        )
    elif len(matching) > 1:
        mistakes.append(
            f"{folder}: more than one {split} file ({names}); keep one of them, or set "
            f"data.{split}={matching[0].name}."
        )
    elif matching and matching[0] in splits.values():
        mistakes.append(
            f"{matching[0]}: the file name matches {split} and another split; expected only "
            "one of train, dev (or valid) and test in it."
        )
    elif matching:
        splits[split] = matching[0]
    elif split != "test" and not is_share:
        pattern = " or ".join(f"*{word}*" for word in _WORDS[split])
        hint = " data.dev=0.1 splits a tenth off train." if split == "dev" else ""
        mistakes.append(
            f"{folder}: no {split} file; expected {pattern} ({', '.join(ENDINGS)}), or set "
            f"data.{split}=file.{hint}"
        )


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the text files of each class of a split whose classes are folders."""
    classes = {}
    for place in sorted(folder.iterdir()):
        if place.is_dir() and not place.name.startswith("."):
            files = [p for p in place.iterdir() if p.is_file() and p.suffix.lower() == ".txt"]
            files = [path for path in files if not path.name.startswith(".")]
            if files:
                classes[place.name] = sorted(files)
    return classes


def text_lines(text: str) -> list[str]:
    """Split at newlines only: sentences may contain other Unicode line separators.

    A file without any newline may be an old Mac's, whose lines end in carriage returns.
    """
    return text.split("\n" if "\n" in text else "\r")


def read_sst(lines: list[tuple[int, str]], rows: Rows) -> None:
    """Read numbered lines of `label ||| sentence`."""
    for number, line in lines:
        label, separator, text = line.partition(SEPARATOR)
        if "\r" in line.strip() and SEPARATOR in text:
            rows.add_mistake(
                number, "a carriage return joins two rows; expected a line feed.", "line end"
            )
        elif separator:
            rows.add(number, label, text)
        else:
            start = line.strip()[:60]
            rows.add_mistake(
                number,
                f"found {start!r}; expected `label {SEPARATOR} sentence`. For columns, set "
                "data.separator, data.text and data.label (by number without a header).",
                "no label",
            )


def read_fasttext(lines: list[tuple[int, str]], rows: Rows) -> None:
    """Read numbered lines of `__label__class sentence`."""
    for number, line in lines:
        words = line.split()
        labels = [word for word in words if word.startswith(FASTTEXT)]
        if len(labels) != 1 or words[0] != labels[0]:
            rows.add_mistake(
                number,
                f"found {len(labels)} labels; expected one `{FASTTEXT}...` at the line's start, "
                "then the sentence. Several labels of one text are multi-label classification.",
                "fasttext",
            )
            continue
        rows.add(number, labels[0].removeprefix(FASTTEXT), line.strip()[len(labels[0]) :])


def read_trec(lines: list[tuple[int, str]], source: DataSource, rows: Rows) -> None:
    """Read numbered lines of `COARSE:fine question`; the label is the coarse class, or both."""
    is_fine = source.label == "fine"
    if not is_fine:
        rows.notes.append("labels are TREC's coarse classes; data.label=fine reads the fine ones.")
    for number, line in lines:
        match = TREC.match(line)
        assert match is not None, "every line has matched"
        coarse, fine, text = match.groups()
        rows.add(number, f"{coarse}:{fine}" if is_fine else coarse, text)


def read_class_folders(folder: Path, encoding: str, rows: Rows) -> None:
    """Read one text per file; the name of a file's folder is its label."""
    classes = class_folders(folder)
    texts = {path for files in classes.values() for path in files}
    unread = [path for path in [*folder.glob("*"), *folder.glob("*/*")] if path.is_file()]
    unread = sorted(p for p in unread if p not in texts and not p.name.startswith("."))
    if unread:
        rows.notes.append(
            f"{count_words(len(unread), 'file')} beside the texts of a class not read, such as "
            f"{unread[0].relative_to(folder)}."
        )
    for label, files in classes.items():
        for path in files:
            rows.paths.append(str(path))
            number = len(rows.paths)
            try:
                text = path.read_bytes().decode(encoding)
            except UnicodeDecodeError as error:
                rows.add_mistake(number, f"not {encoding} text ({error.reason}).", "encoding")
                continue
            rows.add(number, label, text)


def read_class_names(path: Path) -> ClassNames:
    """Read class names: a JSON list, or an object from name to index or from index to name.

    An object states the index of each name, from 0 or from 1. Raises Refused.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Refused(f"{path}: not readable as JSON ({error}).") from error
    names, first_label = _names_in_order(content)
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise Refused(
            f"{path}: expected a JSON list of class names, or an object with their indices from 0 "
            "or from 1."
        )
    if len(set(names)) < len(names):
        raise Refused(f"{path}: a class name appears twice; expected each name once.")
    return ClassNames(tuple(names), first_label)


def _names_in_order(content: object) -> tuple[object, int | None]:
    """Return the names and, if the file states the indices, that of the first name."""
    if not isinstance(content, dict):
        return content, None
    by_index = {str(v): k for k, v in content.items()} | {
        k: v for k, v in content.items() if isinstance(v, str)
    }
    for first in (0, 1):
        indices = [str(index) for index in range(first, first + len(content))]
        if all(index in by_index for index in indices):
            return [by_index[index] for index in indices], first
    return None, None
