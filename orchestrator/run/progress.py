"""The state of a running sweep that its display shows, as plain numbers and lines of text."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from trytable.orchestrator.backends.base import WorkerEvent, WorkerMessage
from trytable.orchestrator.scheduler.events import EndAttempt, Instruction, StartAttempt, StopWorker
from trytable.records import DEFAULT_OBJECTIVE, Objective
from trytable.results.storage.rows import SEED, TrialRow
from trytable.trainers.protocol.messages import Epoch, Event, Started, Step


@dataclass
class SlotProgress:
    """A slot and the trial in it. `value` is the objective's value after the last epoch."""

    name: str
    uid: str
    number: int
    params: str
    steps_total: int = 0
    step: int = 0
    epoch: int = 0
    epochs: int = 0
    value: float | None = None
    loss: float | None = None
    note: str = "starting"

    @property
    def epoch_of_all(self) -> str:
        """The epoch as `3/5`, or as `3` if a script does not have a number of epochs."""
        return f"{self.epoch}/{self.epochs}" if self.epochs else str(self.epoch)

    def on_event(self, event: Event) -> None:
        """Update the slot with an event of its worker."""
        match event:
            case Started():
                self.steps_total, self.step = event.steps_total, event.resumed_from_step
                self.note = "training"
            case Step():
                self.step, self.loss = event.step, event.loss
            case Epoch():
                self.step, self.epoch, self.value = event.step, event.epoch, event.value
            case _:
                pass


@dataclass
class Progress:
    """Counts, slots and best trial of a sweep.

    Args:
        total: trials in all, as far as is known.
        parameters: the names of the swept parameters.
        objective: the metric that the sweep optimizes.
        counts: number of ended trials by status; earlier runs included.
        best: value, number and parameters of the best completed trial.
        lines: the lines that have not been printed yet; the display prints and clears them.
    """

    total: int
    parameters: Sequence[str]
    objective: Objective = DEFAULT_OBJECTIVE
    counts: dict[str, int] = field(default_factory=dict)
    best: tuple[float, int, str] | None = None
    epochs_saved: int = 0
    slots: dict[str, SlotProgress] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)
    _ended_in_this_run: int = 0
    _slot_of: dict[str, SlotProgress] = field(default_factory=dict)  # by the trial's UUID

    @property
    def ended_count(self) -> int:
        """The number of trials that have ended, in this run and earlier ones."""
        return sum(self.counts.values())

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds until the last trial ends from the pace of this run.

        None before the first trial of this run has ended.
        """
        if not self._ended_in_this_run:
            return None
        pace = (now - self.started_at) / self._ended_in_this_run
        return pace * max(0, self.total - self.ended_count)

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None:
        """Update the counts and slots with an instruction for a trial."""
        match instruction:
            case StartAttempt():
                self._start(instruction, trial)
            case StopWorker(_, reason):
                slot = self._slot(trial.uid)
                if slot:
                    slot.note = {"prune": "pruning", "drain": "saving", "gate": "stopping"}[reason]
            case EndAttempt():
                self._end(instruction, trial)
            case _:
                pass

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Update the slots with what workers sent."""
        for message in messages:
            slot = self._slot(message.trial_uid)
            if slot and isinstance(message, WorkerEvent):
                slot.on_event(message.event)
                if isinstance(message.event, Epoch):
                    self.lines.append(_epoch_line(slot, message.event, self.objective))

    def _slot(self, uid: str) -> SlotProgress | None:
        return self._slot_of.get(uid)

    def _start(self, start: StartAttempt, trial: TrialRow) -> None:
        params = describe(trial, self.parameters)
        epochs = trial.requested.get("epochs")
        self.slots[start.slot.name] = self._slot_of[trial.uid] = SlotProgress(
            start.slot.name,
            trial.uid,
            trial.number,
            params,
            epochs=epochs if isinstance(epochs, int) else 0,
        )
        attempt = f", attempt {start.attempt}" if start.attempt > 1 else ""
        self.lines.append(f"Try {trial.number + 1} started ({params}{attempt})")

    def _end(self, end: EndAttempt, trial: TrialRow) -> None:
        slot = self._slot_of.pop(trial.uid, None)
        if slot:
            del self.slots[slot.name]
        if end.status in ("completed", "pruned", "stopped", "failed"):
            self.counts[end.status] = self.counts.get(end.status, 0) + 1
            self._ended_in_this_run += 1
        if end.status in ("pruned", "stopped") and slot:
            self.epochs_saved += max(0, slot.epochs - slot.epoch)
        if end.status == "completed" and trial.best_value is not None:
            self._update_best(trial.best_value, trial)
        self.lines.append(_end_line(end, trial, self.objective))

    def _update_best(self, value: float, trial: TrialRow) -> None:
        if self.objective.is_better(value, self.best[0] if self.best else None):
            self.best = (value, trial.number, describe(trial, self.parameters))


def describe(trial: TrialRow, parameters: Sequence[str]) -> str:
    """Describe a trial by its swept parameters, such as `lr 0.0002, dropout 0.1`."""
    settings = {**trial.requested, SEED: trial.seed}
    return ", ".join(f"{name} {_short(settings.get(name))}" for name in parameters)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metric_title(name: str) -> str:
    """Return a metric's name with spaces instead of underscores."""
    return name.replace("_", " ")


def _epoch_line(slot: SlotProgress, epoch: Epoch, objective: Objective) -> str:
    metrics = {
        "train loss": epoch.train_loss,
        "dev loss": epoch.dev_loss,
        "dev accuracy": epoch.dev_accuracy,
        metric_title(objective.name): epoch.value,
    }
    parts = (f"{name} {value:.3f}" for name, value in metrics.items() if value is not None)
    return f"Try {slot.number + 1} epoch {slot.epoch_of_all}: {', '.join(parts)}"


def _end_line(end: EndAttempt, trial: TrialRow, objective: Objective) -> str:
    name = f"Try {trial.number + 1}"
    if end.status == "completed":
        result = f"{metric_title(objective.name)} {trial.best_value:.3f}"
        return f"{name} completed: {result} at epoch {trial.best_epoch}"
    if end.status == "waiting":
        return f"{name} will be retried: {end.reason}"
    return f"{name} {end.status}: {end.reason}"
