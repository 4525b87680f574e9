"""What the person sees of a running sweep."""

import io
from dataclasses import replace

from rich.console import Console

from tests.orchestrator.scheduler.test_machine import epoch
from tests.results.studies import table_of
from trytable.orchestrator.backends.base import Slot, WorkerEvent
from trytable.orchestrator.commands.terminal import print_table
from trytable.orchestrator.run.display import Display, duration, render
from trytable.orchestrator.run.progress import Progress
from trytable.orchestrator.scheduler.events import EndAttempt, StartAttempt, StopWorker
from trytable.records import EpochMetrics
from trytable.results.storage.rows import TrialRow
from trytable.results.tables.types import Column, TableRow
from trytable.trainers.protocol.messages import Epoch, Started, Step

TRIAL = TrialRow("a", "s", 3, {"lr": 2e-4, "epochs": 3}, "grid", "running")


def started() -> Started:
    return Started(
        attempt=1,
        effective={},
        parameters=1,
        trainable_parameters=1,
        data_hash="",
        code_hash="",
        device="cpu",
        threads=1,
        precision="fp32",
        steps_per_epoch=10,
        steps_total=30,
    )


def watched() -> Progress:
    """A sweep of five in which Try 4 has come to epoch 2 and is being pruned."""
    progress = Progress(
        5, ("lr",), counts={"completed": 1, "failed": 1}, best=(0.81, 0, "lr 0.001")
    )
    progress.on_instruction(StartAttempt("a", 1, Slot("1")), TRIAL)
    step = Step(attempt=1, step=15, epoch=2, loss=0.5, lr=1e-4, gradient_norm=1.0)
    for event in (started(), epoch(1, 0.6), step):
        progress.on_messages([WorkerEvent("a", 1, event)])
    progress.on_instruction(StopWorker("a", "prune"), TRIAL)
    return progress


def shown(progress: Progress) -> str:
    file = io.StringIO()
    Console(file=file, width=100, force_terminal=False).print(render(progress))
    return file.getvalue()


def test_of_many_slots_a_screenful_is_shown_and_the_others_are_counted() -> None:
    progress = watched()
    for number in range(2, 41):
        trial = replace(TRIAL, uid=str(number), number=number)
        progress.on_instruction(StartAttempt(trial.uid, 1, Slot(str(number))), trial)
    file = io.StringIO()
    Console(file=file, width=100, force_terminal=False).print(render(progress, max_slots=10))
    lines = file.getvalue().splitlines()
    assert [line.split()[0] for line in lines[1:11]] == [str(slot) for slot in range(1, 11)]
    assert lines[11] == "and 30 more slots"
    assert "more slots" not in shown(progress)


def test_a_row_a_slot_and_the_counts() -> None:
    text = shown(watched())
    for part in ("0.0002", "1/3", "0.500", "0.600", "pruning", "2/5 done", "1 failed"):
        assert part in text, text
    assert "best so far: Try 1, dev accuracy 0.810 (lr 0.001)" in text


def test_epochs_saved_by_pruning_are_counted() -> None:
    progress = watched()
    progress.on_instruction(EndAttempt("a", 1, "pruned", "after epoch 1", 0), TRIAL)
    text = shown(progress)
    assert "3/5 done" in text
    assert "1 pruned" in text
    assert "2 epochs saved by pruning" in text
    assert "left" in text


def test_a_pipe_gets_plain_lines() -> None:
    file = io.StringIO()
    progress = Progress(5, ("lr",))
    with Display(progress, Console(file=file)) as display:
        display.on_instruction(StartAttempt("a", 2, Slot("1")), TRIAL)
        metrics = EpochMetrics(value=0.6, train_loss=1.0, dev_loss=1.0, dev_accuracy=0.6)
        event = Epoch(attempt=2, epoch=1, step=10, **vars(metrics))
        display.on_messages([WorkerEvent("a", 2, event)])
    assert file.getvalue().splitlines() == [
        "Try 4 started (lr 0.0002, attempt 2)",
        "Try 4 epoch 1/3: train loss 1.000, dev loss 1.000, dev accuracy 0.600",
    ]


def test_markup_in_a_value_is_text() -> None:
    file = io.StringIO()
    row = TrialRow("a", "s", 3, {"name": "[bold]x[/bold] [link=e]"}, "grid", "running")
    with Display(Progress(1, ("name",)), Console(file=file)) as display:
        display.on_instruction(StartAttempt("a", 1, Slot("1")), row)
    assert "[bold]x[/bold] [link=e]" in file.getvalue()


def test_durations() -> None:
    assert [duration(s) for s in (4.2, 65, 3605)] == ["4 s", "1 min 05 s", "1 h 00 min"]


def test_a_narrow_terminal_loses_columns_and_no_row() -> None:
    keys = ("try", "best_dev_accuracy", "last_dev_accuracy", "seconds", "state")
    kinds = ("try", "accuracy", "accuracy", "seconds", "state")
    columns = tuple(
        Column(key, key.replace("_", " "), kind)  # type: ignore[arg-type] # a kind
        for key, kind in zip(keys, kinds, strict=True)
    )
    rows = tuple(
        TableRow(i, "completed", "", 1, False, (i, 0.5, 0.4, 12.0, "completed")) for i in (1, 2)
    )
    file = io.StringIO()
    table = table_of(columns, rows)
    print_table(table, Console(file=file, width=38, force_terminal=True, color_system=None))
    lines = file.getvalue().splitlines()
    assert len([line for line in lines if "completed" in line]) == 2
    assert all(len(line) <= 38 for line in lines)
    assert "0.500" in file.getvalue()
    assert "0.400" not in file.getvalue()
