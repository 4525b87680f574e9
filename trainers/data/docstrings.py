"""The embedded data: real text that every installation already holds.

First paragraphs of docstrings in the sources of five packages, one class a package, with the
package's own name masked. The sources are read with `ast` and never imported. The packages are
pinned and their sources are the same in every build, so the data are the same everywhere.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from trytable.trainers.protocol.messages import Refused

PACKAGES = ("matplotlib", "pandas", "scipy", "sklearn", "transformers")
"""Measured: a linear probe on the frozen encoder's mean-pooled states reaches 0.71 on dev."""

NAME = "docstrings"
"""What a sweep calls these data."""

SIZES = {"train": 160, "dev": 100, "test": 100}
"""Sentences of each class."""

_WORDS = range(5, 25)
_LONGEST = 160
"""Characters; longer paragraphs of so few words are markup or addresses, not sentences."""
_MASK = "this package"
_GENERATED = ("version", "_version", "__config__")
_SHARES = (("train", 0.45), ("dev", 0.725), ("test", 1.0))
"""Where the splits end on the hash's way from 0 to 1, with room to fill each."""

_DISTRIBUTION = {"sklearn": "scikit-learn"}

_Split = tuple[tuple[str, ...], tuple[int, ...]]


def read() -> tuple[tuple[str, ...], dict[str, _Split]]:
    """The classes, and texts and labels of each split. Raises Refused without a package."""
    seen: set[str] = set()
    chosen = {package: _choose(package, seen) for package in PACKAGES}
    splits = {}
    for split in SIZES:
        rows = [(text, i) for i, name in enumerate(PACKAGES) for text in chosen[name][split]]
        rows.sort(key=lambda row: _digest(row[0]))  # so that classes do not stand in blocks
        splits[split] = (tuple(text for text, _ in rows), tuple(label for _, label in rows))
    return PACKAGES, splits


def fingerprint() -> str:
    """Changes when a package's version or this file does, and with them perhaps the data.

    Raises Refused without a package.
    """
    versions = [_version(_DISTRIBUTION.get(name, name)) for name in PACKAGES]
    return _digest(f"{versions} {Path(__file__).read_text()}")[:32]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise Refused(
            f"The embedded data are made from the package {distribution}: install it."
        ) from error


def _choose(package: str, seen: set[str]) -> dict[str, list[str]]:
    """Texts of one package by split, from as few files as are needed."""
    chosen: dict[str, list[str]] = {split: [] for split in SIZES}
    for path in _files(package):
        for text in _paragraphs(path, package):
            key = " ".join(text.lower().split())
            split = _split_of(key)
            if key not in seen and len(chosen[split]) < SIZES[split]:
                seen.add(key)
                chosen[split].append(text)
        if all(len(chosen[split]) == size for split, size in SIZES.items()):
            return chosen
    raise Refused(f"The embedded data need more docstrings than the package {package} holds.")


def _files(package: str) -> list[Path]:
    """The package's modules in the order of the hashes of their paths."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Refused(f"The embedded data are made from the package {package}: install it.")
    top = Path(next(iter(spec.submodule_search_locations)))
    there = [path for path in top.rglob("*.py") if path.stem not in _GENERATED]
    return sorted(there, key=lambda path: _digest(path.relative_to(top).as_posix()))


def _paragraphs(path: Path, package: str) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of other people's sources
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
