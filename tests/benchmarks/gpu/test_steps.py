"""The steps' verdicts, and what only a card does, with a card that is this machine's memory."""

import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from benchmarks.gpu.card import Card
from benchmarks.gpu.models import TOPICS, write_model, write_texts
from benchmarks.gpu.records import Notes
from benchmarks.gpu.space import ON_CPU, Space
from benchmarks.gpu.steps import bits, context, families, kill, memory, together
from trytable.trainers.finetune.memory import CONTEXT_BYTES
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Finding,
    Finished,
    Started,
    Step,
)


@dataclass(frozen=True)
class MemoryOfWorkers(Card):
    """A card whose memory is that of this process's descendants."""

    def used_bytes(self) -> int:
        total = 0
        for process in psutil.Process().children(recursive=True):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue  # it has ended
        return total

    def free_bytes(self) -> int:
        return memory.ROOM_ALONE + 2**30

    def pids(self) -> set[int]:
        return {os.getpid()}

    def busy_percent(self) -> float:
        return 50.0


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """Models and texts in little, on a card that is none."""
    folder = tmp_path_factory.mktemp("space")
    made = Space(folder, MemoryOfWorkers("cpu", torch_device="cpu"), ON_CPU)
    write_texts(made.texts, ON_CPU)
    write_model(made.model("bert"), "bert", ON_CPU)
    return made


def notes_of(space: Space, name: str) -> Notes:
    return Notes(space.folder / "notes" / f"{name}.json")


def start(**values: Any) -> Started:
    return Started(
        **{
            "attempt": 1,
            "effective": {"batch_size": 256, "lr.peak.backbone": 1e-3},
            "parameters": 1,
            "trainable_parameters": 1,
            "data_hash": "",
            "code_hash": "",
            "device": "GPU-1",
            "threads": 1,
            "precision": "bf16",
            "steps_per_epoch": 2,
            "steps_total": 2,
            **values,
        }
    )


def finding(kind: str) -> Finding:
    return Finding(attempt=1, kind=kind, severity="warning", message="", evidence={})


def test_the_texts_can_be_learnt_and_fit(space: Space) -> None:
    rows = [line.split(" ||| ") for line in (space.texts / "train.txt").read_text().splitlines()]
    assert len(rows) == ON_CPU.train
    assert {label for label, _ in rows} == set(TOPICS)
    assert max(len(text.split()) for _, text in rows) <= ON_CPU.tokens - 2
    hits = sum(any(word in TOPICS[label].split() for word in text.split()) for label, text in rows)
    assert hits / len(rows) > 0.8


def test_a_start_on_a_card_has_its_uuid_bf16_and_the_rate() -> None:
    assert families.start_problems(start(), "GPU-1", 1e-3) == []
    wrongs: list[dict[str, Any]] = [
        {"device": "GPU-2"},
        {"precision": "fp32"},
        {"effective": {}},
    ]
    for wrong in wrongs:
        assert len(families.start_problems(start(**wrong), "GPU-1", 1e-3)) == 1
    assert len(families.start_problems(start(), "GPU-1", 1e-4)) == 1


def test_a_lack_of_memory_must_be_seen_and_keep_the_batch() -> None:
    halved = finding("oom_retry")
    steps = [Step(attempt=1, step=n, epoch=1) for n in (1, 2)]
    assert memory.alone_problems([start(), halved, *steps], 256, "completed") == []
    assert memory.alone_problems([start(), *steps], 256, "completed") == [
        "memory did not run out, so nothing was shown"
    ]
    assert memory.alone_problems([start(), halved, *steps], 128, "completed")
    assert memory.alone_problems([start(), halved, steps[0]], 256, "completed")
    assert memory.alone_problems([start(), halved, *steps], 256, "failed")


def test_shared_memory_lowers_the_packing_and_nothing_else() -> None:
    said = "Try 2 ran out of GPU memory while 2 trials shared the GPU. From now on each such"
    good = {"printed": said, "all_completed": True, "finding_kinds": []}
    trials = [SimpleNamespace(failures=0, status="completed")]
    assert memory.shared_problems(SimpleNamespace(**good, trials=trials)) == []  # type: ignore[arg-type] # all it reads
    for wrong in ({"printed": ""}, {"all_completed": False}, {"finding_kinds": ["oom_retry"]}):
        study = SimpleNamespace(**{**good, "trials": trials, **wrong})
        assert len(memory.shared_problems(study)) == 1  # type: ignore[arg-type] # see above
    failed = SimpleNamespace(**good, trials=[SimpleNamespace(failures=1, status="completed")])
    assert len(memory.shared_problems(failed)) == 1  # type: ignore[arg-type] # see above


def told(loss: float, predictions: tuple[int, ...] = (0, 1)) -> list[AnyEvent]:
    return [
        Step(attempt=1, step=1, epoch=1, loss=0.5),
        Step(attempt=1, step=2, epoch=1, loss=loss),
        Epoch(attempt=1, epoch=1, step=2),
        Finished(
            attempt=1,
            best_epoch=1,
            best_value=0.5,
            best_dev_accuracy=0.5,
            test_accuracy=None,
            dev_predictions=predictions,
            test_predictions=(),
        ),
    ]


def test_one_other_bit_or_prediction_is_a_difference() -> None:
    assert bits.differences(told(0.25), told(0.25)) == []
    (problem,) = bits.differences(told(0.25), told(0.25 + 2**-50))
    assert problem.startswith("step 2 differs")
    assert len(bits.differences(told(0.25), told(0.25, (1, 1)))) == 1
    assert bits.differences(told(0.25), [])


@pytest.mark.slow
def test_without_a_lack_of_memory_the_step_says_so(space: Space) -> None:
    """All of the step runs: the ballast, the sweep and the reading of its events."""
    notes = notes_of(space, "alone")
    small = memory.BATCH_ALONE
    memory.BATCH_ALONE = ON_CPU.batch
    try:
        memory.alone(space, notes)
    finally:
        memory.BATCH_ALONE = small
    assert notes.problems == ["memory did not run out, so nothing was shown"]
    assert notes.figures["micro-batches"] == []
    assert psutil.Process().children() == []


@pytest.mark.slow
def test_a_context_is_what_is_used_and_not_reserved(space: Space) -> None:
    notes = notes_of(space, "context")
    used = iter([2**30, 2**30 + CONTEXT_BYTES + 2**20])
    card = SimpleNamespace(uuid="cpu", used_bytes=lambda: next(used))
    context.run(Space(space.folder, card, ON_CPU), notes)  # type: ignore[arg-type] # all it reads
    assert notes.figures["context MiB"] == CONTEXT_BYTES / 2**20 + 1
    assert "a context takes more than Trytable assumes" in notes.problems
    assert notes.figures["ms a step"] > 0


@pytest.mark.slow
def test_a_killed_workers_memory_is_seen_to_be_free(space: Space) -> None:
    notes = notes_of(space, "kill")
    kill.run(space, notes)
    assert notes.figures["held GiB"] > 0.05
    assert notes.figures["reported"] == "killed by SIGKILL"
    assert [problem for problem in notes.problems if "was not free" not in problem] == []


def test_without_mps_the_step_names_what_lacks(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    notes = notes_of(space, "together-mps")
    together.run_with_mps(space, notes)
    assert notes.not_run == ["MPS: nvidia-cuda-mps-control is not installed"]
    assert not notes.problems
