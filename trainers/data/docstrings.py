"""The embedded data set: docstrings, classified by the package they come from.

A text is the first paragraph of a docstring of one of five installed packages, with the package's
own name masked. The sources are parsed with `ast` and never imported. The packages are pinned and
have the same sources in every build, so the data are the same on every machine.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from trytable.records import Refused

PACKAGES = ("matplotlib", "pandas", "scipy", "sklearn", "transformers")
"""One class each. A linear probe on the frozen encoder's mean-pooled states reaches a dev accuracy
of 0.71 (measured)."""

NAME = "docstrings"
"""The name of these data in a sweep file."""

SIZES = {"train": 160, "dev": 100, "test": 100}
"""Sentences of each class."""

_WORDS = range(5, 25)
_LONGEST = 160
"""Characters; longer paragraphs with so few words are markup or addresses, not sentences."""
_MASK = "this package"
_GENERATED = ("version", "_version", "__config__")
_SHARES = (("train", 0.45), ("dev", 0.725), ("test", 1.0))
"""Upper ends of the splits in the hash's range from 0 to 1, with room to fill each split."""

_DISTRIBUTION = {"sklearn": "scikit-learn"}

_Split = tuple[tuple[str, ...], tuple[int, ...]]


def read() -> tuple[tuple[str, ...], dict[str, _Split]]:
    """Return the classes, and texts and labels by split. Raises Refused if a package is missing."""
    keys: set[str] = set()
    texts = {package: _choose(package, keys) for package in PACKAGES}
    splits = {}
    for split in SIZES:
        rows = [(text, i) for i, name in enumerate(PACKAGES) for text in texts[name][split]]
        rows.sort(key=lambda row: _digest(row[0]))  # mixes the classes
        splits[split] = (tuple(text for text, _ in rows), tuple(label for _, label in rows))
    return PACKAGES, splits


def fingerprint() -> str:
    """Return a hash of the packages' versions and of this file, which together decide the data.

    Raises Refused if a package is missing.
    """
    versions = [_version(_DISTRIBUTION.get(name, name)) for name in PACKAGES]
    return _digest(f"{versions} {Path(__file__).read_text()}")[:32]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise Refused(
            f"The data set docstrings is made from the package {distribution}: install it."
        ) from error


def _choose(package: str, keys: set[str]) -> dict[str, list[str]]:
    """Return the texts of one package by split; reads files until every split is full.

    `keys` are the normalised texts so far; a text that is among them is left out.
    """
    texts: dict[str, list[str]] = {split: [] for split in SIZES}
    for path in _files(package):
        for text in _paragraphs(path, package):
            key = " ".join(text.lower().split())
            split = _split_of(key)
            if key not in keys and len(texts[split]) < SIZES[split]:
                keys.add(key)
                texts[split].append(text)
        if all(len(texts[split]) == size for split, size in SIZES.items()):
            return texts
    raise Refused(f"The data set docstrings needs more docstrings than the package {package} has.")


def _files(package: str) -> list[Path]:
    """Return the package's modules, sorted by the hashes of their paths."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Refused(f"The data set docstrings is made from the package {package}: install it.")
    top = Path(next(iter(spec.submodule_search_locations)))
    files = [path for path in top.rglob("*.py") if path.stem not in _GENERATED]
    return sorted(files, key=lambda path: _digest(path.relative_to(top).as_posix()))


def _paragraphs(path: Path, package: str) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # in the packages' sources
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:
            return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, documented) else None
        if text:
            paragraph = " ".join(re.split(r"\n\s*\n", text)[0].split())
            if len(paragraph.split()) in _WORDS and len(paragraph) <= _LONGEST:
                yield re.sub(_aliases(package), _MASK, paragraph, flags=re.IGNORECASE)


def _aliases(package: str) -> str:
    return f"{package}|{_DISTRIBUTION[package]}" if package in _DISTRIBUTION else package


def _split_of(key: str) -> str:
    place = int(_digest(key)[:8], 16) / 2**32
    return next(split for split, end in _SHARES if place < end)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
