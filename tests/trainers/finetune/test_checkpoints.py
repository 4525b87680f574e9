"""Checkpoints that hold code, and disks that are full while one is written."""

import hashlib
import json
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from tests.trainers.small import Recorder, job_for, same_tensors
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.checkpoints import CheckpointFolder
from trytable.trainers.models.backbone import LoadedModel

TOP = Path(__file__).resolve().parents[3]


class Poison:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mknod, ("touched-by-a-pickle",)


def test_a_checkpoint_that_holds_code_is_passed_over(
    odd: Path, bert: LoadedModel, monkeypatch: Any
) -> None:
    """Its manifest agrees with it to the last byte; it is no safetensors file, so it is none."""
    monkeypatch.chdir(odd)
    job, settings = job_for(odd / "poisoned", bert.folder, epochs=1)
    last = Path(job.folder) / "checkpoints" / "last"
    last.mkdir(parents=True)
    poison = pickle.dumps(Poison())
    (last / "values.json").write_text("{}")
    (last / "model.safetensors").write_bytes(poison)
    torch.save(Poison(), last / "optimizer.safetensors")
    files = {
        path.name: {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in last.iterdir()
    }
    (last / "manifest.json").write_text(json.dumps(files))
    assert CheckpointFolder(last.parent).resume() is None
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.events[0].model_dump()["resumed_from_step"] == 0
    assert not list(odd.rglob("touched-by-a-pickle"))


FULL = """
import sys, torch
from pathlib import Path
from trytable.trainers.finetune.checkpoints import CheckpointFolder
kept = CheckpointFolder(Path(sys.argv[1]))
small, large = torch.arange(1000.0), torch.ones(300_000)
kept.save_last({"step": 1}, {"model": {"w": small}})
try:
    kept.save_last({"step": 2}, {"model": {"w": large}})
except Exception as error:
    print(type(error).__name__, error)
found = kept.resume()
print(found.values["step"], torch.equal(found.tensors["model"]["w"], small))
print(sorted(path.name for path in Path(sys.argv[1]).iterdir()))
"""


def test_a_full_disk_leaves_the_checkpoint_before_as_it_was(odd: Path) -> None:
    """A real small disk; nothing half-written stays on it."""
    disk = odd / "disk"
    disk.mkdir()
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    words = (
        f"mount -t tmpfs -o size=512k none {shlex.quote(str(disk))} && "
        f"exec {shlex.quote(sys.executable)} -c {shlex.quote(FULL)} "
        f"{shlex.quote(str(disk / 'checkpoints'))}"
    )
    completed = subprocess.run(
        [*unshare, "sh", "-c", words], cwd=TOP, capture_output=True, text=True, check=True
    )
    message, resumed, folders = completed.stdout.splitlines()
    assert "No space left" in message
    assert resumed == "1 True"
    assert folders == "['last']"


def test_a_worker_goes_on_when_the_disk_has_room_again(
    odd: Path, bert: LoadedModel, monkeypatch: Any
) -> None:
    """The attempt fails as any that may be tried again; the next comes to the same end."""
    knobs: dict[str, Any] = {"epochs": 3, "checkpoint_seconds": 0}
    job, settings = job_for(odd / "whole", bert.folder, **knobs)
    trainer.train(job, settings, Recorder(), bert)
    whole = CheckpointFolder(Path(job.folder) / "checkpoints").best()

    job, settings = job_for(odd / "full", bert.folder, **knobs)
    real, saved = CheckpointFolder.save_last, []

    def fills_up(self: CheckpointFolder, *arguments: Any) -> None:
        saved.append(1)
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        real(self, *arguments)

    monkeypatch.setattr(CheckpointFolder, "save_last", fills_up)
    try:
        trainer.train(job, settings, Recorder(), bert)
    except OSError:
        pass
    else:
        raise AssertionError("the second checkpoint found no room")
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert line.events[0].model_dump()["resumed_from_step"] > 0
    retried = CheckpointFolder(Path(job.folder) / "checkpoints").best()
    assert whole is not None
    assert retried is not None
    assert same_tensors(whole.tensors["model"], retried.tensors["model"])
