"""Writes models and texts."""

from benchmarks.gpu.models import write_model, write_texts
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import Space

FAMILIES = ("minilm", "bert", "llama")


def run(space: Space, notes: Notes) -> None:
    """Write everything that the other steps train."""
    write_texts(space.texts, space.sizes)
    for family in FAMILIES:
        folder = write_model(space.model(family), family, space.sizes)
        size = (folder / "model.safetensors").stat().st_size
        notes.figure(f"{family} MB", size / 1e6)
