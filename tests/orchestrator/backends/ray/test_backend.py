"""The Ray backend on a cluster of this machine: what every backend promises, and its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.orchestrator.backends.test_contract import SLOTS, BackendContract, make_job
from trytable.orchestrator.backends.base import (
    GPU,
    Backend,
    BackendError,
    Slot,
    WorkerEvent,
    WorkerExit,
    WorkerMessage,
)
from trytable.orchestrator.backends.ray.cluster import join_cluster
from trytable.orchestrator.backends.ray.plan import NodeInfo, make_plan, node_problems
from trytable.trainers.protocol.messages import Started


@pytest.fixture(scope="module")
def joined() -> Iterator[None]:
    """A cluster of this machine for all tests here."""
    with join_cluster(print):
        yield


def make_backend(
    folder: Path,
    slots: tuple[Slot, ...] = SLOTS,
    *,
    trainer: str = "scripted",
    model: str = "none",
    room_seconds: float = 60.0,
) -> Backend:
    # Not before a cluster is there: Ray reads its environment when it is imported.
    from trytable.orchestrator.backends.ray.backend import RayBackend  # noqa: PLC0415 - see above

    plan = make_plan(trainer, model, folder / "forkserver.log", grace_seconds=0.5)
    return RayBackend(slots, plan, 0.5, room_seconds)


def until_ready(backend: Backend, slots: int) -> None:
    while len(backend.free_slots()) < slots:
        assert list(backend.poll(0.5)) == []


@pytest.fixture
def opened(joined: None, tmp_path: Path) -> Iterator[Backend]:
    """A backend whose slots are all ready."""
    backend = make_backend(tmp_path)
    until_ready(backend, len(SLOTS))
    yield backend
    backend.close()


class TestRay(BackendContract):
    @pytest.fixture
    def backend(self, opened: Backend) -> Backend:
        return opened


def poll_until(
    backend: Backend, enough: Callable[[list[WorkerMessage]], bool]
) -> list[WorkerMessage]:
    heard: list[WorkerMessage] = []
    for _ in range(120):
        heard.extend(backend.poll(0.5))
        if enough(heard):
            return heard
    raise AssertionError(heard)


def workers(heard: list[WorkerMessage]) -> list[psutil.Process]:
    """The processes of those that have said that they started."""
    events = [one.event for one in heard if isinstance(one, WorkerEvent)]
    return [psutil.Process(one.pid) for one in events if isinstance(one, Started)]


def exits(heard: list[WorkerMessage]) -> dict[str, str]:
    """How each trial's attempt ended."""
    return {one.trial_uid: one.cause for one in heard if isinstance(one, WorkerExit)}


def test_close_leaves_no_worker(opened: Backend, tmp_path: Path) -> None:
    backend = opened
    for uid, slot in zip("ab", SLOTS, strict=True):
        backend.start(make_job(tmp_path, uid, crash="hang"), slot)
    found = workers(poll_until(backend, lambda heard: len(workers(heard)) == 2))
    found += [worker.parent() or worker for worker in found]  # the fork servers
    backend.close()
    _, alive = psutil.wait_procs(found, timeout=120)
    assert not alive


def test_a_killed_actor_ends_its_attempt_and_another_takes_its_slot(
    opened: Backend, tmp_path: Path
) -> None:
    backend = opened
    backend.start(make_job(tmp_path, "a", crash="hang"), SLOTS[0])
    backend.start(make_job(tmp_path, "b", epochs=3, epoch_seconds=0.2), SLOTS[1])
    heard = poll_until(backend, lambda heard: len(workers(heard)) == 2)
    pid = next(
        one.event.pid
        for one in heard
        if isinstance(one, WorkerEvent) and isinstance(one.event, Started) and one.trial_uid == "a"
    )
    worker = psutil.Process(pid)
    actor = next(one for one in worker.parents() if "ray::" in one.name())
    actor.kill()
    heard += poll_until(backend, lambda more: len(exits([*heard, *more])) == 2)
    ends = exits(heard)
    assert ends["a"].startswith("its Ray actor (")
    assert ends["b"] == "exit code 0"
    _, alive = psutil.wait_procs([worker], timeout=120)
    assert not alive
    until_ready(backend, len(SLOTS))
    backend.start(make_job(tmp_path, "a", attempt=2), SLOTS[0])
    heard = poll_until(backend, lambda heard: any(isinstance(one, WorkerExit) for one in heard))
    assert heard[-1] == WorkerExit("a", 2, "exit code 0")


@pytest.mark.usefixtures("joined")
def test_a_cluster_without_room_is_a_backend_error(tmp_path: Path) -> None:
    backend = make_backend(tmp_path, (Slot("1", GPU, 1),), room_seconds=1)
    try:
        with pytest.raises(BackendError, match=r"a slot of 1 CPU and 0.5 GPU for 1 seconds"):
            poll_until(backend, lambda _: False)
    finally:
        backend.close()


@pytest.mark.usefixtures("joined")
def test_a_model_that_cannot_be_read_is_a_backend_error(tmp_path: Path) -> None:
    backend = make_backend(tmp_path, SLOTS[:1], trainer="finetune", model=str(tmp_path / "none"))
    try:
        with pytest.raises(
            BackendError, match=r"cannot run trials: MODEL=.*there is no such folder"
        ):
            poll_until(backend, lambda _: False)
    finally:
        backend.close()


def test_what_makes_a_node_useless_is_said(tmp_path: Path) -> None:
    plan = make_plan("script", "none", tmp_path / "forkserver.log")
    fine = NodeInfo("node7", "cpu", shares_runs=True, shares_cwd=True, has_model=True)
    assert list(node_problems(plan, fine)) == []
    (told,) = node_problems(plan, NodeInfo("node7", "", True, True, True, ""))
    assert "NVIDIA's driver finds none" in told
    (told,) = node_problems(
        plan, NodeInfo("node7", "cpu", True, True, True, "torch 1.0 instead of 2.0")
    )
    assert told.endswith("torch 1.0 instead of 2.0.")
    (told,) = node_problems(plan, NodeInfo("node7", "cpu", True, False, True))
    assert str(tmp_path) in told
