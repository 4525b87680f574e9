"""The gate: trials that cannot come to anything end early, with the reason in their row."""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.orchestrator.running import run, url, write_sweep
from tests.trainers.small import save_data, save_model
from trytable.orchestrator.backends.base import Backend, Slot, WorkerEvent, WorkerExit
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.early_stopping import EarlyStopping
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.records import EpochMetrics
from trytable.results.analysis.diagnosis.api import diagnose
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.trial import Task
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import EpochRow, StepRow
from trytable.sweeps.config.loader import read_sweep
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Job,
    SimulatedSettings,
    Started,
    Step,
)

FOUR = Task(classes=4)
STUCK = math.log(4)


def started(attempt: int = 1, resumed_from_step: int = 0) -> WorkerEvent:
    return WorkerEvent(
        "a",
        attempt,
        Started(
            attempt=attempt, effective={}, parameters=1, trainable_parameters=1, data_hash="",
            code_hash="", device="cpu", threads=1, precision="fp32", steps_per_epoch=100,
            steps_total=1000, resumed_from_step=resumed_from_step,
        ),
    )  # fmt: skip


def step(number: int, loss: float, attempt: int = 1) -> WorkerEvent:
    said = Step(
        attempt=attempt, step=number, epoch=1, loss=loss, lr=1e-4, gradient_norm=1.0, at=0.0
    )
    return WorkerEvent("a", attempt, said)


def first_advice(keeper: EarlyStopping, messages: Sequence[WorkerEvent]) -> tuple[int, str] | None:
    """Step and reason of the first advice."""
    for message in messages:
        advice = keeper.check(message)
        if advice is not None:
            assert isinstance(message.event, Step)
            return message.event.step, advice.reason
    return None


def test_a_flat_loss_is_stopped_at_the_end_of_the_window_and_not_before() -> None:
    messages = [started(), *(step(10 * i, STUCK) for i in range(1, 60))]
    found = first_advice(EarlyStopping(FOUR, Thresholds()), messages)
    assert found == (
        300,
        "no_learning: from step 1 to 300 the mean loss is 1.386, within 5% of ln 4 = 1.386",
    )
    longer = Thresholds(window_steps=500)
    assert first_advice(EarlyStopping(FOUR, longer), messages) is not None
    assert first_advice(EarlyStopping(FOUR, longer), messages[:50]) is None
    assert first_advice(EarlyStopping(FOUR, Thresholds(stopping_kinds=())), messages) is None
    assert first_advice(EarlyStopping(Task(), Thresholds()), messages) is None


def test_accuracy_above_chance_keeps_a_trial_going() -> None:
    keeper = EarlyStopping(FOUR, Thresholds())
    learnt = Epoch(attempt=1, epoch=1, step=100, **vars(EpochMetrics(dev_accuracy=0.4)))
    steps = [step(10 * i, STUCK) for i in range(1, 60)]
    messages = [started(), *steps[:10], WorkerEvent("a", 1, learnt), *steps[10:]]
    assert first_advice(keeper, messages) is None


def test_infinity_stops_at_once_and_divergence_past_the_window_where_asked() -> None:
    rising = [started(), *(step(10 * i, 1.4 + 0.1 * i) for i in range(1, 60))]
    assert first_advice(EarlyStopping(FOUR, Thresholds()), rising) is None
    found = first_advice(EarlyStopping(FOUR, Thresholds(stopping_kinds=("divergence",))), rising)
    assert found is not None
    assert found[0] == 300
    assert found[1].startswith("divergence: the loss rose from 1.6")
    broken = [started(), step(10, 1.4), step(20, math.inf)]
    found = first_advice(EarlyStopping(FOUR, Thresholds(stopping_kinds=("non_finite",))), broken)
    assert found == (20, "non_finite: the loss is not finite at step 20")


