"""What decides how much memory a trial takes, how it is measured, and how it runs out."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import Recorder, job_for
from trytable.records import LaunchSettings
from trytable.trainers.finetune import memory, trainer
from trytable.trainers.finetune.memory import (
    CONTEXT_BYTES,
    device_memory,
    peak_bytes,
    process_memory,
)
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.protocol.memory_knobs import BY_USE, BY_VALUE, NO_EFFECT, memory_shape
from trytable.trainers.protocol.messages import (
    Epoch,
    FinetuneSettings,
    ScriptSettings,
    SimulatedSettings,
)

TOP = Path(__file__).resolve().parents[3]

DEFAULTS = FinetuneSettings().model_dump()


def shape(**knobs: object) -> str:
    return memory_shape({**DEFAULTS, **knobs})


def test_every_knob_is_said_to_decide_memory_or_not_to() -> None:
    """A new knob belongs into one of the sets of trainers/protocol/memory_knobs.py."""
    sets = (BY_VALUE, BY_USE, NO_EFFECT)
    assert set().union(*sets) == set(FinetuneSettings.model_fields)
    assert sum(map(len, sets)) == len(FinetuneSettings.model_fields), "a knob stands in two sets"


def test_trials_of_one_shape_differ_in_what_takes_no_memory() -> None:
    assert shape(lr=1e-5, epochs=9, dropout=0.3) == shape()
    assert shape(batch_size=64) != shape()
    assert shape(freeze=2) != shape(freeze=3)
    assert shape(dropout=0.0) != shape()
    assert shape(augment_delete=0.1) == shape(augment_delete=0.2) != shape()


def test_a_knob_that_nobody_knows_counts_by_its_value() -> None:
    assert shape(new=1) != shape(new=2)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_context_is_what_the_driver_counts_and_torch_does_not(
    reserved: int, context: int, freed: int
) -> None:
    peak = reserved + freed
    assert peak_bytes(peak, reserved, reserved + context) == peak + context
    assert peak_bytes(peak, reserved, None) == peak + CONTEXT_BYTES


def test_a_figure_below_what_torch_holds_is_another_processs() -> None:
    assert peak_bytes(5 * 2**30, 4 * 2**30, 2**30) == 5 * 2**30 + CONTEXT_BYTES


def test_without_a_gpu_nothing_is_told(tmp_path: Path, bert: LoadedModel) -> None:
    assert process_memory(os.getpid(), "GPU-no-such") is None
    assert device_memory(torch.device("cpu"), "cpu") is None
    job, settings = job_for(tmp_path, bert.folder, epochs=1)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    (epoch,) = line.said(Epoch)
    assert (epoch.peak_device_bytes, epoch.device_bytes) == (None, None)


@pytest.mark.parametrize(
    ("error", "device", "anywhere"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True, True),
        (RuntimeError("CUDA error: out of memory"), True, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), False, True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, False),
    ],
)
def test_memory_that_ran_out_is_known_by_its_words(
    error: Exception, device: bool, anywhere: bool
) -> None:
    assert memory.is_device_oom(error) == device
    assert memory.is_oom(error) == anywhere


WITHOUT_TORCH = """
import socket, sys
from trytable.trainers.entrypoints import worker
from trytable.trainers.protocol.messages import Job
ours, theirs = socket.socketpair()
worker.run(Job.model_validate_json(sys.argv[1]), theirs, None)
print(b'"failed"' in ours.recv(2**20), [m for m in ("torch", "pynvml") if m in sys.modules])
"""


@pytest.mark.parametrize(
    "settings",
    [
        SimulatedSettings(crash="error"),
        ScriptSettings(launch=LaunchSettings(command=(sys.executable, "-c", "")), values={}),
    ],
)
def test_workers_of_other_trainers_import_no_torch(tmp_path: Path, settings: Any) -> None:
    """Not even to tell whether memory ran out, when an attempt fails on a shared device."""
    job, _ = job_for(tmp_path, "no model")
    job = job.model_copy(update={"settings": settings, "shared_device": True})
    words = [sys.executable, "-c", WITHOUT_TORCH, job.model_dump_json()]
    completed = subprocess.run(words, cwd=TOP, capture_output=True, text=True, check=True)
    assert completed.stdout == "True []\n"
