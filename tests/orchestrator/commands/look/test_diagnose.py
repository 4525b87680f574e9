"""`diagnose`: what is said before a sweep, by the command line and a process of its own."""

from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.running import run, write_sweep
from tests.trainers.small import save_data, save_model
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.run.subprocesses import Subprocess
from trytable.trainers.protocol.messages import RangePoint

SWEEP = """
baseline: {lr: RATE, epochs: 3, batch_size: 8, precision: fp32}
parameters: {dropout: [0.0, 0.1]}
"""


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    data, model = save_data(tmp_path / "data"), save_model(tmp_path / "model")
    return {"DATA": str(data), "MODEL": str(model)}


def test_a_sound_sweep_and_one_that_cannot_learn(tmp_path: Path, small: dict[str, Any]) -> None:
    write_sweep(tmp_path, SWEEP.replace("RATE", "3e-3"))
    code, printed = run(tmp_path, "diagnose", **small)
    assert code == 0, printed
    assert "8 checks: 0 failed" in printed
    for name in ("labels", "class balance", "text lengths", "parameters", "learning rates",
                 "one step", "by heart"):  # fmt: skip
        assert f"\n{name}: " in printed
    assert "linear over 27 steps, 3 of them warm-up" in printed
    assert not (tmp_path / "runs" / "quality").exists()
    code, printed = run(tmp_path, "diagnose", SET="lr=1e-9", **small)
    assert code == 1, printed
    assert "by heart: failed" in printed
    assert "try a higher lr" in printed


def test_a_person_s_mistake_is_said_in_a_sentence(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP.replace("RATE", "1e-3"))
    code, printed = run(tmp_path, "diagnose", DATA=str(tmp_path / "nowhere"))
    assert code == 2
    assert "Traceback" not in printed
    assert "nowhere" in printed
    write_sweep(tmp_path, "trainer: scripted\nparameters: {value: [0.1]}\n", name="played")
    code, printed = run(tmp_path, "diagnose", NAME="played")
    assert code == 2
    assert "trainer scripted has no data and no model to check" in printed


def test_a_program_that_dies_is_quoted() -> None:
    with (
        Subprocess("lr_range", RangePoint, {}, "It failed") as program,
        pytest.raises(UserError, match="It failed: KeyError: 'job'"),
    ):
        program.result()
