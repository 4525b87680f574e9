"""From a trial under way to a checkpoint and back: weights, the optimizer's memory, the place."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainers.checkpoints import Checkpoint, Checkpoints, Tensors
from trainers.classifier import Classifier
from trainers.progress import Progress
from trainers.protocol import FinetuneSettings, Job
from trainers.stepping import Stepper
from trainers.weights import Weights, load_moments, load_weights, moments_of, weights_of

_IDENTITY = {"trial_uid", "model", "data_hash", "seed"}
"""What tells jobs apart whose settings are the same."""


class Saver:
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
        self.checkpoints = Checkpoints(Path(job.folder) / "checkpoints")

    def save(self, progress: Progress, best: Weights) -> None:
        """Write a state from which another attempt goes on as if nothing had happened."""
        tensors: Tensors = {
            "model": weights_of(self._model),
            "optimizer": moments_of(self._model, self._optimizer),
        }
        if best:
            tensors["best"] = best
        values = {
            "of": self._identity(),
            "progress": asdict(progress),
            "scaler": self._stepper.state(),
        }
        self.checkpoints.save_last(values, tensors)

    def resume(self) -> tuple[Progress, Weights]:
        """Take up the newest whole checkpoint of this very job, if there is one."""
        found: Checkpoint | None = self.checkpoints.resume()
        if found is None or found.values.get("of") != self._identity():
            return Progress(), {}
        progress = Progress(**found.values["progress"])
        load_weights(self._model, found.tensors["model"])
        load_moments(self._model, self._optimizer, found.tensors["optimizer"])
        self._stepper.load_state(found.values["scaler"])
        if progress.micro_batch:
            self._stepper.micro_batch = progress.micro_batch
        return progress, found.tensors.get("best", {})

    def save_best(self, progress: Progress, classes: list[str]) -> None:
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
