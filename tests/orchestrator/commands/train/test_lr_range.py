"""`make lr-range`, in processes of its own, on a small model and text."""

import io
import json
import math
import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import ValidationError
from rich.console import Console

from tests.orchestrator.running import family, run, start, wait_all_gone, wait_for, write_sweep
from tests.trainers.small import save_data, save_model
from trytable.orchestrator.commands.option_records import RangeTestOptions
from trytable.orchestrator.commands.train.lr_range import (
    MAX_LR,
    RangeTestRequest,
    parse_freezes,
    run_range_test,
)
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import SweepError, read_sweep
from trytable.trainers.protocol.messages import FinetuneSettings

SWEEP = """
# what was tried by hand
baseline: {lr: 1e-3, batch_size: 16, epochs: 1, precision: fp32}
parameters:
  dropout: [0.0, 0.1]  # kept
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "small bert")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sweep(tmp_path, SWEEP)
    save_data(tmp_path / "data")
    return tmp_path


@pytest.fixture
def one_core() -> Iterator[None]:
    """Models so small are much slower on many threads where cores are busy."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
def test_it_suggests_rates_and_writes_page_picture_and_sweep(folder: Path, model: Path) -> None:
    variables: dict[str, Any] = {
        "DATA": "data", "MODEL": str(model), "FREEZE": "none,2,none", "STEPS": "30", "SEEDS": "2",
        "LR_FROM": "1e-5", "LR_TO": "1", "APPLY": "1", "SET": "weight_decay=0.0 dropout=0.1",
    }  # fmt: skip
    code, printed = run(folder, "lr-range", **variables)
    assert code == 0, printed
    home = folder / "runs" / "quality" / "lr_range"
    found = json.loads((home / "lr_range.json").read_text())
    assert (found["rise"]["steps"], found["sweep"]["baseline"]["weight_decay"]) == (30, 0.0)
    none, two = found["strategies"]
    assert (none["freeze"], two["freeze"]) == ("none", "2")
    curves = [curve for one in (none, two) for curve in one["curves"]]
    assert [curve["seed"] for curve in curves] == [42, 43, 42, 43]
    for curve in curves:
        assert curve["lr"] == pytest.approx(list(np.geomspace(1e-5, 1, 30))[: len(curve["lr"])])
        ended = f"freeze {curve['freeze']}, seed {curve['seed']}: {len(curve['lr'])} steps to lr "
        assert ended in printed
    lines = (home / "lr_range.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(len(curve["lr"]) for curve in curves)
    assert (home / "lr_range.png").stat().st_size > 5000
    assert "freeze none: start with lr " in printed
    _check_copy(folder, printed, model, none)


def _check_copy(folder: Path, printed: str, model: Path, none: dict[str, Any]) -> None:
    written = folder / "sweeps" / "quality-lr.yaml"
    assert "# what was tried by hand" in written.read_text()
    assert "# kept" in written.read_text()
    sweep = read_sweep(written, KINDS)
    assert "dropout" in sweep.parameters
    rates = sorted({*sweep.parameters["lr"].values} - {1e-3})
    low, high = none["bounds"]
    assert (rates[0], rates[-1]) == pytest.approx((low, high), rel=0.06)
    command = f"make sweep NAME=quality-lr DATA=data MODEL={shlex.quote(str(model))} SET="
    assert f"quality-lr.yaml: run it with {command}'weight_decay=0.0 dropout=0.1'" in printed


def test_all_mistakes_are_said_at_once_and_at_once(folder: Path) -> None:
    variables: dict[str, Any] = {
        "LR_FROM": "1",
        "LR_TO": "0.1",
        "STEPS": "5",
        "SEEDS": "0",
        "FREEZE": "hlaf,-1",
    }
    code, printed = run(folder, "lr-range", **variables)
    assert (code, printed.splitlines()) == (
        2,
        [
            "trytable: LR_FROM=1 LR_TO=0.1: the rate must rise. Use LR_FROM above 0 and below "
            "LR_TO, and LR_TO at most 1, the highest lr of a sweep.",
            "STEPS=5 shows no slope. Use at least 20.",
            "SEEDS=0 trains nothing. Use at least 1.",
            *(line for line in printed.splitlines() if line.startswith("FREEZE: ")),
        ],
    )
    assert "FREEZE: 'hlaf' is not allowed. Did you mean half? Allowed: " in printed
    assert "FREEZE: '-1' is not allowed" in printed
    assert not (folder / "runs").exists()


def request(
    options: RangeTestOptions,
    name: str = "quality",
    overrides: Mapping[str, object] = MappingProxyType({}),
) -> RangeTestRequest:
    return RangeTestRequest(name, Path("runs"), overrides, {}, options, apply=True)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (request(RangeTestOptions(high=2.0)), "LR_TO at most 1, the highest lr of a sweep"),
        (request(RangeTestOptions(low=math.nan)), "LR_FROM=nan LR_TO=1: the rate must rise"),
        (request(RangeTestOptions(freezes="full")), "freeze none, which FREEZE does not name"),
        (
            request(RangeTestOptions(), overrides={"head_lr": 0.1}),
            "Use head_lr_multiplier instead (here 100)",
        ),
        (
            request(
                RangeTestOptions(freezes="half,embeddings.*"),
                overrides={"freeze": "half", "unfreeze_layers_per_epoch": 1},
            ),
            "FREEZE: with embeddings.*: unfreeze_layers_per_epoch 1 unfreezes layers",
        ),
        (request(RangeTestOptions(), "played"), "trainer scripted has no learning rate"),
        (request(RangeTestOptions(), "qualiti"), "Did you mean quality?"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wanted: RangeTestRequest, said: str
) -> None:
    write_sweep(folder, "trainer: scripted\nparameters: {value: [0.1]}\n", name="played")
    monkeypatch.chdir(folder)
    with pytest.raises((UserError, SweepError)) as refusal:
        run_range_test(wanted, Console(file=io.StringIO()))
    assert said in str(refusal.value)
    assert not (folder / "runs").exists()


def test_ctrl_c_leaves_no_process_and_no_file(folder: Path, model: Path) -> None:
    process = start(folder, "lr-range", DATA="data", MODEL=str(model), STEPS="100000", LR_TO="1e-6")
    wait_for(process, lambda: len(psutil.Process(process.pid).children(recursive=True)) > 0)
    members = family(process)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Traceback" not in printed
    wait_all_gone(members)
    assert not (folder / "runs" / "quality" / "lr_range").exists()


def test_freeze_strategies_are_words_numbers_and_patterns() -> None:
    baseline = FinetuneSettings(freeze="embed").model_dump()
    found, mistakes = parse_freezes("none, half,3,embeddings.* x.*,03,half", baseline)
    assert (found, mistakes) == (("none", "half", 3, "embeddings.* x.*"), [])
    assert parse_freezes("", baseline) == (("embed",), [])


@pytest.mark.parametrize("lr", [MAX_LR, MAX_LR * 1.01])
def test_the_highest_rate_is_a_sweep_s(lr: float) -> None:
    with nullcontext() if lr <= MAX_LR else pytest.raises(ValidationError):
        FinetuneSettings(lr=lr)
