"""The state machine of a sweep: an event goes in, instructions come out.

It does no I/O and reads no clock, so every order of events can be tested without a process. The
loop around it (`orchestrator.run.loop`) carries the instructions out and feeds the answers back.
"""

import math
from collections.abc import Iterable
from typing import Literal

from trytable.orchestrator.backends.base import Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.scheduler import events
from trytable.orchestrator.scheduler.device_health import DeviceHealth
from trytable.orchestrator.scheduler.gpu_sharing import GpuSharing
from trytable.orchestrator.scheduler.placement import Placement
from trytable.orchestrator.scheduler.trial import LiveTrial
from trytable.results.storage.rows import TERMINAL, Status
from trytable.trainers.protocol.messages import (
    RETRYABLE,
    Checkpoint,
    Epoch,
    Failed,
    Finished,
    StopReason,
)

Instructions = tuple[events.Instruction, ...]


class StateMachine:
    """Decides what happens next in one sweep.

    Args:
        trials_left: how many new trials may still be asked for.
        max_attempts: a trial fails after this many failed attempts.
        deadline: the monotonic second at which the sweep drains, or None.
        unfinished: trials of an earlier run that go on.
        gpu_failures: exclude a GPU after this many trials failed on it in a row.
        memory_reported: whether workers report their peak memory, so that memory decides which
            trials share a GPU.

    Attributes:
        trials: the trials that have not ended, by their UUID.
    """

    def __init__(
        self,
        trials_left: int,
        max_attempts: int = 3,
        deadline: float | None = None,
        unfinished: Iterable[LiveTrial] = (),
        gpu_failures: int = 3,
        *,
        memory_reported: bool = False,
    ) -> None:
        self.trials = {trial.uid: trial for trial in unfinished}
        self.trials_left = trials_left
        self.max_attempts = max_attempts
        self.deadline = deadline
        self.mode: Literal["running", "draining", "halted"] = "running"
        self._health = DeviceHealth(gpu_failures)
        self._sharing = GpuSharing()
        self._placement = Placement(
            self.trials.values(), self._health, self._sharing, memory_reported=memory_reported
        )

    @property
    def is_done(self) -> bool:
        """Whether no trial runs and none will be started."""
        if len(self._placement.idle) < len(self.trials):
            return False
        return self.mode != "running" or (not self.trials and self.trials_left <= 0)

    def handle(self, event: events.SchedulerEvent) -> Instructions:  # noqa: PLR0911 - one for each event
        """Take in one event and return what is to be done, in this order."""
        match event:
            case events.Tick():
                return self._tick(event)
            case events.NewTrial():
                return self._add_trial(event)
            case events.SearchExhausted():
                self.trials_left = 0
                return ()
            case events.PruneAdvice():
                return self._stop_running(event.uid, "prune")
            case events.EarlyStopAdvice():
                return self._stop_running(event.uid, "gate", event.reason)
            case events.AttemptLost():
                return self._end_lost_attempt(self.trials[event.uid])
            case events.Interrupt():
                return self._interrupt()
            case WorkerEvent():
                return self._take_worker_event(event)
            case WorkerExit():
                return self._take_worker_exit(event)

    def _tick(self, tick: events.Tick) -> Instructions:
        if self.mode == "running" and self.deadline is not None and tick.now >= self.deadline:
            return self._drain()
        if self.mode != "running":
            return ()
        free = self._placement.usable_slots(tick.free)
        starts: list[events.Instruction] = []
        is_blocked = False
        for trial in list(self._placement.idle.values()) if free else ():
            slot = self._placement.find_slot(trial, free)
            if slot is None:
                is_blocked |= self._placement.is_blocked(trial, free)
            else:
                free.remove(slot)
                starts.append(self._start(trial, slot))
        # A trial that fits nowhere gets the next GPU that becomes empty. If new trials were asked
        # for meanwhile, they would fill every gap, and it might wait until the end of the sweep.
        slots = [] if is_blocked else self._placement.slots_for_new_trials(free)
        return (*starts, *(events.AskTrial(slot) for slot in slots[: max(self.trials_left, 0)]))

    def _add_trial(self, new: events.NewTrial) -> Instructions:
        trial = LiveTrial(new.uid, new.number, shape=new.shape)
        self.trials[new.uid] = self._placement.idle[new.uid] = trial
        self.trials_left -= 1
        return (self._start(trial, new.slot),) if self._placement.has_room(new.slot, trial) else ()

    def _start(self, trial: LiveTrial, slot: Slot) -> events.StartAttempt:
        trial.attempt += 1
        trial.stop_reason = trial.result = trial.error = None
        trial.diagnosis = ""
        trial.has_checkpoint = False
        trial.device = slot.device
        trial.change_status("running", f"attempt {trial.attempt} in slot {slot.name}")
        self._placement.add_running(trial)
        shared = self._placement.is_shared(slot, trial)
        return events.StartAttempt(trial.uid, trial.attempt, slot, shared)

    def _running_trial(self, message: WorkerEvent | WorkerExit) -> LiveTrial | None:
        """The trial of a message; None if the message comes from an attempt that is over."""
        trial = self.trials.get(message.trial_uid)
        if trial is None or (trial.status, trial.attempt) != ("running", message.attempt):
            return None
        return trial

    def _take_worker_event(self, message: WorkerEvent) -> Instructions:
        trial = self._running_trial(message)
        if trial is None:
            return ()
        match message.event:
            case Epoch() as epoch:
                return (*self._report(trial, epoch), *self._record_memory(trial, epoch))
            case Checkpoint():
                trial.has_checkpoint = True
            case Finished() as finished if math.isfinite(finished.best_value):
                trial.result = finished
            case Finished() as finished:  # Optuna raises for NaN and would rank infinity first
                problem = f"the result is {finished.best_value}"
                trial.error = Failed(attempt=trial.attempt, kind="non_finite", message=problem)
            case Failed() as failed:
                trial.error = failed
                return self._limit_sharing(trial, failed)
            case _:
                pass
        return ()

    def _report(self, trial: LiveTrial, epoch: Epoch) -> Instructions:
        if epoch.epoch <= trial.last_epoch:
            return ()
        trial.last_epoch = epoch.epoch
        # Optuna would store a NaN, and infinity would become the trial's best value.
        if epoch.value is None or not math.isfinite(epoch.value):
            return ()
        return (events.ReportValue(trial.uid, epoch.epoch, epoch.value),)

    def _record_memory(self, trial: LiveTrial, epoch: Epoch) -> Instructions:
        peak, total = epoch.peak_device_bytes, epoch.device_bytes
        if peak is None or total is None or not self._placement.is_by_memory(trial.device):
            return ()
        fit = self._sharing.record_peak(trial.device, trial.shape, peak, total)
        return (events.AnnounceGpuFit(trial.uid, fit),) if fit else ()

    def _limit_sharing(self, trial: LiveTrial, failed: Failed) -> Instructions:
        if not _is_sharing_failure(failed) or not trial.peak_sharing:
            return ()
        sharing = trial.peak_sharing
        limit = self._sharing.record_out_of_memory(trial.device, trial.shape, sharing)
        return () if limit is None else (events.AnnounceSharingLimit(trial.uid, sharing, limit),)

    def _stop_running(self, uid: str, reason: StopReason, diagnosis: str = "") -> Instructions:
        trial = self.trials.get(uid)
        if trial is None or trial.status != "running" or trial.result:
            return ()
        return self._stop(trial, reason, diagnosis)

    def _stop(self, trial: LiveTrial, reason: StopReason, diagnosis: str = "") -> Instructions:
        if trial.stop_reason is not None:
            return ()
        trial.stop_reason, trial.diagnosis = reason, diagnosis
        return (events.StopWorker(trial.uid, reason),)

    def _interrupt(self) -> Instructions:
        if self.mode == "running":
            return self._drain()
        if self.mode == "halted":
            return ()
        self.mode = "halted"
        running = [trial for trial in self.trials.values() if trial.status == "running"]
        ends = [self._end(trial, "waiting", "interrupted by the user") for trial in running]
        return (events.KillWorkers(), *ends)

    def _drain(self) -> Instructions:
        self.mode = "draining"
        running = [trial for trial in self.trials.values() if trial.status == "running"]
        return tuple(stop for trial in running for stop in self._stop(trial, "drain"))

    def _take_worker_exit(self, message: WorkerExit) -> Instructions:
        trial = self._running_trial(message)
        if trial is None:
            return ()
        excluded = set(self._health.excluded)
        end = self._end_attempt(trial, message.cause)
        newly_excluded = sorted(self._health.excluded - excluded)
        return (end, *map(events.AnnounceGpuExclusion, newly_excluded))

    def _end_lost_attempt(self, trial: LiveTrial) -> Instructions:
        cause = "the orchestrator exited"
        if trial.result is None and trial.error is None and trial.stop_reason is None:
            return (self._end(trial, "waiting", cause),)
        return (self._end_attempt(trial, cause),)

    def _end_attempt(self, trial: LiveTrial, cause: str) -> events.EndAttempt:
        """Judge an attempt once, when its worker has exited.

        A result wins over a stop: the worker had finished before the stop reached it, and a value
        is never thrown away.
        """
        has_ended = trial.result is not None or trial.stop_reason in ("prune", "gate")
        if not has_ended and not (trial.stop_reason == "drain" and trial.error is None):
            return self._end_failed_attempt(trial, cause)
        self._health.record_success(trial.device)
        if trial.result is not None:
            return self._end(trial, "completed", "")
        if trial.stop_reason == "prune":
            return self._end(trial, "pruned", f"after epoch {trial.last_epoch}")
        if trial.stop_reason == "gate":
            return self._end(trial, "stopped", trial.diagnosis)
        saved = "with a checkpoint" if trial.has_checkpoint else "without a new checkpoint"
        return self._end(trial, "drained", saved)

    def _end_failed_attempt(self, trial: LiveTrial, cause: str) -> events.EndAttempt:
        error = trial.error
        reason = f"worker exited without reporting a result ({cause})"
        if error is not None:
            reason = f"{error.kind}: {error.message}"
            if _is_sharing_failure(error):
                return self._end(trial, "waiting", reason)
        trial.failures += 1
        is_worth_a_retry = error is None or error.kind in RETRYABLE
        if is_worth_a_retry:
            self._health.record_failure(trial.device, trial.uid)
            trial.failed_device = trial.device
        else:
            self._health.record_success(trial.device)
        if is_worth_a_retry and trial.failures < self.max_attempts:
            return self._end(trial, "waiting", reason)
        return self._end(trial, "failed", reason)

    def _end(self, trial: LiveTrial, status: Status, reason: str) -> events.EndAttempt:
        trial.change_status(status, reason or status)
        self._placement.remove_running(trial)
        if status in TERMINAL:
            del self.trials[trial.uid]
        return events.EndAttempt(
            trial.uid, trial.attempt, status, reason, trial.failures, result=trial.result
        )


def _is_sharing_failure(failed: Failed) -> bool:
    """Whether memory ran out on a shared GPU, which is no failure of a trial that may fit alone."""
    return failed.kind == "oom" and failed.shared_device
