"""What the person sees of a running sweep, as plain numbers: no drawing here."""

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
    """One slot and the trial in it. `value` is the objective's after the last epoch."""

    slot: str
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
        """As `3/5`; `3` where a script has no number of epochs."""
        return f"{self.epoch}/{self.epochs}" if self.epochs else str(self.epoch)

    def on_event(self, event: Event) -> None:
        """Take in what the worker of this slot says."""
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
    """Counts and lanes of a sweep.

    Args:
        total: trials in all, as far as is known.
        parameters: the names of the parameters that vary.
        objective: what the sweep is after.
        counts: ended trials of earlier runs by status.
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
    _ended_here: int = 0
    _slot_of: dict[str, SlotProgress] = field(default_factory=dict)  # by the trial's UUID

    @property
    def ended(self) -> int:
        """Trials that have ended, in this run and earlier ones."""
        return sum(self.counts.values())

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the last trial ends, from the pace of this run; None before the first."""
        if not self._ended_here:
            return None
        return (now - self.started_at) / self._ended_here * max(0, self.total - self.ended)

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None:
        """Take in an instruction about a trial."""
        match instruction:
            case StartAttempt():
                self._start(instruction, trial)
            case StopWorker(_, reason):
                lane = self._slot(trial.uid)
                if lane:
                    lane.note = {"prune": "pruning", "drain": "saving", "gate": "stopping"}[reason]
            case EndAttempt():
                self._settle(instruction, trial)
            case _:
                pass

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None:
        """Take in what workers said."""
        for message in messages:
            lane = self._slot(message.trial_uid)
            if lane and isinstance(message, WorkerEvent):
                lane.on_event(message.event)
                if isinstance(message.event, Epoch):
                    self.lines.append(_epoch_line(lane, message.event, self.objective))

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
        again = f", attempt {start.attempt}" if start.attempt > 1 else ""
        self.lines.append(f"Try {trial.number + 1} starts ({params}{again})")

    def _settle(self, settle: EndAttempt, trial: TrialRow) -> None:
        lane = self._slot_of.pop(trial.uid, None)
        if lane:
            del self.slots[lane.slot]
        if settle.status in ("completed", "pruned", "stopped", "failed"):
            self.counts[settle.status] = self.counts.get(settle.status, 0) + 1
            self._ended_here += 1
        if settle.status in ("pruned", "stopped") and lane:
            self.epochs_saved += max(0, lane.epochs - lane.epoch)
        best = trial.best_value
        if settle.status == "completed" and best is not None:
            self._keep_best(best, trial)
        self.lines.append(_settled_line(settle, trial, self.objective))

    def _keep_best(self, best: float, trial: TrialRow) -> None:
        if self.objective.is_better(best, self.best[0] if self.best else None):
            self.best = (best, trial.number, describe(trial, self.parameters))


def describe(trial: TrialRow, varied: Sequence[str]) -> str:
    """The parameters that vary, as `lr 0.0002, dropout 0.1`."""
    settings = {**trial.requested, SEED: trial.seed}
    return ", ".join(f"{name} {_short(settings.get(name))}" for name in varied)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metric_title(name: str) -> str:
    """A metric's name as people read it."""
    return name.replace("_", " ")


def _epoch_line(lane: SlotProgress, epoch: Epoch, objective: Objective) -> str:
    measured = {
        "train loss": epoch.train_loss,
        "dev loss": epoch.dev_loss,
        "dev accuracy": epoch.dev_accuracy,
        metric_title(objective.name): epoch.value,
    }
    told = ", ".join(f"{name} {one:.3f}" for name, one in measured.items() if one is not None)
    return f"Try {lane.number + 1} epoch {lane.epoch_of_all}: {told}"


def _settled_line(settle: EndAttempt, trial: TrialRow, objective: Objective) -> str:
    name = f"Try {trial.number + 1}"
    if settle.status == "completed":
        reached = f"{metric_title(objective.name)} {trial.best_value:.3f}"
        return f"{name} completed: {reached} at epoch {trial.best_epoch}"
    if settle.status == "waiting":
        return f"{name} will be tried again: {settle.reason}"
    return f"{name} {settle.status}: {settle.reason}"
