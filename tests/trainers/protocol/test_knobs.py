"""The page of all knobs, and the effects of those that have no page of tests of their own."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainers.small import Recorder, job_for
from trytable.trainers.finetune import trainer
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.protocol.knobs_docs import PATH, table
from trytable.trainers.protocol.messages import Checkpoint, Epoch, FinetuneSettings, Started, Step

STEPS = 9
PROPERTIES: dict[str, Any] = FinetuneSettings.model_json_schema()["properties"]


def ran(folder: Path, loaded: LoadedModel, **knobs: Any) -> Recorder:
    job, settings = job_for(folder, loaded.folder, **knobs)
    line = Recorder()
    trainer.train(job, settings, line, loaded)
    return line


def test_the_page_is_that_of_the_schema() -> None:
    assert PATH.read_text() == table(), (
        "python -m trytable.trainers.protocol.knobs_docs writes it anew"
    )


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_knob_says_why_and_names_a_test_that_uses_it(name: str) -> None:
    schema = PROPERTIES[name]
    assert schema["description"]
    assert schema["reason"]
    assert schema["tests"]
    for one in schema["tests"]:
        file, _, test = one.partition("::")
        source = (Path(__file__).parents[1] / file).read_text()
        tests = {one.name for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)}
        assert test in tests
        assert name in source, f"{file} never names {name}"


def test_a_trial_has_the_epochs_asked_for(tmp_path: Path, bert: LoadedModel) -> None:
    line = ran(tmp_path, bert, epochs=3)
    assert [epoch.epoch for epoch in line.said(Epoch)] == [1, 2, 3]
    assert line.said(Started)[0].steps_total == 3 * STEPS


def test_gradients_are_scaled_down_to_their_largest_norm(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = []
    step = torch.optim.AdamW.step

    def look(self: torch.optim.AdamW, *given: Any) -> Any:
        parameters = [p for group in self.param_groups for p in group["params"]]
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]).item())
        return step(self, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", look)
    line = ran(tmp_path, bert, epochs=1, max_gradient_norm=0.05)
    assert norms == pytest.approx([0.05] * STEPS, rel=1e-4)
    assert min(one.gradient_norm for one in line.said(Step)) > 0.05  # as it was before


def test_the_probe_has_the_size_asked_for(tmp_path: Path, bert: LoadedModel) -> None:
    job, settings = job_for(tmp_path, bert.folder, probe_size=13)
    assert len(trainer.TrainingRun(job, settings, Recorder(), bert).probe) == 13
    job, settings = job_for(tmp_path, bert.folder, probe_size=1000)
    assert len(trainer.TrainingRun(job, settings, Recorder(), bert).probe) == 70


def test_every_so_many_steps_are_told(tmp_path: Path, bert: LoadedModel) -> None:
    line = ran(tmp_path, bert, epochs=2, log_every_steps=4)
    assert [step.step for step in line.said(Step)] == [1, 4, 8, 12, 16]


def test_checkpoints_wait_for_their_time(tmp_path: Path, bert: LoadedModel) -> None:
    often = ran(tmp_path / "often", bert, epochs=3, checkpoint_seconds=0)
    assert [one.epoch for one in often.said(Checkpoint)] == [2, 3, 4]
    never = ran(tmp_path / "never", bert, epochs=3, checkpoint_seconds=1000)
    assert never.said(Checkpoint) == []


def test_adapters_have_the_dropout_asked_for(bert: LoadedModel) -> None:
    settings = FinetuneSettings(lora_rank=2, lora_dropout=0.35, dropout=0.1, dropout_scope="all")
    model = build_classifier(bert, settings, 2, seed=1)
    found = {
        module.p
        for path, module in model.named_modules()
        if isinstance(module, nn.Dropout) and "lora_dropout" in path
    }
    assert found == {0.35}


def test_texts_are_cut_to_the_length_asked_for(tmp_path: Path, bert: LoadedModel) -> None:
    job, settings = job_for(tmp_path, bert.folder, max_length=8, epochs=1)
    run = trainer.TrainingRun(job, settings, Recorder(), bert)
    lengths = []
    run.model.register_forward_pre_hook(
        lambda _, given: lengths.append(given[0]["input_ids"].shape[1])
    )
    run.execute()
    assert max(lengths) == 8  # the longest text has 9 tokens
