"""What is read back from live objects, and what happens where that is not what was asked."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import CONFIGS, Recorder, job_for, save_model
from trytable.trainers.finetune import trainer
from trytable.trainers.finetune.attest import find_mismatches
from trytable.trainers.finetune.optimizer import make_optimizer
from trytable.trainers.finetune.schedule import Schedule
from trytable.trainers.models import classifier
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.protocol.messages import Finding, Finished, Started, Step


def readings(folder: Path, loaded: LoadedModel, **knobs: Any) -> dict[str, Any]:
    job, settings = job_for(folder, loaded.folder, epochs=1, **knobs)
    line = Recorder()
    trainer.train(job, settings, line, loaded)
    effective: dict[str, Any] = line.said(Started)[0].effective
    return effective


def test_the_readings_are_those_of_the_live_objects(tmp_path: Path, bert: LoadedModel) -> None:
    effective = readings(
        tmp_path,
        bert,
        lr=1e-5,
        head_lr=1e-2,
        weight_decay=0.3,
        dropout=0.25,
        freeze="half",
        warmup=4,
        warmup_unit="steps",
        micro_batch_size=3,
        class_weights=[2.0, 0.5],
        label_smoothing=0.1,
    )
    expected = {
        "lr.first.backbone": 0.25e-5,
        "lr.peak.backbone": 1e-5,
        "lr.last.backbone": 1e-5 / 5,
        "lr.peak.head": 1e-2,
        "lr.without": 0,
        "weight_decay.matrices": 0.3,
        "weight_decay.vectors": 0.0,
        "dropout.head": 0.25,
        "dropout.backbone_max": 0.1,
        "freeze.embeddings": True,
        "freeze.layers": 1,
        "trainable.embeddings": 0,
        "trainable.layer.0": 0,
        "trainable.head": 34,
        "head.shape": "16-2",
        "batch_size": 8,
        "batch_size.micro": 3,
        "batch_size.rest": 6,
        "epochs": 1,
        "steps": 9,
        "warmup.steps": 4,
        "class_weights.min": 0.5,
        "class_weights.max": 2.0,
        "label_smoothing": pytest.approx(0.1),
        "focal_gamma": 0.0,
        "precision": "fp32",
        "seed": 7,
    }
    assert {name: effective[name] for name in expected} == {
        name: pytest.approx(value) if isinstance(value, float) else value
        for name, value in expected.items()
    }


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_no_family_mismatches_what_was_asked(tmp_path: Path, kind: str) -> None:
    loaded = load_model(str(save_model(tmp_path / kind, kind)))
    cases: list[dict[str, Any]] = [
        {"freeze": "full", "dropout_scope": "all", "dropout": 0.2},
        {"freeze": 1, "layer_lr_decay": 0.9, "schedule": "cosine_restarts"},
        {"dropout": 0.0, "dropout_scope": "all", "schedule": "step", "warmup": 0.0},
        {"lora_rank": 2, "lora_alpha": 3, "lora_dropout": 0.3, "freeze": 1},
        {"head": "mlp", "head_widths": 4, "head_batch_norm": False, "freeze": "*.weight"},
    ]
    for number, knobs in enumerate(cases):
        job, settings = job_for(tmp_path / str(number), loaded.folder, epochs=1, **knobs)
        line = Recorder()
        trainer.train(job, settings, line, loaded)
        assert line.said(Finding) == []
        assert line.said(Finished)


def test_texts_that_nobody_changes_are_a_mismatch(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "make_augmenter", lambda *_: None)
    job, settings = job_for(tmp_path, bert.folder, augment_swap=0.2)
    with pytest.raises(trainer.Mismatch, match=r"augment_swap: requested 0.2, effective 0.0"):
        trainer.train(job, settings, Recorder(), bert)


def test_weights_that_thaw_unasked_are_a_mismatch(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = classifier.Classifier.begin_epoch

    def forgetful(self: classifier.Classifier, epoch: int) -> None:
        begin(self, epoch)
        self.backbone.get_input_embeddings().requires_grad_(True)

    monkeypatch.setattr(classifier.Classifier, "begin_epoch", forgetful)
    job, settings = job_for(tmp_path, bert.folder, freeze="*")
    with pytest.raises(trainer.Mismatch, match=r"freeze.parameters: requested \d+, effective \d+"):
        trainer.train(job, settings, Recorder(), bert)


def hard_coded(_: Schedule, step: int) -> float:
    return 0.05 if step else 0.01


def test_a_schedule_that_hard_codes_its_rates_fails_before_a_step(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Schedule, "share", hard_coded)
    job, settings = job_for(tmp_path, bert.folder, lr=1e-3)
    line = Recorder()
    with pytest.raises(
        trainer.Mismatch, match=r"lr.peak.backbone: requested 0.001, effective 5e-05"
    ):
        trainer.train(job, settings, line, bert)
    assert not line.said(Step)
    (finding,) = line.said(Finding)
    assert (finding.kind, finding.severity) == ("mismatch", "error")
    assert finding.evidence["lr.peak.backbone.requested"] == 1e-3
    assert finding.evidence["lr.peak.backbone.effective"] == pytest.approx(5e-5)


def test_a_dropout_that_never_arrived_fails_before_a_step(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(torch.nn.Dropout):
        def __init__(self, p: float = 0.5) -> None:  # noqa: ARG002 - deaf to it
            super().__init__(0.1)

    monkeypatch.setattr(torch.nn, "Dropout", Deaf)
    monkeypatch.setattr(classifier, "_check_dropout", lambda *_: None)
    job, settings = job_for(tmp_path, bert.folder, dropout=0.4)
    line = Recorder()
    with pytest.raises(trainer.Mismatch, match=r"dropout.head: requested 0.4, effective 0.1"):
        trainer.train(job, settings, line, bert)
    assert not line.said(Step)


def test_a_mismatch_that_is_allowed_is_said_and_trained_with(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Schedule, "share", hard_coded)
    job, settings = job_for(tmp_path, bert.folder, allow_mismatch=True)
    line = Recorder()
    trainer.train(job, settings, line, bert)
    assert [(finding.kind, finding.severity) for finding in line.said(Finding)] == [
        ("mismatch", "warning")
    ]
    assert line.said(Finished)


def test_a_weight_that_no_group_holds_is_found(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(*args: Any, **kwargs: Any) -> torch.optim.AdamW:
        optimizer = make_optimizer(*args, **kwargs)
        optimizer.param_groups[0]["params"] = optimizer.param_groups[0]["params"][1:]
        return optimizer

    monkeypatch.setattr(trainer, "make_optimizer", forgetful)
    job, settings = job_for(tmp_path, bert.folder)
    with pytest.raises(trainer.Mismatch, match=r"lr.without: requested 0, effective 224"):
        trainer.train(job, settings, Recorder(), bert)


_VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)


@given(st.dictionaries(st.text(), _VALUES))
def test_what_was_found_as_asked_is_no_mismatch(requested: dict[str, Any]) -> None:
    assert find_mismatches(requested, requested) == {}


@given(st.dictionaries(st.text(), _VALUES, min_size=1))
def test_what_was_not_found_is_a_mismatch(requested: dict[str, Any]) -> None:
    absent = {
        name for name, value in requested.items() if value in (None, 0) or name.startswith("lr.")
    }
    assert find_mismatches(requested, {}).keys() == requested.keys() - absent
