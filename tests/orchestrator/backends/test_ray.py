"""The Ray backend on a cluster of this machine: what every backend promises, and its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.backends.base import Backend, BackendError, Exited, Said, Slot
from orchestrator.backends.ray_plan import make_plan
from orchestrator.cluster import cluster
from tests.orchestrator.backends.test_contract import SLOTS, BackendContract, make_job
from trainers.protocol import Job, Started


@pytest.fixture(scope="module")
def joined() -> Iterator[None]:
    """A cluster of two cores for all tests here."""
    with cluster(print):
        yield


def make_backend(
    folder: Path,
    slots: tuple[Slot, ...] = SLOTS,
    *,
    trainer: str = "scripted",
    model: str = "none",
    patience_seconds: float = 60.0,
) -> Backend:
    # Only where Ray has been started: it reads the environment when it is imported.
    from orchestrator.backends.ray import RayBackend

    plan = make_plan(trainer, model, folder / "warm.log", grace_seconds=0.5)
    return RayBackend(slots, plan, 1.0, patience_seconds)


def until_ready(backend: Backend, slots: int) -> None:
    while len(backend.free_slots()) < slots:
        assert list(backend.poll(0.5)) == []


@pytest.mark.usefixtures("joined")
class TestRay(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = make_backend(tmp_path)
        until_ready(backend, len(SLOTS))
        yield backend
        backend.close()
