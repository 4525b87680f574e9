"""The built-in trainer: fine-tunes one classifier, from a job to its last event.

It reads top to bottom: build, train epoch by epoch, evaluate after each, keep the best epoch's
weights, test once from them. It looks for a stop between any two batches. What it draws depends
on seed, epoch and step alone, so a resumed trial ends with the same weights as an undisturbed one.
"""

import math
import os
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers import precision
from trainers.attest import code_hash, effective
from trainers.backbone import LoadedModel, longest_input, pad_id_of
from trainers.checkpoints import Checkpoint, Checkpoints, Tensors
from trainers.classifier import build
from trainers.data import UNLABELLED
from trainers.draws import draw_seed
from trainers.metrics import macro_f1
from trainers.optimizer import lr_share, make_optimizer
from trainers.protocol import (
    Checkpoint as CheckpointSaid,
)
from trainers.protocol import (
    Epoch,
    Finding,
    FinetuneSettings,
    Finished,
    Job,
    Line,
    Refused,
    Started,
    Step,
)
from trainers.tokens import (
    Indices,
    TokenSplit,
    batches_by_length,
    batches_in_order,
    kept_data,
    padded,
    tokenised,
)

EVALUATION_BATCH = 64
"""Sentences at once in evaluation: enough to fill the hardware, and no knob changes a result."""

_IDENTITY = {"trial_uid", "model", "data_hash", "seed"}
"""What tells jobs apart whose settings are the same."""


class NonFinite(Exception):
    """The loss or the gradient became NaN or infinite: nothing can be learnt any more."""


class _Stopped(Exception):
    """The orchestrator asked for a stop."""


@dataclass
class Progress:
    """How far a trial has come, in full: with the weights, all that resuming needs."""

    epoch: int = 1
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_value: float | None = None
    best_accuracy: float = 0.0
    best_predictions: list[int] = field(default_factory=list)


def train(job: Job, settings: FinetuneSettings, line: Line, loaded: LoadedModel) -> None:
    """Run one attempt.

    Raises Refused for what cannot be done as asked, NonFinite, torch.OutOfMemoryError.
    """
    torch.set_num_threads(job.threads)
    run = Run(job, settings, line, loaded)
    try:
        run.go()
    except _Stopped:
        if line.stop_reason() == "drain":
            run.save()
        else:
            run.checkpoints.forget_all()


