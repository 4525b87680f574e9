"""Checkpoints, written whole or not at all: safetensors and JSON under a manifest of hashes."""

import hashlib
import json
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trytable.files import flush_to_disk
from trytable.trainers.finetune.progress import TrainingProgress
from trytable.trainers.finetune.step import Stepper
from trytable.trainers.models.classifier import Classifier
from trytable.trainers.models.state_dict import (
    Weights,
    copy_moments,
    copy_weights,
    load_moments,
    load_weights,
)
from trytable.trainers.protocol.messages import FinetuneSettings, Job

_MANIFEST = "manifest.json"

Tensors = dict[str, dict[str, Tensor]]
"""Tensors by name, in groups: each group is a file."""


@dataclass(frozen=True)
class CheckpointContents:
    """What a checkpoint holds; `tensors` lie on the CPU."""

    values: dict[str, Any]
    tensors: Tensors


class CheckpointFolder:
    """The checkpoints of one trial: `last` and `previous` to resume from, `best` to keep.

    Args:
        folder: the trial's checkpoints folder; made on the first save.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save_last(self, values: dict[str, Any], tensors: Tensors) -> None:
        """Save a resumable state; the one before stays as `previous`. Raises OSError."""
        _write(self._folder / "last", values, tensors, keep=self._folder / "previous")

    def save_best(self, values: dict[str, Any], tensors: Tensors) -> None:
        """Save the weights to keep. Raises OSError."""
        _write(self._folder / "best", values, tensors)

    def resume(self) -> CheckpointContents | None:
        """The newest resumable state that is whole, or None.

        Deletes what a killed attempt half wrote: only one attempt at a time has this folder.
        """
        for path in self._half_written():
            shutil.rmtree(path, ignore_errors=True)
        found = (_read(self._folder / name) for name in ("last", "previous"))
        return next((one for one in found if one is not None), None)

    def best(self) -> CheckpointContents | None:
        """The weights kept, if they are whole."""
        return _read(self._folder / "best")

    def forget_resumable(self) -> None:
        """Delete what only a resumed trial would need, and what a killed attempt half wrote."""
        for path in (self._folder / "last", self._folder / "previous", *self._half_written()):
            shutil.rmtree(path, ignore_errors=True)

    def _half_written(self) -> list[Path]:
        return list(self._folder.glob(".*.*"))

    def forget_all(self) -> None:
        """Delete every checkpoint."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(
    folder: Path, values: dict[str, Any], tensors: Tensors, keep: Path | None = None
) -> None:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        for name, group in tensors.items():
            save_file(group, temporary / f"{name}.safetensors")
        (temporary / "values.json").write_text(json.dumps(values))
        files = {path.name: _describe(path) for path in sorted(temporary.iterdir())}
        (temporary / _MANIFEST).write_text(json.dumps(files, indent=1))
        for path in (*temporary.iterdir(), temporary):
            flush_to_disk(path)
        if folder.exists():
            _set_aside(folder, keep)
        temporary.rename(folder)
        flush_to_disk(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _set_aside(folder: Path, keep: Path | None) -> None:
    """Make room for a new folder; a crash in between leaves the old one under `keep`."""
    if keep is None:
        shutil.rmtree(folder)
        return
    shutil.rmtree(keep, ignore_errors=True)
    folder.rename(keep)


def _read(folder: Path) -> CheckpointContents | None:
    """A checkpoint that agrees with its manifest to the last byte, else None."""
    try:
        files = json.loads((folder / _MANIFEST).read_text())
        if any(_describe(folder / name) != found for name, found in files.items()):
            return None
        values = json.loads((folder / "values.json").read_text())
        names = [name for name in files if name.endswith(".safetensors")]
        tensors = {name.removesuffix(".safetensors"): load_file(folder / name) for name in names}
    except (OSError, ValueError, AttributeError, SafetensorError):
        return None
    return CheckpointContents(values, tensors)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


_IDENTITY = {"trial_uid", "model", "data_hash", "seed"}
"""What tells jobs apart whose settings are the same."""


class Checkpointer:
    """The checkpoints of one trial's live objects."""

    def __init__(
        self,
        job: Job,
        settings: FinetuneSettings,
        model: Classifier,
        optimizer: torch.optim.Optimizer,
        stepper: Stepper,
    ) -> None:
        self._job, self._settings = job, settings
        self._model, self._optimizer, self._stepper = model, optimizer, stepper
        self.checkpoints = CheckpointFolder(Path(job.folder) / "checkpoints")

    def save(self, progress: TrainingProgress, best: Weights) -> None:
        """Write a state from which another attempt goes on as if nothing had happened."""
        tensors: Tensors = {
            "model": copy_weights(self._model),
            "optimizer": copy_moments(self._model, self._optimizer),
        }
        if best:
            tensors["best"] = best
        values = {
            "of": self._identity(),
            "progress": asdict(progress),
            "scaler": self._stepper.state(),
        }
        self.checkpoints.save_last(values, tensors)

    def resume(self) -> tuple[TrainingProgress, Weights]:
        """Take up the newest whole checkpoint of this very job, if there is one."""
        found: CheckpointContents | None = self.checkpoints.resume()
        if found is None or found.values.get("of") != self._identity():
            return TrainingProgress(), {}
        progress = TrainingProgress(**found.values["progress"])
        load_weights(self._model, found.tensors["model"])
        load_moments(self._model, self._optimizer, found.tensors["optimizer"])
        self._stepper.load_state(found.values["scaler"])
        if progress.micro_batch:
            self._stepper.micro_batch = progress.micro_batch
        return progress, found.tensors.get("best", {})

    def save_best(self, progress: TrainingProgress, classes: list[str]) -> None:
        """Keep the model as it is, which is that of the best epoch."""
        weights = {name: one.cpu().contiguous() for name, one in self._model.state_dict().items()}
        values: dict[str, Any] = {
            "model": self._job.model,
            "epoch": progress.best_epoch,
            "value": progress.best_value,
            "dev_accuracy": progress.best_accuracy,
            "classes": classes,
            "settings": self._settings.model_dump(),
            "seed": self._job.seed,
        }
        self.checkpoints.save_best(values, {"model": weights})

    def _identity(self) -> dict[str, Any]:
        """Whose checkpoint it is: a folder may still hold those of a study that was deleted."""
        kept = self._job.model_dump(mode="json", include=_IDENTITY)
        return {**kept, "settings": self._settings.model_dump(mode="json")}
