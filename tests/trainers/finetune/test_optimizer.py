"""Who gets which learning rate and which weight decay."""

from pathlib import Path

import pytest
import torch

from tests.trainers.small import CONFIGS, save_model
from trytable.trainers.finetune.optimizer import make_optimizer, set_learning_rates
from trytable.trainers.models.backbone import LoadedModel, load_model
from trytable.trainers.models.classifier import Classifier, build_classifier
from trytable.trainers.protocol.messages import FinetuneSettings


def groups_of(
    loaded: LoadedModel, **knobs: object
) -> tuple[Classifier, dict[str, dict[str, float]]]:
    """The model, and each parameter's peak rate and decay by its name."""
    settings = FinetuneSettings.model_validate({"lr": 1e-5, **knobs})
    model = build_classifier(loaded, settings, 2, seed=1)
    optimizer = make_optimizer(model, settings, fused=False)
    set_learning_rates(optimizer, 1.0)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {
        names[id(p)]: {"lr": group["lr"], "decay": group["weight_decay"]}
        for group in optimizer.param_groups
        for p in group["params"]
    }
    return model, groups


def test_weight_decay_spares_biases_and_norms(bert: LoadedModel) -> None:
    for name, group in groups_of(bert, weight_decay=0.3)[1].items():
        spared = name.endswith("bias") or "LayerNorm" in name
        assert group["decay"] == (0.0 if spared else 0.3), name


@pytest.mark.parametrize("knobs", [{"head_lr": 1e-2}, {"head_lr_multiplier": 1000.0}])
def test_the_head_has_a_rate_of_its_own(bert: LoadedModel, knobs: dict[str, float]) -> None:
    for name, group in groups_of(bert, **knobs)[1].items():
        assert group["lr"] == pytest.approx(1e-2 if name.startswith("head") else 1e-5), name


def test_lower_layers_have_lower_rates(bert: LoadedModel) -> None:
    _, groups = groups_of(bert, layer_lr_decay=0.5)
    expected = {
        "backbone.encoder.layer.2.": 1e-5,
        "backbone.encoder.layer.1.": 0.5e-5,
        "backbone.encoder.layer.0.": 0.25e-5,
        "backbone.embeddings.": 0.125e-5,
        "head.": 1e-5,
    }
    for name, group in groups.items():
        (rate,) = [rate for prefix, rate in expected.items() if name.startswith(prefix)]
        assert group["lr"] == pytest.approx(rate), name


@pytest.mark.parametrize("kind", list(CONFIGS))
@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_all_that_is_trained_is_in_one_group(tmp_path: Path, kind: str, decay: float) -> None:
    loaded = load_model(str(save_model(tmp_path / kind, kind)))
    model, groups = groups_of(loaded, layer_lr_decay=decay, freeze="embed")
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(groups) == sorted(trained)


def test_the_first_group_is_the_backbones_uppermost(bert: LoadedModel) -> None:
    settings = FinetuneSettings(lr=1e-5, head_lr=1e-2, layer_lr_decay=0.5)
    optimizer = make_optimizer(build_classifier(bert, settings, 2, seed=1), settings, fused=False)
    assert optimizer.param_groups[0]["peak_lr"] == 1e-5
    frozen = settings.model_copy(update={"freeze": 3})
    optimizer = make_optimizer(build_classifier(bert, frozen, 2, seed=1), frozen, fused=False)
    assert optimizer.param_groups[0]["peak_lr"] == 1e-2
    assert isinstance(optimizer, torch.optim.AdamW)
