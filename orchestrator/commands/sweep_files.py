"""Writes sweep files beside the others, and never over one."""

import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import trytable.sweeps as sweeps_room
from trytable.sweeps.config import loader
from trytable.trainers.protocol.messages import TRAINERS


def write_sweep(
    folder: Path, stem: str, text: str, overrides: Mapping[str, object] = loader.NO_OVERRIDES
) -> Path:
    """Write STEM.yaml, or STEM2.yaml and so on: whatever is there stays.

    Nothing is written that is no sweep with these overrides. Raises SweepError, OSError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / f"{stem}.yaml"
        draft.write_text(text, encoding="utf-8")
        loader.read_sweep(draft, TRAINERS, overrides)
    for number in count(1):
        path = folder / f"{stem}{'' if number == 1 else number}.yaml"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        return path
    raise AssertionError("counting never ends")


def sweeps_folder() -> Path:
    """`sweeps/` of the folder one stands in, else the one that came with Trytable."""
    here = Path("sweeps")
    return here if here.is_dir() else Path(sweeps_room.__file__).parent
