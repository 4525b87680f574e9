"""Values that are none, come twice or in the wrong order, through a real ledger and study."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.orchestrator.playing import play, sweep_of
from trytable.orchestrator.backends.fake import Script, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.rows import StudyLedger
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import (
    AnyEvent,
    Epoch,
    Failed,
    Finished,
    Job,
    SimulatedSettings,
)

SWEEP = """
trainer: scripted
attempts: 1
baseline: {value: 0.5, epochs: 3}
parameters:
  value: [0.5, 0.4]
"""
TOLD = {1: 0.25, 2: 0.375, 3: 0.4375}
"""What the first trial says after its epochs, to begin with."""


def changed(change: Any) -> Script:
    """The first trial's epochs as `change` makes them; the second's are left alone."""

    def script(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
        assert isinstance(job.settings, SimulatedSettings)
        words = [
            one
            for one in simulated.events(job, job.settings)
            if not isinstance(one, simulated.Crash)
        ]
        for said in change(words) if job.number == 0 else words:
            yield 0.1, said

    return script


def ended(tmp_path: Path, change: Any) -> tuple[optuna.trial.FrozenTrial, StudyLedger]:
    """The first trial, and the ledger, after the sweep; what must hold after all faults holds."""
    folders = Folders(tmp_path / "runs", "quality")
    play(sweep_of(tmp_path, SWEEP), folders, changed(change))
    (found,) = check_studies(folders)
    assert found.problems == ()
    study = optuna.load_study(study_name="quality", storage=folders.url)
    assert study.best_value < math.inf
    ledger = Ledger(folders.url)
    return study.trials[0], ledger.read(ledger.studies()[0].uid)


def of_epoch(words: list[AnyEvent], number: int) -> Epoch:
    return next(one for one in words if isinstance(one, Epoch) and one.epoch == number)


def told(ledger: StudyLedger) -> dict[int, float | None]:
    uid = ledger.trials[0].uid
    return {one.epoch: one.value for one in ledger.epochs if one.trial_uid == uid}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_none_is_missing_and_never_the_best(
    tmp_path: Path, value: float | None
) -> None:
    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        for one in words:
            bad = isinstance(one, Epoch) and one.epoch == 2
            yield one.model_copy(update={"value": value}) if bad else one

    trial, ledger = ended(tmp_path, change)
    assert trial.intermediate_values == {1: TOLD[1], 3: TOLD[3]}
    assert (trial.state.name, trial.value) == ("COMPLETE", TOLD[3])
    assert told(ledger) == {**TOLD, 2: None}


@pytest.mark.parametrize("kind", ["non_finite", "no_metric"])
def test_a_trial_without_a_value_fails_and_has_none(tmp_path: Path, kind: Any) -> None:
    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        yield words[0]
        yield Failed(attempt=1, kind=kind, message="the loss is nan")

    trial, ledger = ended(tmp_path, change)
    assert (trial.state.name, trial.value, trial.intermediate_values) == ("FAIL", None, {})
    assert ledger.trials[0].reason.startswith(kind)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_result_that_is_no_number_is_a_failure(tmp_path: Path, value: float) -> None:
    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        for one in words:
            bad = isinstance(one, Finished)
            yield one.model_copy(update={"best_value": value}) if bad else one

    trial, ledger = ended(tmp_path, change)
    assert (trial.state.name, trial.value) == ("FAIL", None)
    assert ledger.trials[0].reason == f"non_finite: the result is {value}"
    assert ledger.trials[0].best_value is None


def test_the_same_epoch_twice_is_once(tmp_path: Path) -> None:
    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        for one in words:
            yield one
            if isinstance(one, Epoch):
                yield one.model_copy(update={"at": one.at + 1})

    trial, ledger = ended(tmp_path, change)
    assert trial.intermediate_values == told(ledger) == TOLD
    assert ledger.findings == ()


def test_the_same_epoch_twice_with_another_value_counts_as_told_first(tmp_path: Path) -> None:
    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        for one in words:
            yield one
            if isinstance(one, Epoch) and one.epoch == 2:
                yield one.model_copy(update={"value": 0.9})

    trial, ledger = ended(tmp_path, change)
    assert trial.intermediate_values == told(ledger) == TOLD
    (finding,) = ledger.findings
    assert finding.kind == "repeated_epoch"
    assert "epoch 2 was reported twice with different values (0.375, then 0.9)" in finding.message


def test_an_epoch_that_comes_late_is_kept_but_not_reported(tmp_path: Path) -> None:
    """The pruner has judged the later one already."""

    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        late = of_epoch(words, 1)
        for one in words:
            if one is not late:
                yield one
            if one is of_epoch(words, 2):
                yield late

    trial, ledger = ended(tmp_path, change)
    assert trial.intermediate_values == {2: TOLD[2], 3: TOLD[3]}
    assert told(ledger) == TOLD


def test_words_after_the_result_change_nothing(tmp_path: Path) -> None:
    def change(words: list[AnyEvent]) -> Iterator[AnyEvent]:
        yield from words
        yield next(one for one in words if isinstance(one, Finished)).model_copy(
            update={"best_value": TOLD[3]}
        )
        yield of_epoch(words, 1)

    trial, _ = ended(tmp_path, change)
    assert (trial.state.name, trial.value) == ("COMPLETE", TOLD[3])
