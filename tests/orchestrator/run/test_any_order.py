"""Any order of events, kills of the orchestrator among them, against a real ledger and study."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.orchestrator.playing import sweep_of
from trytable.orchestrator.backends.base import (
    Backend,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.loop import SweepLoop
from trytable.orchestrator.run.recorder import Recorder
from trytable.orchestrator.run.recovery import reconcile
from trytable.orchestrator.scheduler.events import Instruction, StartAttempt
from trytable.orchestrator.scheduler.machine import StateMachine
from trytable.orchestrator.study.database import open_storage
from trytable.orchestrator.study.integrity import check_trials
from trytable.orchestrator.study.study import OptunaStudy
from trytable.records import DataSource
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import StudyRow, TrialRow
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import (
    TRAINERS,
    AnyEvent,
    Failed,
    Job,
    SimulatedSettings,
    StopReason,
)

SWEEP = """
trainer: scripted
attempts: 2
baseline: {value: 0.5, epochs: 3}
parameters:
  value: [0.1, 0.3, 0.5, 0.7, 0.9]
pruner: {name: asha, min_epochs: 1, reduction_factor: 2}
"""
SLOTS = (Slot("1"), Slot("2"))


class Puppets(Backend):
    """Workers that do what the test has them do; what they say lies in their files first."""

    def __init__(self) -> None:
        self.workers: dict[str, tuple[Job, Slot, list[AnyEvent]]] = {}
        self.stopping: set[str] = set()
        self.queue: list[WorkerMessage] = []

    def free_slots(self) -> tuple[Slot, ...]:
        taken = {slot for _, slot, _ in self.workers.values()}
        return tuple(slot for slot in SLOTS if slot not in taken)

    def start(self, job: Job, slot: Slot) -> None:
        assert job.trial_uid not in self.workers, "a trial runs twice"
        assert slot in self.free_slots(), "two workers in one slot"
        assert isinstance(job.settings, SimulatedSettings)
        Path(job.folder).mkdir(parents=True, exist_ok=True)
        words: list[Any] = list(simulated.events(job, job.settings))
        self.workers[job.trial_uid] = (job, slot, words)

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        del timeout_seconds  # a test has no time to wait
        messages, self.queue = self.queue, []
        for message in messages:
            if isinstance(message, WorkerExit):
                del self.workers[message.trial_uid]
                self.stopping.discard(message.trial_uid)
        return messages

    def stop(self, trial_uid: str, reason: StopReason) -> None:
        del reason
        if trial_uid in self.workers:
            self.stopping.add(trial_uid)

    def close(self) -> None:
        self.workers.clear()
        self.queue.clear()

    def say(self, uid: str, event: AnyEvent) -> None:
        job, _, _ = self.workers[uid]
        with (Path(job.folder) / "events.jsonl").open("a") as file:
            file.write(event.model_dump_json() + "\n")
        self.queue.append(WorkerEvent(uid, job.attempt, event))

    def exit(self, uid: str) -> None:
        if not any(isinstance(one, WorkerExit) and one.trial_uid == uid for one in self.queue):
            self.queue.append(WorkerExit(uid, self.workers[uid][0].attempt, "exit code 1"))

    @property
    def talking(self) -> list[str]:
        """Trials whose worker has not ended."""
        ended = {one.trial_uid for one in self.queue if isinstance(one, WorkerExit)}
        return sorted(self.workers.keys() - ended)


class Silent:
    """A listener that shows nothing."""

    def on_instruction(self, instruction: Instruction, trial: TrialRow) -> None: ...

    def on_messages(self, messages: Sequence[WorkerMessage]) -> None: ...

    def print_line(self, text: str) -> None: ...


class AnyOrder(RuleBasedStateMachine):
    """A sweep of five points in two slots, with everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="any-order-"))
        self.sweep = sweep_of(self.home, SWEEP)
        self.folders = Folders(self.home / "runs", "quality")
        self.folders.runs.mkdir()
        self.ledger = Ledger(self.folders.url)
        self.storage = open_storage(self.folders.url)
        self.ledger.create_tables()
        self.open()

    def teardown(self) -> None:
        """However it went, the next runs bring every point to its end."""
        for _ in range(20):
            self.crash()
            while not self.loop.turn():
                for uid in self.puppets.talking:
                    self.finish(uid)
            if not self.study.trials_to_ask() and not self.machine.trials:
                break
        self.nothing_is_lost_or_doubled()
        found = [trial for trial in self.study.study.trials if trial.state.name != "FAIL"]
        assert sorted(trial.params["value"] for trial in found) == [0.1, 0.3, 0.5, 0.7, 0.9]
        self.storage.remove_session()
        self.storage.engine.dispose()
        shutil.rmtree(self.home)

    def open(self) -> None:
        """A new orchestrator; the workers of the one before have died with it."""
        self.puppets = Puppets()
        self.presses = 0
        self.study = OptunaStudy(self.storage, self.sweep, "quality")
        self.ledger.write(StudyRow(self.study.uid, "quality", self.sweep.to_json(), {}, 1.0))
        recorder = Recorder(self.ledger, self.study.uid)
        left = reconcile(self.study, recorder, self.ledger.read(self.study.uid), self.requested)
        unfinished = [*left.waiting, *left.interrupted]
        self.machine = StateMachine(
            self.study.trials_to_ask(), self.sweep.attempts, None, unfinished
        )
        self.loop = SweepLoop(
            machine=self.machine,
            study=self.study,
            recorder=recorder,
            backend=self.puppets,
            folders=self.folders,
            listener=Silent(),
            full_settings=self.requested,
            make_job=self.job,
            interrupt_count=lambda: self.presses,
        )
        for trial in left.interrupted:
            self.loop.replay(trial)

    def requested(self, params: dict[str, Any]) -> dict[str, Any]:
        return TRAINERS["scripted"].model_validate({**self.sweep.baseline, **params}).model_dump()

    def job(self, trial: TrialRow, start: StartAttempt) -> Job:
        return Job(
            study="quality",
            trial_uid=trial.uid,
            number=trial.number,
            attempt=start.attempt,
            folder=str(self.folders.trial(trial.number)),
            cache_folder=str(self.folders.cache),
            model="none",
            data=DataSource(name="none"),
            data_hash="",
            settings=SimulatedSettings.model_validate(trial.requested),
            seed=1,
        )

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule()
    def crash(self) -> None:
        self.open()

    @precondition(lambda self: self.puppets.talking)
    @rule(data=st.data(), again=st.booleans())
    def say(self, data: st.DataObject, again: bool) -> None:
        """The next word of a worker; perhaps twice."""
        uid = data.draw(st.sampled_from(self.puppets.talking))
        words = self.puppets.workers[uid][2]
        if words and words[0].event != "finished":
            self.puppets.say(uid, words[0] if again else words.pop(0))

    @precondition(lambda self: self.puppets.talking)
    @rule(data=st.data())
    def end_well(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.puppets.talking)))

    def finish(self, uid: str) -> None:
        """A worker says all that is left, or ends where it was asked to."""
        for word in self.puppets.workers[uid][2]:
            if uid not in self.puppets.stopping:
                self.puppets.say(uid, word)
        self.puppets.exit(uid)

    @precondition(lambda self: self.puppets.talking)
    @rule(data=st.data(), how=st.sampled_from(["error", "user", "silently"]))
    def end_badly(self, data: st.DataObject, how: Any) -> None:
        uid = data.draw(st.sampled_from(self.puppets.talking))
        if how != "silently":
            attempt = self.puppets.workers[uid][0].attempt
            self.puppets.say(uid, Failed(attempt=attempt, kind=how, message="as drawn"))
        self.puppets.exit(uid)

    @rule()
    def press(self) -> None:
        """Ctrl-C."""
        self.presses += 1

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        trials = self.study.study.get_trials(deepcopy=False)
        counts, problems = check_trials(trials, self.ledger.read(self.study.uid))
        assert problems == []
        assert sum(counts.values()) == sum(one.state.name != "WAITING" for one in trials)
        running = {one.uid for one in self.machine.trials.values() if one.status == "running"}
        assert running == set(self.puppets.workers)
        values = [one.params["value"] for one in trials if one.state.name in ("COMPLETE", "PRUNED")]
        assert len(values) == len(set(values)), "a point ended twice"


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestAnyOrder = pytest.mark.slow(AnyOrder.TestCase)
