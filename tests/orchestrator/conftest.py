"""A study of small real models, trained once for all tests that go on from there."""

from pathlib import Path

import pytest

from tests.orchestrator.running import run, write_sweep
from tests.trainers.small import DATA, lines, save_model
from trytable.orchestrator.paths import Folders

SMALL = """
baseline: {epochs: 2, batch_size: 8, lr: 1e-3, dropout: 0.1, precision: fp32, log_every_steps: 1}
parameters:
  dropout: [0.1, 0.3]
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Two completed tries of a small BERT; `model` and `data` lie beside `runs`."""
    folder = tmp_path_factory.mktemp("trained") / "it's $(a) {study}"
    write_sweep(folder, SMALL, "small")
    save_model(folder / "model")
    write_data(folder / "data")
    code, printed = run(
        folder,
        NAME="small",
        SLOTS="1",
        MODEL=str(folder / "model"),
        DATA=str(folder / "data"),
    )
    assert code == 0, printed
    return Folders(folder / "runs", "small")


def write_data(folder: Path) -> None:
    """Sentences of two classes."""
    folder.mkdir(exist_ok=True)
    for name, split in DATA.splits.items():
        rows = (
            f"{label} ||| {text}" for label, text in zip(split.labels, split.texts, strict=True)
        )
        (folder / f"{name}.txt").write_text(lines(*rows))
