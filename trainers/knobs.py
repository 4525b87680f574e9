"""The knobs of the built-in trainer: what each means, may hold and is by default, and why.

`python -m trainers.knobs_table` makes docs/knobs.md of it. Neither torch nor another module is
imported here: the orchestrator reads these knobs, through trainers/protocol.py.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Record(BaseModel):
    """A frozen record that refuses unknown keys and keeps NaN and infinity through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


def shown(why: str, test: str) -> dict[str, Any]:
    """What docs/knobs.md says besides: the default's reason, and the test that proves the effect.

    The test is named from tests/trainers on.
    """
    return {"why": why, "test": test}


Direction = Literal["maximize", "minimize"]


class Objective(Record):
    """What a sweep is after: a metric of every epoch, and which way is better."""

    name: str = "dev_accuracy"
    direction: Direction = "maximize"

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value beats another one, or none at all."""
        if than is None:
            return True
        return value > than if self.direction == "maximize" else value < than


OBJECTIVES: dict[str, Direction] = {
    "dev_accuracy": "maximize",
    "dev_macro_f1": "maximize",
    "dev_loss": "minimize",
}
"""What the trainers of ours measure after every epoch, and which way is better."""


class FinetuneSettings(Record):
    """The knobs of the built-in trainer. Each can be fixed in a sweep's baseline or swept."""

    OBJECTIVES: ClassVar[dict[str, Direction]] = OBJECTIVES

    lr: float = Field(
        2e-4,
        gt=0,
        le=1,
        description="peak learning rate of AdamW, per optimizer step",
        json_schema_extra=shown(
            "small encoders take 1e-4 to 3e-4; for BERT-base and LLaMA 1e-5 to 5e-5",
            "test_attest.py::test_the_readings_are_those_of_the_live_objects",
        ),
    )
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="probability that a unit is dropped",
        json_schema_extra=shown(
            "Devlin et al. 2018", "test_classifier.py::test_dropout_on_all_reaches_every_module"
        ),
    )
    dropout_scope: Literal["head", "all"] = Field(
        "head",
        description="`head`: the dropout before the classifier; `all`: every dropout of the model",
        json_schema_extra=shown(
            "the pretrained model keeps what it was trained with",
            "test_classifier.py::test_dropout_on_the_head_leaves_the_backbone_as_it_was",
        ),
    )
    weight_decay: float = Field(
        0.01,
        ge=0,
        le=10,
        description="decoupled weight decay; never on biases and norms",
        json_schema_extra=shown(
            "Devlin et al. 2018", "test_optimizer.py::test_weight_decay_spares_biases_and_norms"
        ),
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=65536,
        description="sentences per optimizer step",
        json_schema_extra=shown(
            "Devlin et al. 2018 try 16 and 32",
            "test_stepping.py::test_a_batch_in_parts_is_the_batch_even_where_it_is_the_rest",
        ),
    )
    freeze: (
        Literal["none", "embed", "half", "full"]
        | Annotated[int, Field(ge=0)]
        | Annotated[str, Field(pattern=r"[.*]", title="patterns of weights' names")]
    ) = Field(
        "none",
        description=(
            "`embed`: the embeddings; `half`: embeddings and lower half of the layers; `full`: "
            "embeddings and lower three quarters; a number: embeddings and that many layers; or "
            "patterns of the backbone's weights, such as `embeddings.* encoder.layer.0.*`"
        ),
        json_schema_extra=shown(
            "all of a small model fits into memory",
            "test_freezing.py::test_patterns_freeze_what_they_match_and_put_it_into_evaluation",
        ),
    )
    frozen_cache_gb: float = Field(
        4.0,
        ge=0,
        le=10_000,
        description=(
            "10^9 bytes of disk for what frozen layers give, which is computed once for all epochs "
            "and trials; 0: computed in every epoch"
        ),
        json_schema_extra=shown(
            "a million tokens of width 768, and no small disk is filled",
            "test_frozen.py::test_losses_are_those_without_kept_states",
        ),
    )
    unfreeze_layers_per_epoch: int = Field(
        0,
        ge=0,
        le=1000,
        description="frozen layers that each further epoch trains, from the top",
        json_schema_extra=shown(
            "what is frozen stays so",
            "test_freezing.py::test_every_epoch_sets_a_layer_free_from_the_top",
        ),
    )
    lora_rank: int = Field(
        0,
        ge=0,
        le=1024,
        description="rank of LoRA's adapters; 0: the weights themselves train",
        json_schema_extra=shown(
            "for models whose gradients do not fit; then 8 is usual",
            "test_adapters.py::test_adapters_alone_train_beside_frozen_weights",
        ),
    )
    lora_alpha: int = Field(
        16,
        ge=1,
        le=10_000,
        description="adapters count lora_alpha / lora_rank times",
        json_schema_extra=shown(
            "twice the usual rank (Hu et al. 2021)",
            "test_adapters.py::test_adapters_folded_in_compute_the_same",
        ),
    )
    lora_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="probability that an adapter's input unit is dropped",
        json_schema_extra=shown(
            "few weights overfit little", "test_knobs.py::test_adapters_have_the_dropout_asked_for"
        ),
    )
    gradient_checkpointing: bool = Field(
        False,
        description="compute activations again in the backward pass: less memory, more time",
        json_schema_extra=shown(
            "it costs a second forward pass",
            "test_adapters.py::test_gradient_checkpointing_changes_no_loss",
        ),
    )
    head: Literal["linear", "mlp"] = Field(
        "linear",
        description="`mlp`: linear, batch norm, ReLU, dropout for each of `head_widths`",
        json_schema_extra=shown(
            "as transformers' classifiers end",
            "test_heads.py::test_the_head_has_the_widths_norms_and_dropout_asked_for",
        ),
    )
    head_widths: list[Annotated[int, Field(ge=1, le=65536)]] = Field(
        [512, 256],
        min_length=1,
        max_length=8,
        description="units of the mlp head's hidden layers",
        json_schema_extra=shown(
            "as BERT-base classifiers of this kind have it",
            "test_heads.py::test_the_head_has_the_widths_norms_and_dropout_asked_for",
        ),
    )
    head_batch_norm: bool = Field(
        True,
        description="whether the mlp head's hidden layers have batch norm",
        json_schema_extra=shown(
            "hidden layers on fixed vectors learn faster with it",
            "test_heads.py::test_the_head_has_the_widths_norms_and_dropout_asked_for",
        ),
    )
    augment_delete: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="probability that a training token is left out",
        json_schema_extra=shown(
            "plain training is what others are compared with",
            "test_augment.py::test_shares_are_what_they_say",
        ),
    )
    augment_swap: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="share of a training text's tokens that change places",
        json_schema_extra=shown(
            "as augment_delete", "test_augment.py::test_swapping_moves_words_and_nothing_else"
        ),
    )
    augment_replace: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="probability that a near neighbour replaces a training token",
        json_schema_extra=shown(
            "as augment_delete", "test_augment.py::test_a_replacement_is_a_near_neighbour_by_cosine"
        ),
    )
    epochs: int = Field(
        3,
        ge=1,
        le=10_000,
        description="passes over the training sentences",
        json_schema_extra=shown(
            "Devlin et al. 2018", "test_knobs.py::test_a_trial_has_the_epochs_asked_for"
        ),
    )
    schedule: Literal["constant", "linear", "cosine", "cosine_restarts", "step"] = Field(
        "linear",
        description="shape of the learning rate after warm-up, by optimizer step",
        json_schema_extra=shown("as BERT was fine-tuned", "test_schedule.py::test_schedules"),
    )
    schedule_floor: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the peak to which the learning rate falls",
        json_schema_extra=shown(
            "the schedules were described so",
            "test_schedule.py::test_a_floor_is_reached_and_never_passed",
        ),
    )
    schedule_cycles: int = Field(
        3,
        ge=1,
        le=1000,
        description="half cosines of `cosine_restarts`, of equal length",
        json_schema_extra=shown(
            "a few restarts, each of some epochs",
            "test_schedule.py::test_cosine_restarts_as_often_as_asked",
        ),
    )
    decay_factor: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="what `step` multiplies the learning rate by",
        json_schema_extra=shown(
            "halving is gentle enough for every epoch",
            "test_schedule.py::test_steps_fall_by_the_factor_every_so_many_epochs",
        ),
    )
    decay_every_epochs: int = Field(
        1,
        ge=1,
        le=10_000,
        description="epochs between two falls of `step`",
        json_schema_extra=shown(
            "fine-tuning has few epochs",
            "test_schedule.py::test_steps_fall_by_the_factor_every_so_many_epochs",
        ),
    )
    warmup: float = Field(
        0.1,
        ge=0,
        le=1_000_000,
        description="how long the learning rate rises linearly from 0, in `warmup_unit`",
        json_schema_extra=shown(
            "Devlin et al. 2018",
            "test_schedule.py::test_warm_up_rises_linearly_over_a_share_epochs_or_steps",
        ),
    )
    warmup_unit: Literal["share", "epochs", "steps"] = Field(
        "share",
        description="what `warmup` counts: a share of all steps, epochs, or steps",
        json_schema_extra=shown(
            "a share fits every length of training",
            "test_schedule.py::test_warm_up_rises_linearly_over_a_share_epochs_or_steps",
        ),
    )
    head_lr_multiplier: float = Field(
        1.0,
        gt=0,
        le=1_000_000,
        description="the head's peak learning rate, in multiples of lr",
        json_schema_extra=shown(
            "one rate is enough where all is trained",
            "test_optimizer.py::test_the_head_has_a_rate_of_its_own",
        ),
    )
    head_lr: float | None = Field(
        None,
        gt=0,
        le=1,
        description="the head's own peak learning rate; null: lr times multiplier",
        json_schema_extra=shown(
            "as head_lr_multiplier", "test_optimizer.py::test_the_head_has_a_rate_of_its_own"
        ),
    )
    layer_lr_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="each layer's learning rate by that of the layer above it",
        json_schema_extra=shown(
            "as head_lr_multiplier; 0.95 is usual otherwise (Sun et al. 2019)",
            "test_optimizer.py::test_lower_layers_have_lower_rates",
        ),
    )
    class_weights: Literal["none", "balanced"] | list[Annotated[float, Field(gt=0)]] = Field(
        "none",
        description="weights of the classes' losses; `balanced`: N / (C n_c)",
        json_schema_extra=shown(
            "accuracy counts every sentence once",
            "test_losses.py::test_balanced_weights_are_scikit_learns_and_average_to_one",
        ),
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the target spread evenly over all classes",
        json_schema_extra=shown(
            "plain cross-entropy",
            "test_losses.py::test_label_smoothing_gives_every_class_its_share",
        ),
    )
    focal_gamma: float = Field(
        0.0,
        ge=0,
        le=10,
        description="losses are scaled by (1 - p of the gold class) ** gamma",
        json_schema_extra=shown(
            "plain cross-entropy; 2 is usual otherwise (Lin et al. 2017)",
            "test_losses.py::test_focal_gamma_scales_by_what_is_missing",
        ),
    )
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="sentences in memory at once; gradients add up to batch_size. null: all",
        json_schema_extra=shown(
            "as fast as it gets; memory that runs out halves it",
            "test_stepping.py::test_a_batch_in_parts_is_the_batch_even_where_it_is_the_rest",
        ),
    )
    max_gradient_norm: float = Field(
        1.0,
        gt=0,
        description="gradients are scaled down to this global L2 norm",
        json_schema_extra=shown(
            "Devlin et al. 2018",
            "test_knobs.py::test_gradients_are_scaled_down_to_their_largest_norm",
        ),
    )
    max_length: int = Field(
        128,
        ge=8,
        le=131_072,
        description="tokens kept of each text",
        json_schema_extra=shown(
            "sentences are shorter, and attention costs the square",
            "test_knobs.py::test_texts_are_cut_to_the_length_asked_for",
        ),
    )
    pooling: Literal["cls", "mean", "last"] = Field(
        "mean",
        description="how token states become one sentence vector",
        json_schema_extra=shown(
            "sentence encoders such as minilm were trained with it",
            "test_classifier.py::test_padding_changes_no_pooling",
        ),
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="autocast; `fp16` scales losses; `auto`: bf16 where it is native, else fp32",
        json_schema_extra=shown(
            "as fast as it gets without scaling",
            "test_stepping.py::test_fp16_scales_its_losses_and_trains",
        ),
    )
    patience_epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="epochs without a better objective (at a tie: dev loss) that end a trial",
        json_schema_extra=shown(
            "a schedule is made for all its epochs",
            "test_progress.py::test_patience_counts_epochs_without_a_better_one",
        ),
    )
    min_epochs: int = Field(
        1,
        ge=1,
        le=10_000,
        description="epochs before which `patience_epochs` ends nothing",
        json_schema_extra=shown(
            "patience alone decides",
            "test_progress.py::test_patience_counts_epochs_without_a_better_one",
        ),
    )
    probe_size: int = Field(
        500,
        ge=1,
        description="train sentences on which train accuracy is measured in eval mode",
        json_schema_extra=shown(
            "a standard error of 2 points at most",
            "test_knobs.py::test_the_probe_has_the_size_asked_for",
        ),
    )
    log_every_steps: int = Field(
        10,
        ge=1,
        description="optimizer steps between `step` events",
        json_schema_extra=shown(
            "a curve without a flood of lines", "test_knobs.py::test_every_so_many_steps_are_told"
        ),
    )
    checkpoint_seconds: float = Field(
        60,
        ge=0,
        description="least time between two resumable checkpoints, taken at epoch ends",
        json_schema_extra=shown(
            "a minute's work is soon done again",
            "test_knobs.py::test_checkpoints_wait_for_their_time",
        ),
    )
    allow_mismatch: bool = Field(
        False,
        description="train although a parameter was read back otherwise than asked for",
        json_schema_extra=shown(
            "what did not arrive proves nothing",
            "test_attest.py::test_a_mismatch_that_is_allowed_is_said_and_trained_with",
        ),
    )

    @model_validator(mode="after")
    def _one_head_rate(self) -> "FinetuneSettings":
        if self.head_lr is not None and self.head_lr_multiplier != 1:
            raise ValueError(
                f"head_lr {self.head_lr:g} and head_lr_multiplier {self.head_lr_multiplier:g} "
                "exclude each other. Allowed: one of them"
            )
        return self
