"""Writes sweep files beside the others, and never over one."""

from itertools import count
from pathlib import Path


def write_new(folder: Path, stem: str, text: str) -> Path:
    """Write STEM.yaml, or STEM2.yaml and so on: whatever is there stays. Raises OSError."""
    for number in count(1):
        path = folder / f"{stem}{'' if number == 1 else number}.yaml"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        return path
    raise AssertionError("counting never ends")


def shown(path: Path) -> str:
    """A path as people in this folder would write it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
