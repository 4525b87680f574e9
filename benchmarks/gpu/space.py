"""Where a step works, on which device, and how large its models, texts and trials are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.card import CPU, Card, first_card

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """What is trained: of full size on a GPU, in little on a CPU.

    Args:
        train: training sentences; `dev`: those of dev and of test.
        tokens: the longest sentence.
        batch: sentences per step.
        lrs, decays: the points of the sweep: every pair.
        epochs: epochs of a trial of the sweep.
        together: how many trials share the device, one measurement each.
        window_seconds: how long their steps are counted.
    """

    is_small: bool
    train: int
    dev: int
    tokens: int
    batch: int
    lrs: Sequence[float]
    decays: Sequence[float]
    epochs: int
    together: Sequence[int]
    window_seconds: float


ON_CARD = Sizes(
    is_small=False,
    train=1024,
    dev=512,
    tokens=128,
    batch=32,
    lrs=(1e-5, 3e-5, 1e-4, 2e-4, 3e-4, 5e-4),
    decays=(0.0, 0.01, 0.03, 0.1),
    epochs=2,
    together=(1, 2, 4, 8),
    window_seconds=4.0,
)
ON_CPU = Sizes(
    is_small=True,
    train=160,
    dev=64,
    tokens=64,
    batch=16,
    lrs=(1e-3, 3e-3),
    decays=(0.0, 0.01),
    epochs=4,
    together=(1, 2),
    window_seconds=1.5,
)


@dataclass(frozen=True)
class Space:
    """The folder, the device and the sizes of a step. `card` is None on a CPU."""

    folder: Path
    card: Card | None
    sizes: Sizes

    @property
    def device(self) -> str:
        """The device of a slot: the card's UUID, or `cpu`."""
        return self.card.uuid if self.card else CPU

    @property
    def texts(self) -> Path:
        return self.folder / "texts"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def model(self, family: str) -> Path:
        return self.folder / "models" / family


def open_space(device: str, folder: Path) -> Space:
    """Return the space of a step. Raises LookupError if there is no GPU for `cuda`."""
    if device == CPU:
        return Space(folder, None, ON_CPU)
    card = first_card()
    if card is None:
        raise LookupError("DEVICE=cuda: there is no GPU that this process may use.")
    return Space(folder, card, ON_CARD)
