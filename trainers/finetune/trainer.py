"""The built-in trainer: fine-tunes one classifier, from a job to its last event.

Read it from top to bottom: build, attest, train and evaluate every epoch, finish. It keeps the
best epoch's weights and tests once with them. Before every batch it checks for a stop. All random
draws depend on seed, epoch and step alone, so a resumed trial ends with the same weights as one
that was never interrupted.
"""

import math
import time
from pathlib import Path

import numpy as np
import torch

from trytable.records import UNLABELLED, Refused
from trytable.trainers.data import tokens
from trytable.trainers.data.augment import make_augmenter
from trytable.trainers.data.batches import Collator, batches_by_length
from trytable.trainers.data.tokens import Indices, TokenSplit
from trytable.trainers.finetune import memory
from trytable.trainers.finetune.attest import LiveObjects, attest
from trytable.trainers.finetune.checkpoints import Checkpointer
from trytable.trainers.finetune.evaluation import Evaluator, macro_f1, probe_split
from trytable.trainers.finetune.losses import make_criterion
from trytable.trainers.finetune.norms import BlockNorms
from trytable.trainers.finetune.optimizer import make_optimizer, set_learning_rates
from trytable.trainers.finetune.progress import TrainingProgress
from trytable.trainers.finetune.reporter import Reporter
from trytable.trainers.finetune.schedule import make_schedule
from trytable.trainers.finetune.step import NonFinite, Stepper
from trytable.trainers.models.backbone import LoadedModel, max_input_length, pad_token_id
from trytable.trainers.models.classifier import Predictor, build_classifier
from trytable.trainers.models.determinism import use_deterministic_kernels
from trytable.trainers.models.frozen_cache import CacheUnusable, with_cached_states
from trytable.trainers.models.precision import choose_precision
from trytable.trainers.models.state_dict import Weights, copy_weights, load_weights
from trytable.trainers.protocol.messages import FinetuneSettings, Job, Line
from trytable.trainers.seeding import draw_seed


class Mismatch(Exception):
    """An effective parameter is not the requested one, so the result would prove nothing."""


class StopRequested(Exception):
    """The orchestrator requested a stop."""


