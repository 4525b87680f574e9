"""What a classifier is made of: dropout, freezing and pooling, read back from live modules."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModel, MambaConfig, PreTrainedConfig

from tests.trainers.small import CONFIGS, same_tensors, save_model
from trytable.records import Refused
from trytable.trainers.models.backbone import (
    LoadedModel,
    checkpoint_activations,
    embedding_modules,
    is_checkpointing,
    load_model,
    max_input_length,
    transformer_layers,
)
from trytable.trainers.models.classifier import build_classifier, dropout_probabilities
from trytable.trainers.models.freezing import frozen_layer_count
from trytable.trainers.models.text_classifier import pool
from trytable.trainers.protocol.messages import FinetuneSettings


@pytest.fixture(scope="module", params=list(CONFIGS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(save_model(tmp_path_factory.mktemp(request.param), request.param)))


def settings(**knobs: object) -> FinetuneSettings:
    return FinetuneSettings.model_validate(knobs)


def test_dropout_on_all_reaches_every_module(loaded: LoadedModel) -> None:
    model = build_classifier(loaded, settings(dropout=0.37, dropout_scope="all"), 3, seed=1)
    probabilities = dropout_probabilities(model)
    assert len(probabilities) > 1
    assert set(probabilities) == {0.37}


def test_dropout_on_the_head_leaves_the_backbone_as_it_was(loaded: LoadedModel) -> None:
    expected = dropout_probabilities(loaded.build())
    model = build_classifier(loaded, settings(dropout=0.37, dropout_scope="head"), 3, seed=1)
    assert model.dropout.p == 0.37
    assert dropout_probabilities(model.backbone) == expected


@pytest.mark.parametrize(
    ("freeze", "layers"), [("none", None), ("embed", 0), ("half", 1), ("full", 2), (3, 3)]
)
def test_what_is_frozen_has_no_gradient_and_stays_in_evaluation(
    loaded: LoadedModel, freeze: str | int, layers: int | None
) -> None:
    model = build_classifier(loaded, settings(freeze=freeze), 3, seed=1).train()
    blocks = transformer_layers(model.backbone)
    for index, block in enumerate(blocks):
        frozen = layers is not None and index < layers
        assert all(p.requires_grad != frozen for p in block.parameters())
        assert block.training != frozen
    for module in embedding_modules(model.backbone):
        assert all(p.requires_grad == (layers is None) for p in module.parameters())
    batch = {"input_ids": torch.tensor([[2, 3, 4]]), "attention_mask": torch.ones(1, 3).long()}
    model(batch).sum().backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient <= {name for name, p in model.named_parameters() if p.requires_grad}
    assert "head.weight" in with_gradient


def test_the_embeddings_are_found(loaded: LoadedModel) -> None:
    backbone = loaded.build()
    inside = [m for part in embedding_modules(backbone) for m in part.modules()]
    assert any(m is backbone.get_input_embeddings() for m in inside)


def test_frozen_embeddings_are_frozen(loaded: LoadedModel) -> None:
    model = build_classifier(loaded, settings(freeze="embed"), 3, seed=1)
    assert not any(p.requires_grad for p in model.backbone.get_input_embeddings().parameters())


def test_types_go_only_to_a_model_that_has_them(loaded: LoadedModel) -> None:
    model = build_classifier(loaded, settings(), 3, seed=1).eval()
    ones = torch.ones(1, 3).long()
    batch = {"input_ids": torch.tensor([[2, 3, 4]]), "attention_mask": ones}
    with torch.inference_mode():
        plain, typed = model(batch), model({**batch, "token_type_ids": ones})
    assert torch.equal(plain, typed) == (loaded.config.model_type not in {"bert", "roberta"})


def test_a_model_stored_in_bf16_is_trained_in_fp32(odd: Path) -> None:
    folder = save_model(odd / "model", "llama")
    AutoModel.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    model = build_classifier(load_model(str(folder)), settings(), 3, seed=1)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_learned_positions_have_room_for_so_many_tokens(odd: Path) -> None:
    room = {
        kind: max_input_length(load_model(str(save_model(odd / kind, kind, **changes))).build())
        for kind, changes in {
            "bert": {"max_position_embeddings": 20},
            "roberta": {"max_position_embeddings": 20},
            "opt": {"max_position_embeddings": 20},
            "gpt2": {"n_positions": 20},
            "llama": {"max_position_embeddings": 20},
        }.items()
    }
    # RoBERTa keeps the places up to its padding index free; LLaMA's positions are computed.
    assert room == {"bert": 20, "roberta": 19, "opt": 20, "gpt2": 20, "llama": None}


def test_code_that_lies_beside_a_model_is_never_run(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(odd / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(odd / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(Refused, match="cannot be read"):
        load_model(str(folder))
    assert not (odd / "ran").exists()


def test_more_frozen_layers_than_there_are_is_refused(bert: LoadedModel) -> None:
    with pytest.raises(Refused, match="freeze 4: the model has 3 layers"):
        build_classifier(bert, settings(freeze=4), 3, seed=1)


def test_shares_of_layers_round_down() -> None:
    assert [frozen_layer_count("half", n) for n in (6, 7, 12)] == [3, 3, 6]
    assert [frozen_layer_count("full", n) for n in (6, 7, 12)] == [4, 5, 9]


def test_two_builds_share_no_weights(bert: LoadedModel) -> None:
    first, second = (build_classifier(bert, settings(), 3, seed=1) for _ in range(2))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert any(parameter.abs().sum() > 0 for parameter in second.backbone.parameters())


def test_the_head_depends_on_the_seed_alone(bert: LoadedModel) -> None:
    heads = [
        build_classifier(bert, settings(dropout=p), 3, seed=s).head.state_dict()
        for p, s in ((0, 1), (0.5, 1), (0, 2))
    ]
    assert same_tensors(heads[0], heads[1])
    assert not same_tensors(heads[0], heads[2])


@given(st.integers(1, 6), st.integers(0, 4), st.booleans())
def test_padding_changes_no_pooling(real: int, padding: int, on_the_left: bool) -> None:
    states = torch.arange(real, dtype=torch.float).view(1, real, 1) + 1
    rubbish = torch.full((1, padding, 1), 99.0)
    ones, zeros = torch.ones(1, real), torch.zeros(1, padding)
    parts = (
        ([rubbish, states], [zeros, ones]) if on_the_left else ([states, rubbish], [ones, zeros])
    )
    padded, mask = torch.cat(parts[0], 1), torch.cat(parts[1], 1).long()
    assert pool(padded, mask, "cls").item() == 1
    assert pool(padded, mask, "last").item() == real
    assert pool(padded, mask, "mean").item() == pytest.approx((real + 1) / 2)


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_the_logits_are_those_of_the_pooled_states(loaded: LoadedModel, pooling: str) -> None:
    model = build_classifier(loaded, settings(pooling=pooling), 3, seed=1).eval()
    ids, mask = torch.tensor([[2, 3, 4, 0], [5, 6, 7, 8]]), torch.ones(2, 4).long()
    mask[0, 3] = 0
    with torch.inference_mode():
        states = model.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = model({"input_ids": ids, "attention_mask": mask})
    positions = {"cls": [0], "mean": [0, 1, 2], "last": [2]}[pooling]
    assert torch.allclose(logits[0], model.head(states[0, positions].mean(0)), atol=1e-6)
    assert model.pooling == pooling


def test_no_decoder_keeps_keys_and_values(loaded: LoadedModel) -> None:
    model = build_classifier(loaded, settings(), 3, seed=1)
    ids = torch.tensor([[2, 3, 4]])
    out = model.backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert getattr(out, "past_key_values", None) is None


def test_checkpointed_gradients_are_the_same_and_computed_twice(loaded: LoadedModel) -> None:
    batch = {"input_ids": torch.tensor([[2, 3, 4]]), "attention_mask": torch.ones(1, 3).long()}
    gradients, calls = [], []
    for switched in (False, True):
        knobs = {"gradient_checkpointing": switched, "dropout": 0.3, "dropout_scope": "all"}
        model = build_classifier(loaded, settings(freeze=1, **knobs), 3, seed=1).train()
        calls.append([0, 0, 0])
        for index, layer in enumerate(transformer_layers(model.backbone)):
            first = next(module for module in layer.modules() if not list(module.children()))
            first.register_forward_pre_hook(_counting(calls[-1], index))
        torch.manual_seed(3)
        model(batch).sum().backward()
        parameters = model.named_parameters()
        gradients.append({name: p.grad for name, p in parameters if p.grad is not None})
    assert same_tensors(*gradients)
    assert calls[0][0] == calls[1][0]  # frozen layers need no second time
    assert [2 * count for count in calls[0][1:]] == calls[1][1:]


def _counting(calls: list[int], index: int) -> Callable[..., None]:
    def count(*_: object) -> None:
        calls[index] += 1

    return count


def test_a_model_that_cannot_checkpoint_gradients_is_refused(bert: LoadedModel) -> None:
    class Unable(bert.model_class):  # type: ignore[misc, name-defined] # its base is known at run time
        supports_gradient_checkpointing = False

    with pytest.raises(Refused, match="Unable does not support gradient_checkpointing"):
        build_classifier(
            replace(bert, model_class=Unable), settings(gradient_checkpointing=True), 3, seed=1
        )


def test_a_dropout_that_is_only_a_number_is_read_back(odd: Path) -> None:
    """LLaMA and Qwen have no module of it, only `attention_dropout`."""
    loaded = load_model(str(save_model(odd / "model", "llama")))

    class Deaf(loaded.model_class):  # type: ignore[misc, name-defined] # its base is known at run time
        def __init__(self, config: PreTrainedConfig) -> None:
            super().__init__(config)
            self.layers[1].self_attn.attention_dropout = 0.25

    knobs = settings(dropout=0.5, dropout_scope="all")
    with pytest.raises(Refused, match=r"dropout 0\.5 was requested, but a module has 0\.25"):
        build_classifier(replace(loaded, model_class=Deaf), knobs, 3, seed=1)


def test_a_model_that_has_no_dropout_is_refused_one(odd: Path) -> None:
    save_model(odd / "model")  # for its tokenizer
    config = MambaConfig(hidden_size=16, state_size=4, num_hidden_layers=2, vocab_size=14)
    AutoModel.from_config(config).save_pretrained(odd / "model")  # type: ignore[no-untyped-call] # untyped there
    loaded = load_model(str(odd / "model"))
    with pytest.raises(Refused, match="no dropout to set; use dropout_scope: head"):
        build_classifier(loaded, settings(dropout=0.5, dropout_scope="all"), 3, seed=1)


def test_a_model_without_weights_is_refused(bert_folder: Path, odd: Path) -> None:
    (odd / "config.json").write_bytes((bert_folder / "config.json").read_bytes())
    with pytest.raises(Refused, match=r"lacks weights .* and a tokenizer"):
        load_model(str(odd))


def test_weights_that_are_no_weights_are_refused(bert_folder: Path, odd: Path) -> None:
    for path in bert_folder.iterdir():
        (odd / path.name).write_bytes(path.read_bytes())
    (odd / "model.safetensors").write_bytes(b"\x80\x04not tensors")
    with pytest.raises(Refused, match="cannot be read"):
        load_model(str(odd))


def test_a_dropout_that_does_not_arrive_is_refused(
    bert: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Dropout, "__init__", _broken_dropout)
    with pytest.raises(Refused, match=r"dropout 0\.5 was requested"):
        build_classifier(bert, settings(dropout=0.5), 3, seed=1)


def _broken_dropout(self: nn.Dropout, p: float = 0.5, inplace: bool = False) -> None:
    """A dropout that ignores what it is given."""
    nn.Module.__init__(self)
    self.p, self.inplace = 0.1, inplace


@pytest.mark.parametrize("version", ["new", "old"])
def test_checkpointing_goes_by_the_name_that_transformers_has(version: str) -> None:
    """transformers 5.17 calls it by its old name, and has not the new one."""
    word = "activation" if version == "new" else "gradient"
    calls: list[dict[str, bool]] = []

    class Backbone(torch.nn.Module):
        pass

    setattr(Backbone, f"{word}_checkpointing_enable", lambda _, options: calls.append(options))
    setattr(Backbone, f"is_{word}_checkpointing", property(lambda _: bool(calls)))
    backbone = Backbone()
    assert not is_checkpointing(backbone)
    checkpoint_activations(backbone, {"use_reentrant": False})
    assert calls == [{"use_reentrant": False}]
    assert is_checkpointing(backbone)
