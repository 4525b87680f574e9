"""The built-in trainer: fine-tunes one classifier, from a job to its last event.

It reads top to bottom: build, attest, train epoch by epoch, evaluate after each, keep the best
epoch's weights, test once from them. It looks for a stop between any two batches. What it draws
depends on seed, epoch and step alone, so a resumed trial ends with the same weights as an
undisturbed one.
"""

import math
import os
import time
from pathlib import Path

import numpy as np
import torch

from trytable.records import UNLABELLED, Scalar
from trytable.trainers.data.augment import Augmenter, make_augmenter
from trytable.trainers.data.batches import Collator, batches_by_length
from trytable.trainers.data.tokens import (
    Indices,
    TokenSplit,
    load_cached_data,
    special_ids,
    tokenise,
)
from trytable.trainers.finetune.attest import (
    LiveObjects,
    code_hash,
    effective_parameters,
    find_mismatches,
    requested_parameters,
)
from trytable.trainers.finetune.checkpoints import Checkpointer
from trytable.trainers.finetune.evaluation import Evaluation, Evaluator, macro_f1
from trytable.trainers.finetune.findings import FindingReporter
from trytable.trainers.finetune.losses import make_criterion
from trytable.trainers.finetune.memory import device_memory
from trytable.trainers.finetune.norms import BlockNorms, prediction_spread
from trytable.trainers.finetune.optimizer import make_optimizer, set_learning_rates
from trytable.trainers.finetune.progress import TrainingProgress
from trytable.trainers.finetune.schedule import make_schedule
from trytable.trainers.finetune.step import NonFinite, Stepper, StepResult
from trytable.trainers.models import precision
from trytable.trainers.models.backbone import LoadedModel, max_input_length, pad_token_id
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.models.frozen_cache import CacheUnusable, Predictor, with_cached_states
from trytable.trainers.models.state_dict import (
    Weights,
    copy_weights,
    load_weights,
    trainable_parameters,
)
from trytable.trainers.protocol.messages import (
    Checkpoint,
    Epoch,
    FinetuneSettings,
    Finished,
    Job,
    Line,
    Refused,
    Started,
    Step,
)
from trytable.trainers.seeding import draw_seed


class Mismatch(Exception):
    """What was read back is not what was asked for: training on would prove nothing."""


class StopRequested(Exception):
    """The orchestrator asked for a stop."""


def train(job: Job, settings: FinetuneSettings, line: Line, loaded: LoadedModel) -> None:
    """Run one attempt.

    Raises Refused for what cannot be done as asked, Mismatch, NonFinite, torch.OutOfMemoryError.
    """
    torch.set_num_threads(job.threads)
    try:
        run = TrainingRun(job, settings, line, loaded)
    except StopRequested:
        return  # nothing has been trained yet
    try:
        run.execute()
    except StopRequested:
        if line.stop_reason() == "drain":
            run.save()
        else:
            run.checkpointer.checkpoints.forget_all()


