"""Deterministic kernels: required on a GPU, until a model needs an operation that has none."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.small import Recorder, job_for
from trytable.trainers.finetune import trainer
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.determinism import is_relaxed, relax, use_deterministic_kernels
from trytable.trainers.protocol.messages import Finished


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings are the process's own."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined] # a property of the module


def needs_an_operation_without_a_kernel(*_: Any) -> None:
    """torch has no deterministic implementation of this one, on a CPU either."""
    torch.zeros(2).put_(torch.tensor([0, 0]), torch.ones(2))


def test_a_gpu_gets_deterministic_kernels_and_a_cpu_keeps_its_own() -> None:
    use_deterministic_kernels(torch.device("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()
    use_deterministic_kernels(torch.device("cuda"))
    assert torch.are_deterministic_algorithms_enabled()
    assert not is_relaxed(), "with warnings alone torch keeps attention's faster kernels"
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"


@pytest.mark.filterwarnings("ignore:put_ does not have a deterministic implementation")
@pytest.mark.parametrize("only_training", [True, False])
def test_a_model_that_needs_another_operation_trains_nevertheless(
    tmp_path: Path, bert: LoadedModel, only_training: bool
) -> None:
    job, settings = job_for(tmp_path, bert.folder, epochs=1)
    line = Recorder()
    run = trainer.TrainingRun(job, settings, line, bert)

    def hook(model: torch.nn.Module, _: Any) -> None:
        if model.training or not only_training:
            needs_an_operation_without_a_kernel()

    run.model.register_forward_pre_hook(hook)
    torch.use_deterministic_algorithms(True)
    if not only_training:
        run.evaluator.evaluate(run.probe)
        assert is_relaxed()
    run.execute()
    assert line.said(Finished)
    assert is_relaxed()


def test_another_error_is_raised_again() -> None:
    torch.use_deterministic_algorithms(True)
    assert not relax(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_relaxed()