def train(job: Job, settings: FinetuneSettings, line: Line, loaded: LoadedModel) -> None:
    """Run one attempt, and report its events on the line.

    Raises Refused for a setting that data or model do not allow, Mismatch, NonFinite and
    torch.OutOfMemoryError.
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
    """One attempt: the objects that train, and the methods in the order in which they run."""

    # Build.

    def __init__(
        self, job: Job, settings: FinetuneSettings, line: Line, loaded: LoadedModel
    ) -> None:
        self.job, self.settings, self.line = job, settings, line
        device = torch.device("cpu" if job.device == "cpu" else "cuda")
        use_deterministic_kernels(device)
        self.precision = choose_precision(settings.precision, device)

        # Data. They are in the cache already; a swept max_length is tokenised by its first trial.
        cache, length = Path(job.cache_folder), settings.max_length
        self.splits = tokens.tokenise(cache, job.data_hash, loaded.folder, length)
        self.classes = tokens.load_cached_data(cache, job.data_hash).classes
        self._check_batch_size()

        # Model. Its weights stay in fp32; autocast alone decides the precision of a forward pass.
        self.model = build_classifier(loaded, settings, len(self.classes), job.seed).to(device)
        self._check_lengths()

        # Optimizer, schedule and loss. A fused optimizer updates all weights in one GPU kernel.
        self.optimizer = make_optimizer(self.model, settings, fused=device.type == "cuda")
        self.steps_per_epoch = math.ceil(len(self.splits["train"]) / settings.batch_size)
        self.schedule = make_schedule(settings, self.steps_per_epoch)
        gold = np.asarray(self.splits["train"].labels)
        self.criterion = make_criterion(settings, gold, len(self.classes), device)

        # Steps. A micro-batch is the whole batch until memory runs out. On a shared device it is
        # never halved: another trial may have used up the memory, so the orchestrator retries.
        collator = Collator(pad_token_id(loaded.config), device)
        self.stepper = Stepper(
            model=self.model,
            optimizer=self.optimizer,
            criterion=self.criterion,
            collator=collator,
            precision=self.precision,
            max_gradient_norm=settings.max_gradient_norm,
            micro_batch=settings.micro_batch_size or settings.batch_size,
            on_halved=self._on_micro_batch_halved,
            may_halve=not job.shared_device,
        )
        self.block_norms = BlockNorms(self.model)
        self.reporter = Reporter(line, job, settings, self.model, self.block_norms)

        # Frozen layers are computed once if their output never changes.
        predictor = Predictor(self.model, collator, self.precision, self._check_stop)
        try:
            self.splits = with_cached_states(self.splits, job, settings, loaded, predictor)
        except CacheUnusable as reason:
            self.reporter.uncached(str(reason))
        except RuntimeError as error:
            # On a shared GPU fewer trials may share it; alone, smaller batches compute the states.
            if job.shared_device or not memory.is_oom(error):
                raise
            self.reporter.uncached("computing their states in advance ran out of memory")

        self.evaluator = Evaluator(predictor, may_halve=not job.shared_device)
        self.probe = probe_split(self.splits["train"], settings.probe_size, job.seed)
        special = tokens.special_ids(cache, job.data_hash, loaded.folder, length)
        embeddings = self.model.backbone.get_input_embeddings().weight
        assert isinstance(embeddings, torch.Tensor), "token embeddings are a table"
        self.augmenter = make_augmenter(settings, self.splits["train"], special, embeddings, cache)

        self.checkpointer = Checkpointer(job, settings, self.model, self.optimizer, self.stepper)
        self.progress = TrainingProgress()
        self.best_weights: Weights = {}
        self.saved_at = time.monotonic()

    def _check_batch_size(self) -> None:
        size, sentences = self.settings.batch_size, len(self.splits["train"])
        if size > sentences:
            raise Refused(
                f"batch_size {size} is larger than the training data, which have {sentences} "
                f"sentences. Allowed: 1 to {sentences}."
            )

    def _check_lengths(self) -> None:
        longest = max(int(split.lengths.max()) for split in self.splits.values())
        allowed = max_input_length(self.model.backbone)
        if allowed is not None and longest > allowed:
            raise Refused(
                f"max_length {self.settings.max_length}: the longest text has {longest} tokens, "
                f"but MODEL={self.job.model} takes {allowed}. Allowed: 8 to {allowed}."
            )

    def execute(self) -> None:
        """Train, evaluate and finish; resumes from the newest checkpoint, if there is one."""
        self.progress, self.best_weights = self.checkpointer.resume()
        self._attest()
        while not self.progress.is_finished(self.settings):
            self._train_epoch()
            self._evaluate_epoch()
            if time.monotonic() - self.saved_at >= self.settings.checkpoint_seconds:
                self.save()
        self._finish()

    # Attest.

    def _attest(self) -> None:
        """Report what the live objects have. Raises Mismatch if it is not what was requested."""
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
        effective, differing = attest(live, self.settings)
        steps = self._steps_taken()
        self.reporter.started(effective, self.precision, self.steps_per_epoch, steps)
        if differing:
            allowed = self.settings.allow_mismatch
            message = self.reporter.mismatch(differing, allowed)
            if not allowed:
                raise Mismatch(f"{message}. To train nevertheless, set allow_mismatch: true")

    # Train.

    def _train_epoch(self) -> None:
        progress = self.progress
        seed = draw_seed(self.job.seed, "order", progress.epoch)
        batches = batches_by_length(self.splits["train"].lengths, self.settings.batch_size, seed)
        self.model.begin_epoch(progress.epoch)
        self.model.train()
        for indices in batches[progress.step_in_epoch :]:
            self._check_stop()
            began = time.monotonic()
            self._step(indices)
            progress.seconds += time.monotonic() - began

    def _step(self, indices: Indices) -> None:
        progress, step = self.progress, self._steps_taken()
        set_learning_rates(self.optimizer, self.schedule.share(step))
        seed = draw_seed(self.job.seed, "dropout", progress.epoch, step)
        split, indices = self.augment(indices, progress.epoch, step)
        try:
            result = self.stepper.step(split, indices, seed)
        except NonFinite as error:
            self.reporter.raise_non_finite(str(error), step + 1)
        progress.step_in_epoch += 1
        progress.loss_sum += result.loss * len(indices)
        progress.correct += result.correct
        progress.seen += len(indices)
        self.reporter.step(step + 1, self.optimizer.param_groups[0]["lr"], result, progress)

    def augment(self, indices: Indices, epoch: int, step: int) -> tuple[TokenSplit, Indices]:
        """Return the split and the indices for a step: augmented copies, or the train split."""
        split = self.splits["train"]
        if self.augmenter is None:
            return split, indices
        seed = draw_seed(self.job.seed, "augment", epoch, step)
        return self.augmenter.apply(split, indices, seed), np.arange(len(indices))

    def _on_micro_batch_halved(self, previous: int, size: int) -> None:
        self.progress.micro_batch = size  # a resumed attempt starts with it
        self.reporter.smaller_micro_batch(previous, size)

    # Evaluate.

    def _evaluate_epoch(self) -> None:
        progress = self.progress
        began = time.monotonic()
        dev = self.evaluator.evaluate(self.splits["dev"])
        step = progress.epoch * self.steps_per_epoch
        if not math.isfinite(dev.loss):
            self.reporter.raise_non_finite(f"the dev loss is {dev.loss}", step)
        probe = self.evaluator.evaluate(self.probe)
        progress.seconds += time.monotonic() - began
        gold = np.asarray(self.splits["dev"].labels)
        metrics = {
            "dev_accuracy": dev.accuracy,
            "dev_macro_f1": macro_f1(gold, dev.predictions, len(self.classes)),
            "dev_loss": dev.loss,
        }
        objective = self.job.objective
        value = metrics[objective.name]
        if progress.improves(objective, value, dev.loss):
            progress.record_best(value, dev.loss, dev.accuracy, dev.predictions.tolist())
            self.best_weights = copy_weights(self.model)
        self.reporter.epoch(progress, step, probe.accuracy, metrics, dev.predictions)
        self.progress = progress.next_epoch()

    # Finish.

    def _finish(self) -> None:
        """Test once with the best epoch's weights, and save them as the trial's result."""
        progress = self.progress
        if progress.epoch <= self.settings.epochs:
            self.reporter.early_end(progress.epoch - 1, progress.best_epoch)
        load_weights(self.model, self.best_weights)
        test_accuracy, predictions = None, np.zeros(0, dtype=np.int64)
        if "test" in self.splits:
            test = self.evaluator.evaluate(self.splits["test"])
            predictions = test.predictions
            if not (self.splits["test"].labels == UNLABELLED).any():
                test_accuracy = test.accuracy
        self.checkpointer.save_best(progress, list(self.classes))
        self.checkpointer.checkpoints.forget_resumable()
        self.reporter.finished(progress, test_accuracy, predictions)

    # Stop and resume.

    def _check_stop(self) -> None:
        if self.line.stop_reason() is not None:
            raise StopRequested

    def save(self) -> None:
        """Save a resumable checkpoint, and report it."""
        self.checkpointer.save(self.progress, self.best_weights)
        self.saved_at = time.monotonic()
        self.reporter.checkpoint(self._steps_taken(), self.progress.epoch)

    def _steps_taken(self) -> int:
        return (self.progress.epoch - 1) * self.steps_per_epoch + self.progress.step_in_epoch
