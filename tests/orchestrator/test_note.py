"""The study's note is kept up to date, and a person's own is never written over."""

import optuna
import optuna_dashboard

from orchestrator.note import save


def test_our_note_is_replaced_and_a_persons_is_kept() -> None:
    study = optuna.create_study()
    assert save(study, "ours, first")
    assert save(study, "ours, second")
    assert save(study, "ours, second")
    assert optuna_dashboard.get_note(study) == "ours, second"
    optuna_dashboard.save_note(study, "a person's words")
    assert not save(study, "ours, third")
    assert optuna_dashboard.get_note(study) == "a person's words"
    optuna_dashboard.save_note(study, "")
    assert save(study, "ours, fourth")
    assert optuna_dashboard.get_note(study) == "ours, fourth"
