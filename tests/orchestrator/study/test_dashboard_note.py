"""The study's note is kept up to date, and a person's own is never written over."""

from itertools import count
from pathlib import Path

import optuna
import optuna_dashboard
import pytest

from tests.orchestrator.playing import play, sweep_of
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.dashboard_note import DashboardNoteWriter, save_note


def test_our_note_is_replaced_and_a_persons_is_kept() -> None:
    study = optuna.create_study()
    assert save_note(study, "ours, first")
    assert save_note(study, "ours, second")
    assert save_note(study, "ours, second")
    assert optuna_dashboard.get_note(study) == "ours, second"
    optuna_dashboard.save_note(study, "a person's words")
    assert not save_note(study, "ours, third")
    assert optuna_dashboard.get_note(study) == "a person's words"
    optuna_dashboard.save_note(study, "")
    assert save_note(study, "ours, fourth")
    assert optuna_dashboard.get_note(study) == "ours, fourth"


@pytest.mark.parametrize(("cost_seconds", "again"), [(0.5, True), (1.5, False)])
def test_slots_do_not_wait_twice_for_a_note_that_took_long(
    tmp_path: Path, cost_seconds: float, again: bool
) -> None:
    """Each look at this clock takes as long as a note costs."""
    folders = Folders(tmp_path / "runs", "quality")
    play(sweep_of(tmp_path, "trainer: scripted\nparameters: {value: [0.1, 0.5]}\n"), folders)
    study = optuna.load_study(study_name="quality", storage=folders.url)
    clock = count(0.0, cost_seconds)
    keeper = DashboardNoteWriter(study, folders.url, now=lambda: next(clock))
    keeper.write()
    optuna_dashboard.save_note(study, "")
    for _ in range(200):
        keeper.refresh()
    assert bool(optuna_dashboard.get_note(study)) == again
    keeper.write()
    assert optuna_dashboard.get_note(study)  # the sweep's last
