"""Checkpoints of a trial: safetensors and JSON with a manifest of hashes, written atomically."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trytable.files import flush_to_disk
from trytable.trainers.data.folders import temporary_folder
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

_IDENTITY = {"trial_uid", "model", "data_hash", "seed"}
"""The fields of a job that, with its settings, decide whether it may resume from a checkpoint."""

_MANIFEST = "manifest.json"

Tensors = dict[str, dict[str, Tensor]]
"""Tensors by name, in groups; each group is a file."""


@dataclass(frozen=True)
class Checkpointer:
    """Saves the live objects of one trial, and restores them."""

    job: Job
    settings: FinetuneSettings
    model: Classifier
    optimizer: torch.optim.Optimizer
    stepper: Stepper

    @property
    def checkpoints(self) -> "CheckpointFolder":
        """The trial's checkpoints folder."""
        return CheckpointFolder(Path(self.job.folder) / "checkpoints")

    def save(self, progress: TrainingProgress, best: Weights) -> None:
        """Save a state from which another attempt continues with the same results."""
        tensors: Tensors = {
            "model": copy_weights(self.model),
            "optimizer": copy_moments(self.model, self.optimizer),
        }
        if best:
            tensors["best"] = best
        values = {
            "of": self._identity(),
            "progress": asdict(progress),
            "scaler": self.stepper.state(),
        }
        self.checkpoints.save_last(values, tensors)

    def resume(self) -> tuple[TrainingProgress, Weights]:
        """Restore the newest complete checkpoint of this job.

        Returns its progress and the best epoch's weights, or a fresh progress and no weights.
        """
        checkpoint = self.checkpoints.resume()
        if checkpoint is None or checkpoint.values.get("of") != self._identity():
            return TrainingProgress(), {}
        progress = TrainingProgress(**checkpoint.values["progress"])
        load_weights(self.model, checkpoint.tensors["model"])
        load_moments(self.model, self.optimizer, checkpoint.tensors["optimizer"])
        self.stepper.load_state(checkpoint.values["scaler"])
        if progress.micro_batch:
            self.stepper.micro_batch = progress.micro_batch
        return progress, checkpoint.tensors.get("best", {})

    def save_best(self, progress: TrainingProgress, classes: list[str]) -> None:
        """Save the model, which has the best epoch's weights, as the trial's result."""
        weights = {
            name: tensor.cpu().contiguous() for name, tensor in self.model.state_dict().items()
        }
        values: dict[str, Any] = {
            "model": self.job.model,
            "epoch": progress.best_epoch,
            "value": progress.best_value,
            "dev_accuracy": progress.best_accuracy,
            "classes": classes,
            "settings": self.settings.model_dump(),
            "seed": self.job.seed,
        }
        self.checkpoints.save_best(values, {"model": weights})

    def _identity(self) -> dict[str, Any]:
        """Identify the job: the folder may still have checkpoints of a deleted study."""
        job = self.job.model_dump(mode="json", include=_IDENTITY)
        return {**job, "settings": self.settings.model_dump(mode="json")}


@dataclass(frozen=True)
class CheckpointContents:
    """The contents of a checkpoint; `tensors` are on the CPU."""

    values: dict[str, Any]
    tensors: Tensors


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of one trial: `last` and `previous` to resume from, `best` as the result.

    Two resumable ones exist, so that a torn `last` costs one interval and not the whole trial.

    Args:
        folder: the trial's checkpoints folder; created by the first save.
    """

    folder: Path

    def save_last(self, values: dict[str, Any], tensors: Tensors) -> None:
        """Save a resumable state; the one before becomes `previous`. Raises OSError."""
        _write(self.folder / "last", values, tensors, previous=self.folder / "previous")

    def save_best(self, values: dict[str, Any], tensors: Tensors) -> None:
        """Save the trial's result. Raises OSError."""
        _write(self.folder / "best", values, tensors)

    def resume(self) -> CheckpointContents | None:
        """Read the newest complete resumable state, or return None.

        Deletes the unfinished writes of a killed attempt: only one attempt at a time uses this
        folder.
        """
        for path in self._unfinished():
            shutil.rmtree(path, ignore_errors=True)
        checkpoints = (_read(self.folder / name) for name in ("last", "previous"))
        return next((checkpoint for checkpoint in checkpoints if checkpoint is not None), None)

    def best(self) -> CheckpointContents | None:
        """Read the trial's result, or return None if it is missing or damaged."""
        return _read(self.folder / "best")

    def forget_resumable(self) -> None:
        """Delete the resumable states and the unfinished writes of a killed attempt."""
        for path in (self.folder / "last", self.folder / "previous", *self._unfinished()):
            shutil.rmtree(path, ignore_errors=True)

    def _unfinished(self) -> list[Path]:
        return list(self.folder.glob(".*.*"))

    def forget_all(self) -> None:
        """Delete every checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(
    folder: Path, values: dict[str, Any], tensors: Tensors, previous: Path | None = None
) -> None:
    with temporary_folder(folder) as temporary:
        for name, group in tensors.items():
            save_file(group, temporary / f"{name}.safetensors")
        (temporary / "values.json").write_text(json.dumps(values))
        files = {path.name: _describe(path) for path in sorted(temporary.iterdir())}
        (temporary / _MANIFEST).write_text(json.dumps(files, indent=1))
        for path in (*temporary.iterdir(), temporary):
            flush_to_disk(path)
        if folder.exists():
            _move_away(folder, previous)
        temporary.rename(folder)
        flush_to_disk(folder.parent)


def _move_away(folder: Path, previous: Path | None) -> None:
    """Make room for a new folder. After a crash at this point the old one is in `previous`."""
    if previous is None:
        shutil.rmtree(folder)
        return
    shutil.rmtree(previous, ignore_errors=True)
    folder.rename(previous)


def _read(folder: Path) -> CheckpointContents | None:
    """Read a checkpoint, or return None if a file differs from its manifest."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        if any(_describe(folder / name) != expected for name, expected in manifest.items()):
            return None
        values = json.loads((folder / "values.json").read_text())
        names = [name for name in manifest if name.endswith(".safetensors")]
        tensors = {name.removesuffix(".safetensors"): load_file(folder / name) for name in names}
    except (OSError, ValueError, AttributeError, SafetensorError):
        return None
    return CheckpointContents(values, tensors)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