class Run:
    """One attempt: the live objects and the way through them."""

    def __init__(
        self, job: Job, settings: FinetuneSettings, line: Line, loaded: LoadedModel
    ) -> None:
        self.job, self.settings, self.line = job, settings, line
        self.device = torch.device("cpu" if job.device == "cpu" else "cuda")
        self.precision = precision.choose(settings.precision, self.device)
        cache = Path(job.cache_folder)
        self.splits = tokenised(cache, job.data_hash, loaded.folder, settings.max_length)
        self.classes = len(kept_data(cache, job.data_hash).classes)
        if settings.batch_size > len(self.splits["train"]):
            sentences = len(self.splits["train"])
            raise Refused(
                f"batch_size {settings.batch_size} is larger than the training data, which hold "
                f"{sentences} sentences. Allowed: 1 to {sentences}."
            )
        self.pad_id = pad_id_of(loaded.config)
        self.model = build(loaded, settings, self.classes, job.seed).to(self.device)
        self._check_lengths()
        self.optimizer = make_optimizer(self.model, settings, fused=self.device.type == "cuda")
        self.probe = self._probe()
        self.steps_per_epoch = math.ceil(len(self.splits["train"]) / settings.batch_size)
        self.steps_total = self.steps_per_epoch * settings.epochs
        self.checkpoints = Checkpoints(Path(job.folder) / "checkpoints")
        self.progress = Progress()
        self.best_weights: dict[str, Tensor] = {}
        self.saved_at = time.monotonic()

    def go(self) -> None:
        """Train, evaluate and finish."""
        resumed = self._resume()
        self._say_started(resumed)
        while self.progress.epoch <= self.settings.epochs:
            self._train_epoch()
            self._evaluate_epoch()
            if time.monotonic() - self.saved_at >= self.settings.checkpoint_seconds:
                self.save()
        self._finish()

    def _check_lengths(self) -> None:
        longest = max(int(split.lengths.max()) for split in self.splits.values())
        room = longest_input(self.model.backbone)
        if room is not None and longest > room:
            raise Refused(
                f"max_length {self.settings.max_length}: the longest text has {longest} tokens, "
                f"and MODEL={self.job.model} takes {room}. Allowed: 8 to {room}."
            )

    # Training.

    def _train_epoch(self) -> None:
        progress = self.progress
        split, order_seed = self.splits["train"], draw_seed(self.job.seed, "order", progress.epoch)
        batches = batches_by_length(split.lengths, self.settings.batch_size, order_seed)
        self.model.train()
        for indices in batches[progress.step_in_epoch :]:
            self._check_stop()
            began = time.monotonic()
            self._step(split, indices)
            progress.seconds += time.monotonic() - began

    def _step(self, split: TokenSplit, indices: Indices) -> None:
        progress, settings = self.progress, self.settings
        step = (progress.epoch - 1) * self.steps_per_epoch + progress.step_in_epoch
        torch.manual_seed(draw_seed(self.job.seed, "dropout", progress.epoch, step))
        share = lr_share(step, self.steps_total, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
        batch, labels = self._batch(split, indices)
        with self._autocast():
            logits = self.model(batch)
        loss = functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # torch does not type it
        parameters = self._trainable().values()
        norm = torch.nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
        value = loss.item()
        self._check_finite("loss", value, step + 1)
        self._check_finite("gradient norm", float(norm), step + 1)
        self.optimizer.step()
        progress.step_in_epoch += 1
        progress.loss_sum += value * len(indices)
        progress.correct += int((logits.argmax(1) == labels).sum())
        progress.seen += len(indices)
        if (step + 1) % settings.log_every_steps == 0 or step == 0:
            self._say_step(step + 1, value, self.optimizer.param_groups[0]["lr"], float(norm))

    def _batch(self, split: TokenSplit, indices: Indices) -> tuple[dict[str, Tensor], Tensor]:
        batch, labels = padded(split, indices, self.pad_id)
        tensors = {name: torch.from_numpy(one).to(self.device) for name, one in batch.items()}
        return tensors, torch.from_numpy(np.asarray(labels)).to(self.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )

    def _trainable(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _check_stop(self) -> None:
        if self.line.stop_reason() is not None:
            raise _Stopped

    # Evaluation.

    def _evaluate_epoch(self) -> None:
        progress = self.progress
        began = time.monotonic()
        loss, predictions = self._evaluate(self.splits["dev"])
        self._check_finite("dev loss", loss, progress.epoch * self.steps_per_epoch)
        labels = np.asarray(self.splits["dev"].labels)
        accuracy = float((predictions == labels).mean())
        _, probe_predictions = self._evaluate(self.probe)
        probe_accuracy = float((probe_predictions == self.probe.labels).mean())
        progress.seconds += time.monotonic() - began
        f1 = macro_f1(labels, predictions, self.classes)
        measured = {"dev_accuracy": accuracy, "dev_macro_f1": f1, "dev_loss": loss}
        value = measured[self.job.objective.name]
        if self.job.objective.is_better(value, progress.best_value):
            progress.best_epoch, progress.best_value = progress.epoch, value
            progress.best_accuracy = accuracy
            progress.best_predictions = predictions.tolist()
            self.best_weights = self._weights()
        epoch = Epoch(
            attempt=self.job.attempt,
            epoch=progress.epoch,
            step=progress.epoch * self.steps_per_epoch,
            value=value,
            train_loss=progress.loss_sum / progress.seen,
            running_accuracy=progress.correct / progress.seen,
            probe_accuracy=probe_accuracy,
            dev_loss=loss,
            dev_accuracy=accuracy,
            dev_macro_f1=f1,
            seconds=progress.seconds,
        )
        self.progress = Progress(
            epoch=progress.epoch + 1,
            best_epoch=progress.best_epoch,
            best_value=progress.best_value,
            best_accuracy=progress.best_accuracy,
            best_predictions=progress.best_predictions,
        )
        self.line.say(epoch)

    @torch.inference_mode()
    def _evaluate(self, split: TokenSplit) -> tuple[float, Indices]:
        """Mean loss per sentence in nats (over labelled ones), and predictions in file order."""
        self.model.eval()
        predictions = np.zeros(len(split), dtype=np.int64)
        loss_sum, labelled = 0.0, 0
        for indices in batches_in_order(split.lengths, EVALUATION_BATCH):
            self._check_stop()
            batch, labels = self._batch(split, indices)
            with self._autocast():
                logits = self.model(batch).float()
            predictions[indices] = logits.argmax(1).cpu().numpy()
            loss_sum += functional.cross_entropy(
                logits, labels, ignore_index=UNLABELLED, reduction="sum"
            ).item()
            labelled += int((labels != UNLABELLED).sum())
        return loss_sum / max(labelled, 1), predictions

    def _probe(self) -> TokenSplit:
        """Train sentences, the same in every epoch and trial, on which train accuracy is read."""
        split = self.splits["train"]
        generator = np.random.default_rng(draw_seed(self.job.seed, "probe"))
        size = min(self.settings.probe_size, len(split))
        return split.take(np.sort(generator.choice(len(split), size, replace=False)))

    def _finish(self) -> None:
        """Test once, from the best epoch's weights, and keep them."""
        self._load_weights(self.best_weights)
        assert self.progress.best_value is not None, "at least one epoch was evaluated"
        test_accuracy, predictions = None, np.zeros(0, dtype=np.int64)
        if "test" in self.splits:
            split = self.splits["test"]
            _, predictions = self._evaluate(split)
            if not (split.labels == UNLABELLED).any():
                test_accuracy = float((predictions == split.labels).mean())
        self._save_best()
        self.checkpoints.forget_resumable()
        self.line.say(
            Finished(
                attempt=self.job.attempt,
                best_epoch=self.progress.best_epoch,
                best_value=self.progress.best_value,
                best_dev_accuracy=self.progress.best_accuracy,
                test_accuracy=test_accuracy,
                dev_predictions=tuple(self.progress.best_predictions),
                test_predictions=tuple(predictions.tolist()),
            )
        )

    # Checkpoints.

    def save(self) -> None:
        """Write a state from which another attempt goes on as if nothing had happened."""
        tensors: Tensors = {"model": self._weights(), "optimizer": self._moments()}
        if self.best_weights:
            tensors["best"] = self.best_weights
        values = {"of": self._identity(), "progress": asdict(self.progress)}
        self.checkpoints.save_last(values, tensors)
        self.saved_at = time.monotonic()
        steps = (self.progress.epoch - 1) * self.steps_per_epoch + self.progress.step_in_epoch
        self.line.say(
            CheckpointSaid(attempt=self.job.attempt, step=steps, epoch=self.progress.epoch)
        )

    def _resume(self) -> int:
        """Take up the newest whole checkpoint; returns the steps that it had taken."""
        found: Checkpoint | None = self.checkpoints.resume()
        if found is None or found.values.get("of") != self._identity():
            return 0
        self.progress = Progress(**found.values["progress"])
        self._load_weights(found.tensors["model"])
        self._load_moments(found.tensors["optimizer"])
        self.best_weights = found.tensors.get("best", {})
        return (self.progress.epoch - 1) * self.steps_per_epoch + self.progress.step_in_epoch

    def _identity(self) -> dict[str, Any]:
        """Whose checkpoint it is: a folder may still hold those of a study that was deleted."""
        kept = self.job.model_dump(mode="json", include=_IDENTITY)
        return {**kept, "settings": self.settings.model_dump(mode="json")}

    def _weights(self) -> dict[str, Tensor]:
        """Copies of the trained weights on the CPU; the frozen ones are the pretrained ones."""
        return {name: p.detach().cpu().clone() for name, p in self._trainable().items()}

    @torch.no_grad()
    def _load_weights(self, weights: dict[str, Tensor]) -> None:
        trainable = self._trainable()
        for name, tensor in weights.items():
            trainable[name].copy_(tensor)

    def _moments(self) -> dict[str, Tensor]:
        """AdamW's state, flat: `NAME/step`, `NAME/exp_avg`, `NAME/exp_avg_sq`."""
        names = {id(p): name for name, p in self._trainable().items()}
        return {
            f"{names[id(p)]}/{key}": tensor.detach().cpu().clone()
            for p, state in self.optimizer.state.items()
            for key, tensor in state.items()
        }

    def _load_moments(self, moments: dict[str, Tensor]) -> None:
        trainable = self._trainable()
        for key, tensor in moments.items():
            name, _, part = key.rpartition("/")
            parameter = trainable[name]
            # The count of steps stays where the optimizer makes it; fused ones keep it on device.
            on_device = part != "step" or self.device.type == "cuda"
            self.optimizer.state[parameter][part] = tensor.to(self.device) if on_device else tensor

    def _save_best(self) -> None:
        weights = {name: one.cpu().contiguous() for name, one in self.model.state_dict().items()}
        values = {
            "model": self.job.model,
            "epoch": self.progress.best_epoch,
            "dev_accuracy": self.progress.best_accuracy,
            "classes": list(kept_data(Path(self.job.cache_folder), self.job.data_hash).classes),
            "settings": self.settings.model_dump(),
            "seed": self.job.seed,
        }
        self.checkpoints.save_best(values, {"model": weights})

    # What is said.

    def _say_started(self, resumed_from_step: int) -> None:
        sizes = [p.numel() for p in self.model.parameters()]
        trained = [p.numel() for p in self.model.parameters() if p.requires_grad]
        lengths = self.splits["train"].lengths
        self.line.say(
            Started(
                attempt=self.job.attempt,
                effective=effective(self.model, self.optimizer, self.settings, lengths),
                parameters=sum(sizes),
                trainable_parameters=sum(trained),
                data_hash=self.job.data_hash,
                code_hash=code_hash(),
                device=self.job.device,
                threads=torch.get_num_threads(),
                precision=self.precision,
                steps_per_epoch=self.steps_per_epoch,
                steps_total=self.steps_total,
                resumed_from_step=resumed_from_step,
                pid=os.getpid(),
            )
        )

    def _say_step(self, step: int, loss: float, lr: float, gradient_norm: float) -> None:
        weights = [p.detach() for p in self._trainable().values()]
        self.line.say(
            Step(
                attempt=self.job.attempt,
                step=step,
                epoch=self.progress.epoch,
                loss=loss,
                lr=lr,
                gradient_norm=gradient_norm,
                weight_norm=float(torch.nn.utils.get_total_norm(weights)),
            )
        )

    def _check_finite(self, what: str, value: float, step: int) -> None:
        if math.isfinite(value):
            return
        message = f"the {what} is {value} at step {step}; a lower lr or fp32 may help"
        self.line.say(
            Finding(
                attempt=self.job.attempt,
                kind="non_finite",
                severity="error",
                message=message,
                evidence={"step": step, what: str(value)},
            )
        )
        raise NonFinite(message)
