"""What every backend promises, over every backend, with the same scripted workers."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from trytable.orchestrator.backends.base import (
    Backend,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.backends.local import LocalBackend
from trytable.records import DataSource
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import AnyEvent, Job, SimulatedSettings

SLOTS = (Slot("1"), Slot("2"))
ODD_NAME = 'it\'s a "trial"\nwith $(odd) names'


def make_job(folder: Path, uid: str, attempt: int = 1, **knobs: object) -> Job:
    return Job(
        study="contract",
        trial_uid=uid,
        number=0,
        attempt=attempt,
        folder=str(folder / ODD_NAME / uid),
        cache_folder=str(folder),
        model="none",
        data=DataSource(),
        settings=SimulatedSettings.model_validate(knobs),
        seed=1,
    )


def play(job: Job) -> Iterable[tuple[float, AnyEvent | ScriptedExit]]:
    """The scripted trainer's script, for the simulated clock."""
    assert isinstance(job.settings, SimulatedSettings)
    for said in simulated.events(job, job.settings):
        if isinstance(said, simulated.Crash):
            hangs = said.kind == "hang"
            yield (1e9 if hangs else 0.0), ScriptedExit("killed by SIGKILL")
            return
        yield job.settings.epoch_seconds if said.event == "step" else 0.0, said


class BackendContract(ABC):
    """Subclasses say how to make their backend; `deadline_seconds` of its own clock at most."""

    @abstractmethod
    @pytest.fixture
    def backend(self, *args: Path) -> Iterator[Backend]:
        """A backend with SLOTS."""

    @pytest.fixture
    def job(self, tmp_path: Path) -> Callable[..., Job]:
        return lambda uid, attempt=1, **knobs: make_job(tmp_path, uid, attempt, **knobs)

    def until_exited(self, backend: Backend, *uids: str) -> list[WorkerMessage]:
        """All messages until each of these trials has exited."""
        left, heard = set(uids), list[WorkerMessage]()
        give_up = time.monotonic() + 240
        while left:
            assert time.monotonic() < give_up, f"{left} did not end; heard {heard}"
            for message in backend.poll(0.5):
                heard.append(message)
                if isinstance(message, WorkerExit):
                    left.remove(message.trial_uid)
        return heard

    def test_a_worker_says_all_in_order_and_exits_last(
        self, backend: Backend, job: Callable[..., Job]
    ) -> None:
        backend.start(job("a", epochs=3), SLOTS[0])
        *said, end = self.until_exited(backend, "a")
        words = [m.event.event for m in said if isinstance(m, WorkerEvent)]
        assert words == ["started", *["step", "epoch"] * 3, "finished"]
        assert isinstance(end, WorkerExit)
        assert end.cause == "exit code 0"

    def test_slots_are_taken_and_freed(self, backend: Backend, job: Callable[..., Job]) -> None:
        assert set(backend.free_slots()) == set(SLOTS)
        backend.start(job("a", crash="hang"), SLOTS[0])
        assert backend.free_slots() == (SLOTS[1],)
        backend.start(job("b"), SLOTS[1])
        assert backend.free_slots() == ()
        self.until_exited(backend, "b")
        assert backend.free_slots() == (SLOTS[1],)

    def test_a_taken_slot_and_a_running_trial_are_refused(
        self, backend: Backend, job: Callable[..., Job]
    ) -> None:
        backend.start(job("a", crash="hang"), SLOTS[0])
        with pytest.raises(ValueError, match="slot 1 is not free"):
            backend.start(job("b"), SLOTS[0])
        with pytest.raises(ValueError, match="already has a worker"):
            backend.start(job("a", attempt=2), SLOTS[1])

    def test_two_workers_run_side_by_side(self, backend: Backend, job: Callable[..., Job]) -> None:
        backend.start(job("a", epochs=6, epoch_seconds=0.3), SLOTS[0])
        backend.start(job("b", epochs=6, epoch_seconds=0.3), SLOTS[1])
        heard = self.until_exited(backend, "a", "b")
        epochs = [
            m.trial_uid for m in heard if isinstance(m, WorkerEvent) and m.event.event == "epoch"
        ]
        assert epochs not in (sorted(epochs), sorted(epochs, reverse=True))

    def test_a_worker_that_dies_silently_exits_all_the_same(
        self, backend: Backend, job: Callable[..., Job]
    ) -> None:
        backend.start(job("a", crash="signal", crash_at_epoch=2), SLOTS[0])
        *said, end = self.until_exited(backend, "a")
        assert [m.event.event for m in said if isinstance(m, WorkerEvent)] == [
            "started",
            "step",
            "epoch",
        ]
        assert isinstance(end, WorkerExit)
        assert end.cause == "killed by SIGKILL"

    def test_the_next_attempt_of_a_trial_can_start_after_the_end_of_the_last(
        self, backend: Backend, job: Callable[..., Job]
    ) -> None:
        backend.start(job("a", crash="signal", crash_attempts=1), SLOTS[0])
        self.until_exited(backend, "a")
        backend.start(job("a", attempt=2, crash="signal", crash_attempts=1), SLOTS[0])
        heard = self.until_exited(backend, "a")
        assert {message.attempt for message in heard} == {2}
        assert any(isinstance(m, WorkerEvent) and m.event.event == "finished" for m in heard)

    def test_a_stopped_worker_ends_soon(self, backend: Backend, job: Callable[..., Job]) -> None:
        backend.start(job("a", epochs=1000, epoch_seconds=1), SLOTS[0])
        backend.poll(1)
        backend.stop("a", "prune")
        backend.stop("a", "prune")
        heard = self.until_exited(backend, "a")
        assert not any(isinstance(m, WorkerEvent) and m.event.event == "finished" for m in heard)
        assert set(backend.free_slots()) == set(SLOTS)

    def test_a_worker_that_hangs_is_killed_after_its_grace(
        self, backend: Backend, job: Callable[..., Job]
    ) -> None:
        backend.start(job("a", crash="hang"), SLOTS[0])
        backend.poll(1)
        backend.stop("a", "prune")
        self.until_exited(backend, "a")

    def test_stopping_what_does_not_run_changes_nothing(self, backend: Backend) -> None:
        backend.stop("nobody", "prune")
        assert list(backend.poll(0)) == []

    def test_polling_without_workers_waits_and_returns_nothing(self, backend: Backend) -> None:
        assert list(backend.poll(0.01)) == []

    def test_closing_twice_is_closing_once(self, backend: Backend, job: Callable[..., Job]) -> None:
        backend.start(job("a", crash="hang"), SLOTS[0])
        backend.close()
        backend.close()


class TestFake(BackendContract):
    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = FakeBackend(SLOTS, play)
        yield backend
        backend.close()


class TestLocal(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = LocalBackend(
            SLOTS, "scripted", "none", tmp_path / "forkserver.log", grace_seconds=0.5
        )
        yield backend
        backend.close()
