"""Model knobs of the built-in trainer: architecture, trained parameters, input augmentation."""

from typing import Annotated, Literal

from pydantic import Field

from trytable.trainers.protocol.base import Knobs, knob

_OFF = "off: only what was asked for happens"
_DEVLIN = "Devlin et al. 2018"

Shares = Literal["none", "embed", "half", "full"]
Patterns = Annotated[str, Field(pattern=r"[.*]", title="patterns of weights' names")]
Widths = Annotated[
    str,
    Field(pattern=r"^[1-9]\d{0,4}(-[1-9]\d{0,4}){1,7}$", title="two to eight widths as `512-256`"),
]


class ModelKnobs(Knobs):
    """Dropout, freezing, adapters, head, pooling and augmentation."""

    dropout: float = knob(
        0.1,
        "probability that a unit is dropped while training",
        "BERT's, in pretraining and in fine-tuning",
        "models/test_classifier.py::test_dropout_on_all_reaches_every_module",
        "models/test_heads.py::test_the_heads_dropout_is_the_one_asked_for",
        ge=0,
        lt=1,
        unit="share of units",
        source=_DEVLIN,
    )
    dropout_scope: Literal["head", "all"] = knob(
        "head",
        "`head`: the dropouts of the head; `all`: every dropout of the model",
        "keeps the dropout that the backbone was pretrained with",
        "models/test_classifier.py::test_dropout_on_all_reaches_every_module",
        "models/test_classifier.py::test_dropout_on_the_head_leaves_the_backbone_as_it_was",
    )
    freeze: Shares | Annotated[int, Field(ge=0)] | Patterns = knob(
        "none",
        "`embed`: the embeddings; `half`: embeddings and lower half of the layers; `full`: "
        "embeddings and lower three quarters, shares rounded down (4 of 6 layers); a number: "
        "embeddings and that many layers; or patterns of the backbone's weights, such as "
        "`embeddings.* encoder.layer.0.*`",
        "freezing most of a model is the most common reason why it does not learn",
        "models/test_classifier.py::test_what_is_frozen_has_no_gradient_and_stays_in_evaluation",
        "models/test_freezing.py::test_patterns_freeze_the_weights_they_match_and_no_other",
    )
    frozen_cache_gb: float = knob(
        4.0,
        "disk space for the outputs of frozen layers, which are computed once for all epochs "
        "and trials; 0: recompute them in every epoch",
        "room for a million tokens of width 768, without filling a small disk",
        "models/test_frozen_cache.py::test_losses_are_those_without_cached_states",
        "models/test_frozen_cache.py::test_states_that_take_too_much_room_are_computed_each_time",
        ge=0,
        le=10_000,
        unit="10^9 bytes",
    )
    unfreeze_layers_per_epoch: int = knob(
        0,
        "frozen layers that each epoch after the first unfreezes, from the top; the embeddings "
        "follow the lowest layer",
        _OFF,
        "models/test_freezing.py::test_each_epoch_frees_the_uppermost_frozen_layers",
        "models/test_freezing.py::test_a_layer_moves_from_the_epoch_on_that_frees_it",
        ge=0,
        le=1000,
        unit="layers per epoch",
        source="Howard and Ruder 2018",
    )
    lora_rank: int = knob(
        0,
        "rank of the LoRA adapters on all linear layers of the backbone, whose other weights "
        "are frozen; 0: no adapters. Needs the package peft",
        _OFF + "; if memory is short, 8 is a usual start",
        "models/test_adapters.py::test_only_adapters_and_head_are_trained",
        "models/test_adapters.py::test_adapters_have_the_rank_and_the_scale_asked_for",
        ge=0,
        le=1024,
        source="Hu et al. 2021",
    )
    lora_alpha: int = knob(
        16,
        "the adapters' output is scaled by `lora_alpha / lora_rank`",
        "twice a rank of 8, as is customary",
        "models/test_adapters.py::test_adapters_have_the_rank_and_the_scale_asked_for",
        ge=1,
        le=10_000,
        source="Hu et al. 2021",
    )
    lora_dropout: float = knob(
        0.0,
        "probability that an adapter's input unit is dropped while training",
        "peft's own",
        "protocol/test_knobs.py::test_adapters_have_the_dropout_asked_for",
        ge=0,
        lt=1,
        unit="share of units",
    )
    gradient_checkpointing: bool = knob(
        False,
        "recompute activations in the backward pass: less memory, more time",
        "small models fit into memory without it and train faster",
        "models/test_classifier.py::test_checkpointed_gradients_are_the_same_and_computed_twice",
        source="Chen et al. 2016",
    )
    head: Literal["linear", "mlp"] = knob(
        "linear",
        "`mlp`: linear, batch norm, ReLU and dropout for each of `head_widths` first",
        "as BERT's; a larger head is one more thing to tune",
        "models/test_heads.py::test_a_head_has_the_layers_asked_for",
    )
    head_widths: Annotated[int, Field(ge=1, le=65536)] | Widths = knob(
        "512-256",
        "units of the mlp head's hidden layers, from the input on",
        "what people tried by hand on BERT's 768",
        "models/test_heads.py::test_a_head_has_the_layers_asked_for",
        unit="units",
    )
    head_batch_norm: bool = knob(
        True,
        "whether the mlp head's hidden layers have batch norm",
        "what people tried by hand; its statistics are over the sentences in memory at once",
        "models/test_heads.py::test_a_head_has_the_layers_asked_for",
        "models/test_heads.py::test_batch_norm_counts_in_training_and_not_in_evaluation",
        source="Ioffe and Szegedy 2015",
    )
    pooling: Literal["cls", "mean", "last"] = knob(
        "mean",
        "how token states become one sentence vector: the first real token's, the mean over "
        "all real ones, or the last real one's",
        "the embedded encoder was trained with it; decoders need `last`",
        "models/test_classifier.py::test_padding_changes_no_pooling",
        "models/test_classifier.py::test_the_logits_are_those_of_the_pooled_states",
        source="Reimers and Gurevych 2019",
    )
    augment_delete: float = knob(
        0.0,
        "probability that a token of a training text is deleted; at least one stays",
        _OFF + "; 0.1 is a usual start",
        "data/test_augment.py::test_deleted_tokens_are_missing_from_training_batches_alone",
        "data/test_augment.py::test_deletion_leaves_the_share_asked_for",
        ge=0,
        le=0.9,
        unit="share of tokens",
        source="Wei and Zou 2019",
    )
    augment_swap: float = knob(
        0.0,
        "share of the tokens of a training text that swap places",
        _OFF + "; 0.1 is a usual start",
        "data/test_augment.py::test_swapping_moves_tokens_and_loses_none",
        ge=0,
        le=0.9,
        unit="share of tokens",
        source="Wei and Zou 2019",
    )
    augment_replace: float = knob(
        0.0,
        "probability that a token of a training text is replaced by one of its 10 nearest "
        "neighbours, by cosine of the model's own input embeddings",
        _OFF + "; 0.1 is a usual start",
        "data/test_augment.py::test_a_replaced_token_becomes_a_near_neighbour",
        ge=0,
        le=0.9,
        unit="share of tokens",
        source="after Wei and Zou 2019, who take synonyms",
    )

    def conflict(self) -> str | None:
        """Unfreezing by layers needs layers that were frozen as layers."""
        by_names = isinstance(self.freeze, str) and not self.freeze.isalpha()
        if not (self.unfreeze_layers_per_epoch and by_names):
            return super().conflict()
        return (
            f"unfreeze_layers_per_epoch {self.unfreeze_layers_per_epoch} unfreezes layers, but "
            f"freeze {self.freeze} names weights. Allowed with it: embed, half, full or a "
            "number of layers"
        )
