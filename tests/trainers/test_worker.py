"""How a worker's failures are named: only an error of unknown kind is worth another attempt."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.small import job_for
from trainers import finetune, worker
from trainers.backbone import LoadedModel
from trainers.protocol import AnyEvent, Failed, Refused, parse_event
from trainers.stepping import NonFinite


def said(folder: Path, loaded: LoadedModel, **knobs: Any) -> list[AnyEvent]:
    """What a worker says over a real socket."""
    job, _ = job_for(folder, loaded.folder, epochs=1, **knobs)
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
        (finetune.Mismatch("lr: 1 asked, 2 found"), "mismatch"),
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

    monkeypatch.setattr(finetune.Run, "go", fail)
    (failed,) = said(tmp_path, bert)
    assert isinstance(failed, Failed)
    assert (failed.kind, str(error) in failed.message) == (kind, True)
    assert "Traceback" in failed.traceback


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