def test_a_trial_that_goes_on_is_judged_by_all_that_it_has_said() -> None:
    """250 steps of an earlier run and 50 of this one are a window; what came after is forgotten."""
    steps = [StepRow("a", 1, 10 * i, 1, STUCK, 1e-4, 1.0, None) for i in range(1, 28)]
    epochs = [EpochRow("a", 1, 1, 100, train_loss=1.4, dev_accuracy=0.25)]
    messages = [started(2, resumed_from_step=250), *(step(10 * i, STUCK, 2) for i in range(26, 40))]
    found = first_advice(EarlyStopping(FOUR, Thresholds(), steps, epochs), messages)
    assert found is not None
    assert found[0] == 300
    assert "accuracy 0.250 is at chance" in found[1]
    # From the start again, the steps of the attempt that is over count for nothing.
    again = [started(2), *(step(10 * i, STUCK, 2) for i in range(1, 30))]
    assert first_advice(EarlyStopping(FOUR, Thresholds(), steps, epochs), again) is None


def test_an_attempt_that_is_over_is_not_heard() -> None:
    keeper = EarlyStopping(FOUR, Thresholds())
    keeper.check(started(2))
    assert first_advice(keeper, [step(10 * i, STUCK) for i in range(1, 60)]) is None
    assert keeper.check(WorkerExit("a", 1, "exit code 0")) is None


DIVERGING = """
trainer: scripted
baseline: {value: 0.5, epochs: 20}
parameters: {value: [0.5, 0.8]}
gate: {kinds: [divergence], window_steps: 100}
"""


def rising_where_the_value_is_low(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
    """Its loss doubles every epoch in the trial whose value is 0.5."""
    assert isinstance(job.settings, SimulatedSettings)
    for said in simulated.events(job, job.settings):
        assert not isinstance(said, simulated.Crash)
        if isinstance(said, Step) and job.settings.value < 0.6:
            yield 1.0, said.model_copy(update={"loss": 2.0**said.epoch})
        else:
            yield 1.0, said


def start_fake(_sweep: object, _folders: Folders, slots: Sequence[Slot]) -> Backend:
    return FakeBackend(slots, rising_where_the_value_is_low)


def test_a_whole_sweep_goes_on_without_the_trial_that_diverged(tmp_path: Path) -> None:
    (tmp_path / "rising.yaml").write_text(DIVERGING)
    sweep = read_sweep(tmp_path / "rising.yaml", KINDS)
    folders = Folders(tmp_path / "runs", "rising")
    console = Console(file=io.StringIO())
    run_sweep(sweep, folders, [Slot("1")], console, start_backend=start_fake)
    study = read_study(folders.url, "rising")
    assert [one.status for one in study.trials] == ["stopped", "completed"]
    stopped = study.trials[0]
    assert stopped.reason.startswith("divergence: the loss rose from 2.000 to 1024.000")
    assert stopped.epochs_run == 9
    assert "divergence" in [one.kind for one in diagnose(study)[0]]
    # The same sweep again adds nothing: a stopped point is not asked for a second time.
    run_sweep(sweep, folders, [Slot("1")], console, start_backend=start_fake)
    assert len(read_study(folders.url, "rising").trials) == 2


CANNOT_LEARN = """
description: a rate at which nothing moves
baseline: {lr: 3.0e-3, epochs: 10, batch_size: 2, schedule: constant, warmup: 0, precision: fp32}
parameters: {lr: [3.0e-3, 1.0e-9]}
"""


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    """A folder of sentences and one of a model, as the command line takes them."""
    data, model = save_data(tmp_path / "data"), save_model(tmp_path / "model")
    return {"DATA": str(data), "MODEL": str(model)}


def test_a_rate_at_which_nothing_moves_is_stopped_after_300_steps(
    tmp_path: Path, small: dict[str, Any]
) -> None:
    write_sweep(tmp_path, CANNOT_LEARN)
    code, printed = run(tmp_path, seconds=300, SLOTS="2", **small)
    assert code == 0, printed
    study = read_study(url(tmp_path), "quality")
    learnt, stuck = study.trials
    assert (learnt.status, stuck.status) == ("completed", "stopped"), printed
    assert stuck.reason.startswith("no_learning: from step 1 to 300 the mean loss is 0.69")
    assert "ln 2 = 0.693" in stuck.reason
    assert stuck.steps[-1].step in (300, 310)  # it may have said one more before it heard
    assert "no_learning" in [one.kind for one in diagnose(study)[1]]
    assert "no_learning" not in [one.kind for one in diagnose(study)[0]]
    assert "stopped: no_learning" in printed
