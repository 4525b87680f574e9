"""Reads sweep files by name, and writes new ones beside them without overwriting any."""

import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from trytable.orchestrator.commands.locations import sweeps_folder
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config import loader


def load_sweep(name: str, overrides: Mapping[str, object] = loader.NO_OVERRIDES) -> loader.Sweep:
    """Return the sweep of a name with these overrides. Raises SweepError with every mistake."""
    return loader.read_sweep(loader.find_sweep(sweeps_folder(), name), KINDS, overrides)


def write_sweep(
    folder: Path, stem: str, text: str, overrides: Mapping[str, object] = loader.NO_OVERRIDES
) -> Path:
    """Write STEM.yaml, or STEM2.yaml and so on if that exists, and return its path.

    The text is first read as a sweep with the overrides, so that no invalid file is left behind.
    Raises SweepError and OSError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / f"{stem}.yaml"
        draft.write_text(text, encoding="utf-8")
        loader.read_sweep(draft, KINDS, overrides)
    for number in count(1):
        path = folder / f"{stem}{'' if number == 1 else number}.yaml"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        return path
    raise AssertionError("count() never ends")
