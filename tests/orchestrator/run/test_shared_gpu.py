"""Whole sweeps whose trials share GPUs, on simulated cards that have only so much memory."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.orchestrator.conftest import write_data
from tests.orchestrator.playing import play, sweep_of
from tests.trainers.small import save_model
from trytable.orchestrator.backends.base import Slot, WorkerMessage
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.errors import UnexpectedError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.records import EpochMetrics
from trytable.results.storage.ledger import Ledger
from trytable.sweeps.config.loader import Sweep
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Failed,
    Finding,
    FinetuneSettings,
    Finished,
    Job,
)

GIB = 2**30
CARD_GIB = 80
GOOD, BAD = "GPU-1111", "GPU-2222"
FOUR = tuple(Slot(str(i + 1), GOOD) for i in range(4))
SWEEP = """
baseline: {{epochs: 2, batch_size: 8}}
parameters:
{parameters}
max_per_gpu: 4
model: {model}
data: {{name: {data}}}
"""
SIX_LIKE_ONE = "  dropout: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]"
SMALL_FIRST = "  batch_size: [8, 16]\n  dropout: [0.1, 0.2, 0.3]"
IN_TURN = "  dropout: [0.1, 0.2, 0.3]\n  batch_size: [8, 16]"


class Cards(FakeBackend):
    """Workers on cards of 80 GiB: who starts where too little is left runs out of memory.

    Args:
        needs: the GiB that a trial takes, by its batch size.
        told: the share of it that its epochs tell.
        broken: a card on which every worker fails.
        ends_after: polls after which the orchestrator dies.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        needs: dict[int, float],
        told: float = 1.0,
        broken: str = "",
        ends_after: int | None = None,
    ) -> None:
        super().__init__(slots, self._says)
        self._needs, self._told, self._broken = needs, told, broken
        self._polls_left = ends_after
        self.crowds: list[int] = []

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        if self._polls_left is not None:
            self._polls_left -= 1
            if self._polls_left < 0:
                raise RuntimeError("the orchestrator dies")
        return super().poll(timeout_seconds)

    def _gib(self, job: Job) -> float:
        assert isinstance(job.settings, FinetuneSettings)
        return self._needs[job.settings.batch_size]

    def _says(self, job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
        there = [one.job for one in self._workers.values() if one.job.device == job.device]
        self.crowds.append(len(there))
        assert job.shared_device or len(there) == 1, "a trial is joined that counts on being alone"
        gib, attempt = self._gib(job), job.attempt
        if job.device == self._broken:
            yield 0.1, Failed(attempt=attempt, kind="error", message="an illegal memory access")
            return
        if sum(map(self._gib, there)) > CARD_GIB:
            if job.shared_device:
                yield 0.1, Failed(attempt=attempt, kind="oom", message="no", shared_device=True)
                return
            gib /= 2
            yield 0.1, Finding(attempt=attempt, kind="oom_retry", severity="warning", message="")
        for number in (1, 2):
            told = int(gib * self._told * GIB)
            yield (
                0.3,
                Epoch(
                    attempt=attempt,
                    epoch=number,
                    step=number,
                    peak_device_bytes=told,
                    device_bytes=CARD_GIB * GIB,
                    **vars(EpochMetrics(value=0.5)),
                ),
            )
        yield (
            0.1,
            Finished(
                attempt=attempt,
                best_epoch=1,
                best_value=0.5,
                best_dev_accuracy=0.5,
                test_accuracy=None,
                dev_predictions=(),
                test_predictions=(),
            ),
        )


Played = tuple[str, Cards]
MakeSweep = Callable[[str], Sweep]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> MakeSweep:
    """A sweep of the built-in trainer over these parameters, with a small model and few data."""
    folder = tmp_path_factory.mktemp("given")
    save_model(folder / "model")
    write_data(folder / "data")
    paths = {name: json.dumps(str(folder / name)) for name in ("model", "data")}

    def sweep(parameters: str) -> Sweep:
        return sweep_of(folder, SWEEP.format(parameters=parameters, **paths))

    return sweep


def run(
    sweep: Sweep, folders: Folders, cards: Callable[[Sequence[Slot]], Cards], slots: Sequence[Slot]
) -> Played:
    """Run a sweep; what was printed, and the cards."""
    made: list[Cards] = []

    def start(slots: Sequence[Slot]) -> Cards:
        made.append(cards(slots))
        return made[-1]

    printed = play(sweep, folders, slots=slots, backend=start)
    return printed, made[0]


def failures(folders: Folders) -> list[int]:
    """Failed attempts of each trial."""
    ledger = Ledger(folders.url)
    (study,) = ledger.studies()
    return [trial.failures for trial in ledger.read(study.uid).trials]


def completed(folders: Folders) -> int:
    """How many trials have completed, nothing else having come of any."""
    (found,) = check_studies(folders)
    assert found.problems == ()
    assert found.counts.keys() == {"completed"}
    return found.counts["completed"]


def test_as_many_trials_share_a_gpu_as_fit(tmp_path: Path, given: MakeSweep) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    printed, cards = run(given(SIX_LIKE_ONE), folders, lambda slots: Cards(slots, {8: 20.0}), FOUR)
    assert "4 slots on 1 GPU, as far as memory allows" in printed
    assert printed.count("Try 1: 3 such trials fit on one GPU (20.0 of 80.0 GiB each)") == 1
    assert cards.crowds[:3] == [1, 2, 3]
    assert max(cards.crowds) == 3
    assert "ran out of GPU memory" not in printed
    assert completed(folders) == 6


def test_where_memory_runs_out_fewer_share_and_no_attempt_counts(
    tmp_path: Path, given: MakeSweep
) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    printed, cards = run(
        given(SIX_LIKE_ONE), folders, lambda slots: Cards(slots, {8: 40.0}, told=0.5), FOUR
    )
    told = "Try 3 ran out of GPU memory while 3 trials shared the GPU. From now on at most 2 such"
    assert printed.count(told) == 1
    assert printed.count("ran out of GPU memory") == 1
    assert cards.crowds.count(3) == 1
    assert completed(folders) == 6
    assert failures(folders) == [0] * 6


def test_the_micro_batch_is_halved_only_by_a_trial_that_is_alone(
    tmp_path: Path, given: MakeSweep
) -> None:
    """The larger batch does not fit even so: its trials have the GPU to themselves."""
    folders = Folders(tmp_path / "runs", "quality")
    printed, cards = run(
        given(SMALL_FIRST), folders, lambda slots: Cards(slots, {8: 20.0, 16: 100.0}), FOUR
    )
    assert printed.count("ran out of GPU memory") == 1
    assert "From now on each such trial has a GPU to itself." in printed
    assert max(cards.crowds) == 3
    assert completed(folders) == 6
    ledger = Ledger(folders.url)
    findings = ledger.read(ledger.studies()[0].uid).findings
    assert [one.kind for one in findings] == ["oom_retry"] * 3
    assert failures(folders) == [0] * 6


def test_a_card_that_fails_is_set_aside_with_all_its_slots(
    tmp_path: Path, given: MakeSweep
) -> None:
    folders = Folders(tmp_path / "runs", "quality")
    slots = [Slot(str(i + 1), (GOOD, BAD)[i % 2]) for i in range(6)]
    printed, cards = run(
        given(SIX_LIKE_ONE), folders, lambda slots: Cards(slots, {8: 20.0}, broken=BAD), slots
    )
    assert "6 slots on 2 GPUs" in printed
    assert printed.count(f"GPU {BAD} is set aside") == 1
    assert max(cards.crowds) == 3
    assert completed(folders) == 6


@pytest.mark.parametrize("ends_after", [2, 3])
def test_shapes_are_known_again_after_a_crash(
    tmp_path: Path, given: MakeSweep, ends_after: int
) -> None:
    """A small trial was under way, a larger one waited for its place: each is measured alone."""
    folders = Folders(tmp_path / "runs", "quality")
    needs = {8: 20.0, 16: 30.0}
    with pytest.raises(UnexpectedError, match="the orchestrator dies"):
        run(
            given(IN_TURN),
            folders,
            lambda slots: Cards(slots, needs, ends_after=ends_after),
            FOUR,
        )
    ledger = Ledger(folders.url)
    left = ledger.read(ledger.studies()[0].uid).trials
    assert [trial.status for trial in left] == ["running", "waiting"]
    printed, cards = run(given(IN_TURN), folders, lambda slots: Cards(slots, needs), FOUR)
    assert "2 such trials fit" in printed
    assert "3 such trials fit" in printed
    assert cards.crowds[:2] == [1, 1]
    assert max(cards.crowds) > 1
    assert completed(folders) == 6
