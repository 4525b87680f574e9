"""Reports an attempt's events: its start, steps, epochs and end, and the trainer's own findings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import torch

from trytable.records import EpochMetrics, Scalar, Severity
from trytable.trainers.data.tokens import Indices
from trytable.trainers.finetune.attest import Readings, code_hash
from trytable.trainers.finetune.evaluation import prediction_spread
from trytable.trainers.finetune.memory import device_memory
from trytable.trainers.finetune.norms import BlockNorms
from trytable.trainers.finetune.progress import TrainingProgress
from trytable.trainers.finetune.step import NonFinite, StepResult
from trytable.trainers.models.classifier import Classifier
from trytable.trainers.models.precision import Precision
from trytable.trainers.models.state_dict import trainable_parameters
from trytable.trainers.protocol import messages


@dataclass(frozen=True)
class Reporter:
    """Sends the events of one attempt over its line."""

    line: messages.Line
    job: messages.Job
    settings: messages.FinetuneSettings
    model: Classifier
    block_norms: BlockNorms

    # Events.

    def started(
        self, effective: Readings, precision: Precision, steps_per_epoch: int, first_step: int
    ) -> None:
        """Report the effective parameters before the first step, counted from 0."""
        trainable = trainable_parameters(self.model).values()
        self.line.send(
            messages.Started(
                attempt=self.job.attempt,
                effective=effective,
                parameters=sum(p.numel() for p in self.model.parameters()),
                trainable_parameters=sum(p.numel() for p in trainable),
                data_hash=self.job.data_hash,
                code_hash=code_hash(),
                device=self.job.device,
                threads=torch.get_num_threads(),
                precision=precision,
                steps_per_epoch=steps_per_epoch,
                steps_total=steps_per_epoch * self.settings.epochs,
                resumed_from_step=first_step,
                pid=os.getpid(),
            )
        )

    def step(self, step: int, lr: float, result: StepResult, progress: TrainingProgress) -> None:
        """Report a step, counted from 1, if it is due; every few times with norms by block."""
        every = self.settings.log_every_steps
        if step != 1 and step % every:
            return
        norm, max_norm = result.gradient_norm, self.settings.max_gradient_norm
        blocks = self.block_norms if self.block_norms.is_due(step, every) else None
        weights = [p.detach() for p in trainable_parameters(self.model).values()]
        self.line.send(
            messages.Step(
                attempt=self.job.attempt,
                step=step,
                epoch=progress.epoch,
                loss=result.loss,
                lr=lr,
                gradient_norm=norm,
                running_accuracy=progress.correct / progress.seen,
                layer_gradients=blocks.gradients(norm, max_norm) if blocks else None,
                layer_weights=blocks.weights() if blocks else None,
                weight_norm=float(torch.nn.utils.get_total_norm(weights)),
            )
        )

    def epoch(
        self,
        progress: TrainingProgress,
        step: int,
        probe_accuracy: float,
        dev_metrics: Mapping[str, float],
        dev_predictions: Indices,
    ) -> None:
        """Report the current epoch, after its last step."""
        memory = device_memory(next(self.model.parameters()).device, self.job.device)
        epoch_metrics = EpochMetrics(
            value=dev_metrics[self.job.objective.name],
            train_loss=progress.loss_sum / progress.seen,
            running_accuracy=progress.correct / progress.seen,
            probe_accuracy=probe_accuracy,
            seconds=progress.seconds,
            **dev_metrics,
        )
        self.line.send(
            messages.Epoch(
                attempt=self.job.attempt,
                epoch=progress.epoch,
                step=step,
                metrics=prediction_spread(dev_predictions),
                peak_device_bytes=memory.peak_bytes if memory else None,
                device_bytes=memory.total_bytes if memory else None,
                **vars(epoch_metrics),
            )
        )

    def checkpoint(self, step: int, epoch: int) -> None:
        """Report that a resumable checkpoint was saved."""
        self.line.send(messages.Checkpoint(attempt=self.job.attempt, step=step, epoch=epoch))

    def finished(
        self, progress: TrainingProgress, test_accuracy: float | None, test_predictions: Indices
    ) -> None:
        """Report the trial's result."""
        assert progress.best_value is not None, "at least one epoch was evaluated"
        self.line.send(
            messages.Finished(
                attempt=self.job.attempt,
                best_epoch=progress.best_epoch,
                best_value=progress.best_value,
                best_dev_accuracy=progress.best_accuracy,
                test_accuracy=test_accuracy,
                dev_predictions=tuple(progress.best_predictions),
                test_predictions=tuple(test_predictions.tolist()),
            )
        )

    # Findings.

    def mismatch(self, differing: Mapping[str, tuple[Scalar, Scalar]], allowed: bool) -> str:
        """Report parameters whose requested and effective values differ; returns the message."""
        evidence: dict[str, Scalar] = {}
        for name, (requested, effective) in differing.items():
            evidence |= {f"{name}.requested": requested, f"{name}.effective": effective}
        message = "; ".join(
            f"{name}: requested {requested}, effective {effective}"
            for name, (requested, effective) in differing.items()
        )
        self._finding("mismatch", "warning" if allowed else "error", message, evidence)
        return message

    def smaller_micro_batch(self, previous: int, size: int) -> None:
        """Report that the micro-batch was halved, since memory ran out."""
        message = (
            f"out of memory: micro-batch reduced from {previous} to {size} sentences; a step still "
            f"trains on {self.settings.batch_size}"
        )
        evidence: dict[str, Scalar] = {"micro_batch_before": previous, "micro_batch": size}
        self._finding("oom_retry", "warning", message, evidence)

    def early_end(self, completed: int, best_epoch: int) -> None:
        """Report that the patience ran out before the last epoch."""
        message = f"ended after epoch {completed} of {self.settings.epochs}: "
        message += f"no improvement since epoch {best_epoch}"
        self._finding("patience", "info", message, {"epochs": completed, "best_epoch": best_epoch})

    def uncached(self, reason: str) -> None:
        """Report that the frozen layers are computed in every epoch."""
        message = f"the frozen layers are computed in every epoch: {reason}"
        self._finding("frozen_cache", "info", message, {})

    def raise_non_finite(self, problem: str, step: int) -> NoReturn:
        """Report a value that is NaN or infinite, and raise NonFinite."""
        message = f"{problem} at step {step}; a lower lr or fp32 may help"
        self._finding("non_finite", "error", message, {"step": step})
        raise NonFinite(message)

    def _finding(
        self, kind: str, severity: Severity, message: str, evidence: dict[str, Scalar]
    ) -> None:
        self.line.send(
            messages.Finding(
                attempt=self.job.attempt,
                kind=kind,
                severity=severity,
                message=message,
                evidence=evidence,
            )
        )
