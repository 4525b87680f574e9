"""The life of every trial, as a pure state machine: an event goes in, instructions come out.

Nothing here does I/O or looks at a clock: time comes in with `Tick`. The loop around it carries
the instructions out. So every order of events can be tested without a process.
"""

import math
from collections.abc import Iterable
from typing import Literal

from trytable.orchestrator.backends.base import Exited, Said, Slot
from trytable.orchestrator.scheduler.device_health import DeviceHealth
from trytable.orchestrator.scheduler.events import (
    Ask,
    Asked,
    GateAdvised,
    Halt,
    Input,
    Instruction,
    Interrupted,
    Lost,
    Measured,
    NothingLeft,
    PruneAdvised,
    Repacked,
    Report,
    SetAside,
    Settle,
    Start,
    Stop,
    Tick,
)
from trytable.orchestrator.scheduler.gpu_sharing import Packing
from trytable.orchestrator.scheduler.placement import Places
from trytable.orchestrator.scheduler.trial import MOVES, InvalidMove, TrialState
from trytable.results.storage.rows import TERMINAL, Status
from trytable.trainers.protocol.messages import (
    RETRIED,
    Checkpoint,
    Epoch,
    Failed,
    Finished,
    StopReason,
)

__all__ = [
    "MOVES",
    "Ask",
    "Asked",
    "GateAdvised",
    "Halt",
    "Input",
    "Instruction",
    "Interrupted",
    "InvalidMove",
    "Lost",
    "Machine",
    "Measured",
    "NothingLeft",
    "PruneAdvised",
    "Repacked",
    "Report",
    "SetAside",
    "Settle",
    "Start",
    "Stop",
    "Tick",
    "TrialState",
]