class TrainingRun:
    """One attempt: the live objects and the way through them."""

    def __init__(
        self, job: Job, settings: FinetuneSettings, line: Line, loaded: LoadedModel
    ) -> None:
        self.job, self.settings, self.line = job, settings, line
        self.findings = FindingReporter(line, job.attempt)
        device = torch.device("cpu" if job.device == "cpu" else "cuda")
        self.precision = precision.choose_precision(settings.precision, device)
        cache = Path(job.cache_folder)
        self.splits = tokenise(cache, job.data_hash, loaded.folder, settings.max_length)
        self.classes = load_cached_data(cache, job.data_hash).classes
        self._check_batch_size()
        self.model = build_classifier(loaded, settings, len(self.classes), job.seed).to(device)
        self._check_lengths()
        self.optimizer = make_optimizer(self.model, settings, fused=device.type == "cuda")
        self.steps_per_epoch = math.ceil(len(self.splits["train"]) / settings.batch_size)
        self.schedule = make_schedule(settings, self.steps_per_epoch)
        gold = np.asarray(self.splits["train"].labels)
        self.criterion = make_criterion(settings, gold, len(self.classes), device)
        collator = Collator(pad_token_id(loaded.config), device)
        self.stepper = Stepper(
            model=self.model,
            optimizer=self.optimizer,
            criterion=self.criterion,
            collator=collator,
            precision=self.precision,
            max_gradient_norm=settings.max_gradient_norm,
            micro_batch=settings.micro_batch_size or settings.batch_size,
            on_smaller=self._say_smaller,
            may_halve=not job.shared_device,
        )
        self.block_norms = BlockNorms(self.model)
        self._keep_states(loaded, collator)
        self.evaluator = Evaluator(
            self.model, collator, self.precision, self._check_stop, not job.shared_device
        )
        self.probe = self._probe()
        self.augmenter = self._augmenter(loaded)
        self.checkpointer = Checkpointer(job, settings, self.model, self.optimizer, self.stepper)
        self.progress = TrainingProgress()
        self.best_weights: Weights = {}
        self.saved_at = time.monotonic()

    def _keep_states(self, loaded: LoadedModel, collator: Collator) -> None:
        """Compute what the frozen layers give once, where that is always the same."""
        predictor = Predictor(self.model, collator, self.precision, self._check_stop)
        try:
            self.splits = with_cached_states(
                self.splits, self.job, self.settings, loaded, predictor
            )
        except CacheUnusable as why:
            self.findings.report_uncached(str(why))

    def _augmenter(self, loaded: LoadedModel) -> Augmenter | None:
        cache, length = Path(self.job.cache_folder), self.settings.max_length
        special = special_ids(cache, self.job.data_hash, loaded.folder, length)
        embeddings = self.model.backbone.get_input_embeddings().weight
        assert isinstance(embeddings, torch.Tensor), "token embeddings are a table"
        return make_augmenter(self.settings, self.splits["train"], special, embeddings, cache)

    def execute(self) -> None:
        """Train, evaluate and finish."""
        self.progress, self.best_weights = self.checkpointer.resume()
        self._attest()
        while not self.progress.is_over(self.settings):
            self._train_epoch()
            self._evaluate_epoch()
            if time.monotonic() - self.saved_at >= self.settings.checkpoint_seconds:
                self.save()
        self._finish()

    def _check_batch_size(self) -> None:
        asked, sentences = self.settings.batch_size, len(self.splits["train"])
        if asked > sentences:
            raise Refused(
                f"batch_size {asked} is larger than the training data, which hold "
                f"{sentences} sentences. Allowed: 1 to {sentences}."
            )

    def _check_lengths(self) -> None:
        longest = max(int(split.lengths.max()) for split in self.splits.values())
        room = max_input_length(self.model.backbone)
        if room is not None and longest > room:
            raise Refused(
                f"max_length {self.settings.max_length}: the longest text has {longest} tokens, "
                f"and MODEL={self.job.model} takes {room}. Allowed: 8 to {room}."
            )

    def _check_stop(self) -> None:
        if self.line.stop_reason() is not None:
            raise StopRequested

    # Before the first step.

    def _attest(self) -> None:
        """Say what the live objects hold; raises Mismatch where that was not asked for."""
        live = LiveObjects(
            model=self.model,
            optimizer=self.optimizer,
            schedule=self.schedule,
            criterion=self.criterion,
            lengths=self.splits["train"].lengths,
            augmenter=self.augmenter,
            micro_batch=self.stepper.micro_batch,
            precision=self.precision,
            seed=self.job.seed,
        )
        found = effective_parameters(live, self.settings)
        self._say_started(found)
        differing = find_mismatches(requested_parameters(live, self.settings), found)
        if not differing:
            return
        allowed = self.settings.allow_mismatch
        told = self.findings.report_mismatch(differing, allowed)
        if not allowed:
            raise Mismatch(f"{told}. allow_mismatch: true trains all the same")

    # Training.

    def _train_epoch(self) -> None:
        progress = self.progress
        split, order_seed = self.splits["train"], draw_seed(self.job.seed, "order", progress.epoch)
        batches = batches_by_length(split.lengths, self.settings.batch_size, order_seed)
        self.model.begin_epoch(progress.epoch)
        self.model.train()
        for indices in batches[progress.step_in_epoch :]:
            self._check_stop()
            began = time.monotonic()
            self._step(indices)
            progress.seconds += time.monotonic() - began

    def augment(self, indices: Indices, epoch: int, step: int) -> tuple[TokenSplit, Indices]:
        """The train split and places in it that a step trains on: changed copies, where asked."""
        split = self.splits["train"]
        if self.augmenter is None:
            return split, indices
        drawn = draw_seed(self.job.seed, "augment", epoch, step)
        return self.augmenter.apply(split, indices, drawn), np.arange(len(indices))

    def _step(self, indices: Indices) -> None:
        progress = self.progress
        step = (progress.epoch - 1) * self.steps_per_epoch + progress.step_in_epoch
        set_learning_rates(self.optimizer, self.schedule.share(step))
        seed = draw_seed(self.job.seed, "dropout", progress.epoch, step)
        split, indices = self.augment(indices, progress.epoch, step)
        try:
            stepped = self.stepper.step(split, indices, seed)
        except NonFinite as error:
            self.findings.raise_non_finite(str(error), step + 1)
        progress.step_in_epoch += 1
        progress.loss_sum += stepped.loss * len(indices)
        progress.correct += stepped.correct
        progress.seen += len(indices)
        if (step + 1) % self.settings.log_every_steps == 0 or step == 0:
            self._say_step(step + 1, stepped)

    # Evaluation.

    def _evaluate_epoch(self) -> None:
        progress = self.progress
        began = time.monotonic()
        dev = self.evaluator.evaluate(self.splits["dev"])
        step = progress.epoch * self.steps_per_epoch
        if not math.isfinite(dev.loss):
            self.findings.raise_non_finite(f"the dev loss is {dev.loss}", step)
        probe = self.evaluator.evaluate(self.probe)
        progress.seconds += time.monotonic() - began
        epoch = self._epoch(step, dev, probe.accuracy)
        self._keep_if_best(epoch, dev)
        self.progress = progress.next_epoch()
        self.line.say(epoch)

    def _epoch(self, step: int, dev: Evaluation, probe_accuracy: float) -> Epoch:
        progress = self.progress
        gold = np.asarray(self.splits["dev"].labels)
        measured = {
            "dev_accuracy": dev.accuracy,
            "dev_macro_f1": macro_f1(gold, dev.predictions, len(self.classes)),
            "dev_loss": dev.loss,
        }
        memory = device_memory(next(self.model.parameters()).device, self.job.device)
        return Epoch(
            attempt=self.job.attempt,
            epoch=progress.epoch,
            step=step,
            value=measured[self.job.objective.name],
            train_loss=progress.loss_sum / progress.seen,
            running_accuracy=progress.correct / progress.seen,
            probe_accuracy=probe_accuracy,
            seconds=progress.seconds,
            metrics=prediction_spread(dev.predictions),
            peak_device_bytes=memory.peak_bytes if memory else None,
            device_bytes=memory.total_bytes if memory else None,
            **measured,
        )

    def _keep_if_best(self, epoch: Epoch, dev: Evaluation) -> None:
        progress = self.progress
        assert epoch.value is not None, "an epoch of ours has a value"
        if progress.improves(self.job.objective, epoch.value, dev.loss):
            progress.best_epoch, progress.best_value = epoch.epoch, epoch.value
            progress.best_loss, progress.best_accuracy = dev.loss, dev.accuracy
            progress.best_predictions = dev.predictions.tolist()
            self.best_weights = copy_weights(self.model)

    def _probe(self) -> TokenSplit:
        """Train sentences, the same in every epoch and trial, on which train accuracy is read."""
        split = self.splits["train"]
        generator = np.random.default_rng(draw_seed(self.job.seed, "probe"))
        size = min(self.settings.probe_size, len(split))
        return split.take(np.sort(generator.choice(len(split), size, replace=False)))

    def _finish(self) -> None:
        """Test once, from the best epoch's weights, and keep them."""
        progress = self.progress
        assert progress.best_value is not None, "at least one epoch was evaluated"
        if progress.epoch <= self.settings.epochs:
            self.findings.report_early_end(
                progress.epoch - 1, self.settings.epochs, progress.best_epoch
            )
        load_weights(self.model, self.best_weights)
        test_accuracy, predictions = None, np.zeros(0, dtype=np.int64)
        if "test" in self.splits:
            split = self.splits["test"]
            tested = self.evaluator.evaluate(split)
            predictions = tested.predictions
            if not (split.labels == UNLABELLED).any():
                test_accuracy = tested.accuracy
        self.checkpointer.save_best(progress, list(self.classes))
        self.checkpointer.checkpoints.forget_resumable()
        self.line.say(
            Finished(
                attempt=self.job.attempt,
                best_epoch=progress.best_epoch,
                best_value=progress.best_value,
                best_dev_accuracy=progress.best_accuracy,
                test_accuracy=test_accuracy,
                dev_predictions=tuple(progress.best_predictions),
                test_predictions=tuple(predictions.tolist()),
            )
        )

    def save(self) -> None:
        """Write a resumable checkpoint, and say so."""
        self.checkpointer.save(self.progress, self.best_weights)
        self.saved_at = time.monotonic()
        said = Checkpoint(
            attempt=self.job.attempt, step=self._steps_taken(), epoch=self.progress.epoch
        )
        self.line.say(said)

    def _steps_taken(self) -> int:
        return (self.progress.epoch - 1) * self.steps_per_epoch + self.progress.step_in_epoch

    # What is said.

    def _say_started(self, found: dict[str, Scalar]) -> None:
        self.line.say(
            Started(
                attempt=self.job.attempt,
                effective=found,
                parameters=sum(p.numel() for p in self.model.parameters()),
                trainable_parameters=sum(
                    p.numel() for p in trainable_parameters(self.model).values()
                ),
                data_hash=self.job.data_hash,
                code_hash=code_hash(),
                device=self.job.device,
                threads=torch.get_num_threads(),
                precision=self.precision,
                steps_per_epoch=self.steps_per_epoch,
                steps_total=self.schedule.steps_total,
                resumed_from_step=self._steps_taken(),
                pid=os.getpid(),
            )
        )

    def _say_step(self, step: int, stepped: StepResult) -> None:
        settings, layers, progress = self.settings, self.block_norms, self.progress
        due = layers.is_due(step, settings.log_every_steps)
        norm = stepped.gradient_norm
        weights = [p.detach() for p in trainable_parameters(self.model).values()]
        self.line.say(
            Step(
                attempt=self.job.attempt,
                step=step,
                epoch=progress.epoch,
                loss=stepped.loss,
                lr=self.optimizer.param_groups[0]["lr"],
                gradient_norm=norm,
                running_accuracy=progress.correct / progress.seen,
                layer_gradients=layers.gradients(norm, settings.max_gradient_norm) if due else None,
                layer_weights=layers.weights() if due else None,
                weight_norm=float(torch.nn.utils.get_total_norm(weights)),
            )
        )

    def _say_smaller(self, before: int, after: int) -> None:
        self.progress.micro_batch = after
        self.findings.report_smaller_micro_batch(before, after, self.settings.batch_size)
