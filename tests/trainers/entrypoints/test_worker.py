"""How a worker's failures are named: only an error of unknown kind is worth another attempt."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.finetune.test_step import needs_too_much
from tests.trainers.small import job_for
from trytable.records import Refused
from trytable.trainers.entrypoints import worker
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.step import NonFinite
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.protocol.messages import AnyEvent, Failed, parse_event


def said(
    folder: Path, loaded: LoadedModel, shared_device: bool = False, **knobs: Any
) -> list[AnyEvent]:
    """What a worker says over a real socket."""
    job, _ = job_for(folder, loaded.folder, epochs=1, **knobs)
    job = job.model_copy(update={"shared_device": shared_device})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.run(job, theirs, loaded)
        theirs.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as lines:
            return [parse_event(line) for line in lines]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused("no such thing"), "user"),
        (trainer.Mismatch("lr: 1 asked, 2 found"), "mismatch"),
        (NonFinite("the loss is nan"), "non_finite"),
        (torch.OutOfMemoryError("too much"), "oom"),
        (KeyError("x"), "error"),
    ],
)
def test_an_exception_is_said_with_its_kind(
    tmp_path: Path,
    bert: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: str,
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(trainer.TrainingRun, "execute", fail)
    (failed,) = said(tmp_path, bert)
    assert isinstance(failed, Failed)
    assert (failed.kind, str(error) in failed.message) == (kind, True)
    assert "Traceback" in failed.traceback


def test_memory_that_runs_out_on_a_shared_gpu_is_said_to_be_shared(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = trainer.TrainingRun.execute

    def squeezed(run: trainer.TrainingRun) -> None:
        run.model.register_forward_pre_hook(needs_too_much(2))
        go(run)

    monkeypatch.setattr(trainer.TrainingRun, "execute", squeezed)
    failed = said(tmp_path / "shared", bert, shared_device=True)[-1]
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.shared_device) == ("oom", True)
    assert said(tmp_path / "alone", bert)[-1].event == "finished"


@pytest.mark.parametrize("shared", [True, False])
def test_a_context_that_finds_no_memory_is_out_of_it_only_where_others_are(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """Alone on its GPU, it may be another program's fault: another attempt is worth it."""

    def fail(_: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(trainer.TrainingRun, "execute", fail)
    (failed,) = said(tmp_path, bert, shared_device=shared)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.shared_device) == ("oom" if shared else "error", shared)


def test_a_line_that_a_killed_attempt_cut_off_swallows_no_other(
    tmp_path: Path, bert: LoadedModel
) -> None:
    """The next attempt's first word stands in a line of its own."""
    events = tmp_path / "trial" / "events.jsonl"
    events.parent.mkdir()
    events.write_text('{"event":"step","attempt":1,"lo')
    heard = [*said(tmp_path, bert), *said(tmp_path, bert)]
    _, *lines = events.read_bytes().splitlines()
    assert [parse_event(line) for line in lines] == heard