class Machine:
    """Decides what happens next in one sweep.

    Args:
        to_ask: how many new trials may still be asked for.
        max_attempts: after so many failed attempts a trial has failed.
        deadline: the monotonic second at which the sweep drains, or None.
        unfinished: trials of an earlier run that go on.
        gpu_failures: after so many trials that failed there in a row a GPU is set aside.
        measured: whether trials tell what memory they take, so that it decides who shares a GPU.
    """

    def __init__(
        self,
        to_ask: int,
        max_attempts: int = 3,
        deadline: float | None = None,
        unfinished: Iterable[TrialState] = (),
        gpu_failures: int = 3,
        *,
        measured: bool = False,
    ) -> None:
        self._devices = DeviceHealth(gpu_failures)
        self._packing = Packing(measured)
        self.trials = {trial.uid: trial for trial in unfinished}
        self._places = Places(self.trials.values(), self._devices, self._packing)
        self.to_ask = to_ask
        self.max_attempts = max_attempts
        self.deadline = deadline
        self.mode: Literal["running", "draining", "halted"] = "running"

    @property
    def done(self) -> bool:
        """Whether nothing is left to wait for."""
        if len(self._places.idle) < len(self.trials):
            return False
        return self.mode != "running" or (not self.trials and self.to_ask <= 0)

    def handle(self, event: Input) -> tuple[Instruction, ...]:  # noqa: PLR0911 - one an event
        """Take in one event and say what is to be done, in this order."""
        match event:
            case Tick():
                return self._tick(event)
            case Asked():
                return self._asked(event)
            case NothingLeft():
                self.to_ask = 0
                return ()
            case PruneAdvised():
                return self._advised(event.uid, "prune")
            case GateAdvised():
                return self._advised(event.uid, "gate", event.reason)
            case Lost():
                return self._lost(self.trials[event.uid])
            case Interrupted():
                return self._interrupted()
            case Said():
                return self._said(event)
            case Exited():
                return self._exited(event)

    def _tick(self, tick: Tick) -> tuple[Instruction, ...]:
        if self.mode == "running" and self.deadline is not None and tick.now >= self.deadline:
            return self._drain()
        if self.mode != "running":
            return ()
        free = self._places.usable(tick.free)
        starts: list[Instruction] = []
        kept_out = False
        for trial in list(self._places.idle.values()) if free else ():
            slot = self._places.find(trial, free)
            if slot is None:
                kept_out |= self._places.is_kept_out(trial, free)
            else:
                free.remove(slot)
                starts.append(self._start(trial, slot))
        # Whoever fits nowhere gets the next GPU that is empty: nobody new comes before it.
        slots = [] if kept_out else self._places.to_ask_for(free)
        return (*starts, *(Ask(slot) for slot in slots[: max(self.to_ask, 0)]))

    def _asked(self, event: Asked) -> tuple[Instruction, ...]:
        trial = TrialState(event.uid, event.number, shape=event.shape)
        self.trials[event.uid] = self._places.idle[event.uid] = trial
        self.to_ask -= 1
        return (self._start(trial, event.slot),) if self._places.fits(trial, event.slot) else ()

    def _start(self, trial: TrialState, slot: Slot) -> Start:
        trial.attempt += 1
        trial.stop = trial.finished = trial.failed = None
        trial.diagnosis = ""
        trial.checkpointed = False
        trial.device = slot.device
        trial.move("running", f"attempt {trial.attempt} in slot {slot.name}")
        self._places.started(trial)
        shared = self._packing.is_shared(slot.device, trial.shape)
        return Start(trial.uid, trial.attempt, slot, shared)

    def _current(self, event: Said | Exited) -> TrialState | None:
        """The trial, unless the message is from an attempt that is over."""
        trial = self.trials.get(event.trial_uid)
        current = trial is not None and trial.status == "running" and trial.attempt == event.attempt
        return trial if current else None

    def _said(self, message: Said) -> tuple[Instruction, ...]:
        trial = self._current(message)
        if trial is None:
            return ()
        match message.event:
            case Epoch() as epoch:
                return (*self._report(trial, epoch), *self._measure(trial, epoch))
            case Checkpoint():
                trial.checkpointed = True
            case Finished() as finished if math.isfinite(finished.best_value):
                trial.finished = finished
            case Finished() as finished:  # the study would raise for NaN, and call infinity best
                told = f"the result is {finished.best_value}"
                trial.failed = Failed(attempt=trial.attempt, kind="non_finite", message=told)
            case Failed() as failed:
                trial.failed = failed
                return self._repack(trial, failed)
            case _:
                pass
        return ()

    def _report(self, trial: TrialState, epoch: Epoch) -> tuple[Instruction, ...]:
        if epoch.epoch <= trial.last_epoch:
            return ()
        trial.last_epoch = epoch.epoch
        # The study keeps a NaN, and infinity would become its best value.
        if epoch.value is None or not math.isfinite(epoch.value):
            return ()
        return (Report(trial.uid, epoch.epoch, epoch.value),)

    def _measure(self, trial: TrialState, epoch: Epoch) -> tuple[Instruction, ...]:
        peak, of = epoch.peak_device_bytes, epoch.device_bytes
        if peak is None or of is None:
            return ()
        fit = self._packing.told(trial.device, trial.shape, peak, of)
        return (Measured(trial.uid, fit),) if fit else ()

    def _repack(self, trial: TrialState, failed: Failed) -> tuple[Instruction, ...]:
        if not _crowded_out(failed) or not trial.crowd:
            return ()
        limit = self._packing.ran_out(trial.device, trial.shape, trial.crowd)
        return () if limit is None else (Repacked(trial.uid, trial.crowd, limit),)

    def _advised(self, uid: str, by: StopReason, why: str = "") -> tuple[Instruction, ...]:
        trial = self.trials.get(uid)
        if trial is None or trial.status != "running" or trial.finished:
            return ()
        return self._stop(trial, by, why)

    def _stop(
        self, trial: TrialState, reason: StopReason, why: str = ""
    ) -> tuple[Instruction, ...]:
        if trial.stop is not None:
            return ()
        trial.stop, trial.diagnosis = reason, why
        return (Stop(trial.uid, reason),)

    def _interrupted(self) -> tuple[Instruction, ...]:
        if self.mode == "running":
            return self._drain()
        if self.mode == "halted":
            return ()
        self.mode = "halted"
        halted = tuple(
            self._settle(trial, "waiting", "stopped by the person")
            for trial in list(self.trials.values())
            if trial.status == "running"
        )
        return (Halt(), *halted)

    def _drain(self) -> tuple[Instruction, ...]:
        self.mode = "draining"
        running = [trial for trial in self.trials.values() if trial.status == "running"]
        return tuple(stop for trial in running for stop in self._stop(trial, "drain"))

    def _exited(self, message: Exited) -> tuple[Instruction, ...]:
        trial = self._current(message)
        if trial is None:
            return ()
        before = set(self._devices.set_aside)
        settle = self._end_of_attempt(trial, message.how)
        new = self._devices.set_aside - before
        return (settle, *(SetAside(device) for device in sorted(new)))

    def _lost(self, trial: TrialState) -> tuple[Instruction, ...]:
        if trial.finished is None and trial.failed is None and trial.stop is None:
            return (self._settle(trial, "waiting", "the orchestrator ended"),)
        return (self._end_of_attempt(trial, "the orchestrator ended"),)

    def _end_of_attempt(self, trial: TrialState, how: str) -> Settle:
        ended = trial.finished is not None or trial.stop in ("prune", "gate")
        if not ended and not (trial.stop == "drain" and trial.failed is None):
            return self._attempt_failed(trial, how)
        self._devices.worked(trial.device)
        if trial.finished is not None:
            # It was done before a stop could reach it: a value is never thrown away.
            return self._settle(trial, "completed", "")
        if trial.stop == "prune":
            return self._settle(trial, "pruned", f"after epoch {trial.last_epoch}")
        if trial.stop == "gate":
            return self._settle(trial, "stopped", trial.diagnosis)
        kept = "with a checkpoint" if trial.checkpointed else "without a new checkpoint"
        return self._settle(trial, "drained", kept)

    def _attempt_failed(self, trial: TrialState, how: str) -> Settle:
        said = trial.failed
        if said is not None and _crowded_out(said):
            return self._settle(trial, "waiting", f"{said.kind}: {said.message}")
        trial.failures += 1
        reason = f"{said.kind}: {said.message}" if said else f"died without a word: {how}"
        worth_a_retry = said is None or said.kind in RETRIED
        if worth_a_retry:
            self._devices.failed(trial.device, trial.uid)
            trial.avoided = trial.device
        else:
            self._devices.worked(trial.device)
        if worth_a_retry and trial.failures < self.max_attempts:
            return self._settle(trial, "waiting", reason)
        return self._settle(trial, "failed", reason)

    def _settle(self, trial: TrialState, status: Status, reason: str) -> Settle:
        trial.move(status, reason or status)
        self._places.stopped(trial)
        if status in TERMINAL:
            del self.trials[trial.uid]
        return Settle(
            trial.uid, trial.attempt, status, reason, trial.failures, finished=trial.finished
        )


def _crowded_out(failed: Failed) -> bool:
    """Whether memory ran out on a shared GPU: no fault of the trial's, which may well fit alone."""
    return failed.kind == "oom" and failed.shared_device
