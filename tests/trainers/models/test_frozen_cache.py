"""Frozen layers computed once: the same losses, the same weights, and only where it fits."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.small import CONFIGS, Recorder, job_for, save_model
from trytable.trainers.data.tokens import TokenSplit
from trytable.trainers.finetune import trainer
from trytable.trainers.models import frozen_cache
from trytable.trainers.models.backbone import LoadedModel, load_model, transformer_layers
from trytable.trainers.models.cached_states import StateCache
from trytable.trainers.models.classifier import build_classifier
from trytable.trainers.models.state_dict import copy_weights
from trytable.trainers.protocol.messages import (
    Epoch,
    Finding,
    FinetuneSettings,
    Finished,
    Started,
    Step,
)

STEPS = 20
LOOSE = {"modernbert": 2e-3}
"""ModernBERT's gradients agree less closely."""


def run(folder: Path, loaded: LoadedModel, **knobs: Any) -> tuple[trainer.TrainingRun, Recorder]:
    job, settings = job_for(folder, loaded.folder, **{"freeze": 2, "epochs": 3, **knobs})
    line = Recorder()
    training = trainer.TrainingRun(job, settings, line, loaded)
    training.execute()
    return training, line


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_losses_are_those_without_cached_states(tmp_path: Path, kind: str) -> None:
    loaded = load_model(str(save_model(tmp_path / kind, kind)))
    plain, without = run(tmp_path / "without", loaded, frozen_cache_gb=0)
    cached, with_states = run(tmp_path / "with", loaded)
    assert plain.splits["train"].states is None
    assert cached.splits["train"].states is not None
    close = LOOSE.get(kind, 1e-5)
    pairs = list(zip(without.said(Step), with_states.said(Step), strict=True))[:STEPS]
    assert len(pairs) == STEPS
    for plain_event, cached_event in pairs:
        assert cached_event.loss == pytest.approx(plain_event.loss, abs=close)
    for plain_event, cached_event in zip(without.said(Epoch), with_states.said(Epoch), strict=True):
        assert cached_event.dev_loss == pytest.approx(plain_event.dev_loss, abs=close)
        assert cached_event.probe_accuracy == pytest.approx(plain_event.probe_accuracy, abs=0.03)
    assert (
        without.said(Finished)[0].dev_predictions == with_states.said(Finished)[0].dev_predictions
    )
    assert copy_weights(cached.model).keys() == copy_weights(plain.model).keys()
    assert cached.model.state_dict().keys() == plain.model.state_dict().keys()
    (plain_event,), (cached_event,) = without.said(Started), with_states.said(Started)
    assert plain_event.effective == cached_event.effective


def test_the_lowest_layers_are_not_computed_again(tmp_path: Path, bert: LoadedModel) -> None:
    run(tmp_path, bert)  # fills the cache
    job, settings = job_for(tmp_path, bert.folder, freeze=2, epochs=1)
    training = trainer.TrainingRun(job, settings, Recorder(), bert)
    calls = dict.fromkeys(range(3), 0)
    for k, layer in enumerate(transformer_layers(training.model.backbone)):
        inner = layer.get_submodule("attention")
        inner.register_forward_hook(lambda *_, k=k: calls.__setitem__(k, calls[k] + 1))
    training.execute()
    assert calls[0] == calls[1] == 0
    assert calls[2] > 0


def test_trials_share_what_was_computed_once(tmp_path: Path, bert: LoadedModel) -> None:
    run(tmp_path, bert)
    (folder,) = (tmp_path / "cache").glob("*/frozen-*/")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    run(tmp_path, bert, lr=1e-2, dropout=0.5, batch_size=4)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    run(tmp_path, bert, freeze=1)
    assert len(list((tmp_path / "cache").glob("*/frozen-*/"))) == 2


@pytest.mark.parametrize(
    "knobs",
    [
        {"frozen_cache_gb": 0.0},
        {"freeze": "none"},
        {"freeze": "embed"},
        {"freeze": "embeddings.* encoder.layer.0.*"},
        {"unfreeze_layers_per_epoch": 1},
        {"lora_rank": 2},
        {"augment_delete": 0.1},
    ],
)
def test_states_that_may_change_are_never_kept(
    tmp_path: Path, bert: LoadedModel, knobs: dict[str, Any]
) -> None:
    training, line = run(tmp_path, bert, epochs=1, **knobs)
    assert training.splits["train"].states is None
    assert not list((tmp_path / "cache").glob("*/frozen-*"))
    assert line.said(Finding) == []


def test_states_that_take_too_much_room_are_computed_each_time(
    tmp_path: Path, bert: LoadedModel
) -> None:
    training, line = run(tmp_path, bert, epochs=1, frozen_cache_gb=1e-6)
    assert training.splits["train"].states is None
    (finding,) = line.said(Finding)
    assert (finding.kind, finding.severity) == ("frozen_cache", "info")
    assert "frozen_cache_gb 1e-06" in finding.message
    assert line.said(Finished)


def test_a_model_that_does_not_fit_trains_without(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_cache, "_TOLERANCES", {"fp32": -1.0})
    training, line = run(tmp_path, bert, epochs=1)
    assert training.model.replay is None
    assert [finding.kind for finding in line.said(Finding)] == ["frozen_cache"]
    plain, _ = run(tmp_path / "plain", bert, epochs=1, frozen_cache_gb=0)
    for name, tensor in copy_weights(plain.model).items():
        assert torch.equal(tensor, copy_weights(training.model)[name])


def test_a_resumed_trial_ends_with_the_same_bits(tmp_path: Path, bert: LoadedModel) -> None:
    whole, _ = run(tmp_path / "whole", bert)
    job, settings = job_for(tmp_path / "parts", bert.folder, freeze=2, epochs=3)
    trainer.train(job, settings, Recorder(stop_after=20), bert)
    parts, line = run(tmp_path / "parts", bert)
    assert line.said(Started)[0].resumed_from_step > 0
    for name, tensor in copy_weights(whole.model).items():
        assert torch.equal(tensor, copy_weights(parts.model)[name])


def test_a_stop_while_filling_leaves_nothing_half_written(
    tmp_path: Path, bert: LoadedModel
) -> None:
    job, settings = job_for(tmp_path, bert.folder, freeze=2)
    line = Recorder(stop_after=1)
    trainer.train(job, settings, line, bert)
    assert line.events == []
    assert not [p for p in (tmp_path / "cache").glob("*/*frozen-*") if p.suffix != ".lock"]


def split_of(tokens: int) -> dict[str, TokenSplit]:
    ids = np.zeros(tokens, dtype=np.int32)
    return {"dev": TokenSplit(ids, np.array([0, tokens]), np.zeros(1, dtype=np.int64), None)}


def store(tmp_path: Path, name: str, max_bytes: int = 10**6) -> StateCache:
    return StateCache(tmp_path, tmp_path / "data-1" / f"frozen-{name}", max_bytes)


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    def compute(split: TokenSplit) -> Any:
        yield 0, np.ones((len(split.ids), 4), dtype=np.float32)

    for age, name in enumerate(("a", "b", "c")):
        assert store(tmp_path, name).fetch(split_of(10), 4, compute, lambda: None)
        os.utime(tmp_path / "data-1" / f"frozen-{name}", (age, age))
    store(tmp_path, "a").fetch(split_of(10), 4, compute, lambda: None)  # used again
    assert store(tmp_path, "d", 900).fetch(split_of(10), 4, compute, lambda: None)
    remaining = {path.name for path in tmp_path.glob("data-1/frozen-*/")}
    assert remaining == {"frozen-a", "frozen-c", "frozen-d"}


def test_whoever_needs_the_same_waits_for_the_first(tmp_path: Path) -> None:
    computed, barrier = [], threading.Barrier(2)

    def compute(split: TokenSplit) -> Any:
        computed.append(1)
        yield 0, np.ones((len(split.ids), 4), dtype=np.float32)

    def fetch() -> None:
        barrier.wait()
        assert store(tmp_path, "a").fetch(split_of(10), 4, compute, lambda: None)

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed == [1]


def test_the_cut_is_the_number_of_frozen_layers() -> None:
    shares = [("none", 0), ("embed", 0), ("half", 6), ("full", 9), (5, 5)]
    for freeze, layers in shares:
        assert (
            frozen_cache.cacheable_layers(FinetuneSettings.model_validate({"freeze": freeze}), 12)
            == layers
        )


def only(sentences: int) -> Any:
    """A hook for a model that holds this many sentences at once: the allocator says no to more."""

    def hook(_: torch.nn.Module, args: tuple[dict[str, torch.Tensor]]) -> None:
        if len(args[0]["input_ids"]) > sentences:
            torch.empty(2**55, dtype=torch.uint8)

    return hook


@pytest.mark.parametrize("shared", [False, True])
def test_a_lack_of_memory_for_the_states_ends_no_trial_that_has_the_gpu_alone(
    tmp_path: Path, bert: LoadedModel, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """On a shared GPU it does, since fewer trials may share it."""

    def build_small(*arguments: Any) -> Any:
        model = build_classifier(*arguments)
        model.register_forward_pre_hook(only(8))
        return model

    monkeypatch.setattr("trytable.trainers.finetune.trainer.build_classifier", build_small)
    job, settings = job_for(tmp_path, bert.folder, freeze=2, epochs=1, batch_size=8)
    job, line = job.model_copy(update={"shared_device": shared}), Recorder()
    if shared:
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            trainer.TrainingRun(job, settings, line, bert)
        return
    training = trainer.TrainingRun(job, settings, line, bert)
    assert training.splits["train"].states is None
    training.execute()
    assert line.said(Finished)
    (finding,) = line.said(Finding)
    assert finding.kind == "frozen_cache"
    assert finding.message.endswith("computing their states in advance ran out of memory")
