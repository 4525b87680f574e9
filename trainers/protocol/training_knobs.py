"""Training knobs of the built-in trainer: rates, steps, loss, precision, stopping, records."""

from typing import Annotated, Literal

from pydantic import Field

from trytable.trainers.protocol.base import Knobs, knob

_OFF = "off: only what was asked for happens"
_DEVLIN = "Devlin et al. 2018"


class TrainingKnobs(Knobs):
    """Learning rates, schedule, loss, batches, precision, stopping and recording."""

    lr: float = knob(
        2e-4,
        "peak learning rate of AdamW",
        "1e-5, usual for larger models, barely moves the small embedded encoder in 3 epochs",
        "finetune/test_trainer.py::test_the_rate_that_the_optimizer_saw_is_the_schedule",
        gt=0,
        le=1,
        unit="per optimizer step",
        source="Loshchilov and Hutter 2019",
    )
    weight_decay: float = knob(
        0.01,
        "decoupled weight decay; never on biases and norms",
        "BERT's",
        "finetune/test_optimizer.py::test_weight_decay_spares_biases_and_norms",
        ge=0,
        le=10,
        unit="share of a weight per step at learning rate 1",
        source="Loshchilov and Hutter 2019",
    )
    batch_size: int = knob(
        32,
        "sentences per optimizer step",
        "16 or 32 is what BERT was fine-tuned with",
        "finetune/test_attest.py::test_the_readings_are_those_of_the_live_objects",
        "data/test_tokens.py::test_every_sentence_stands_in_one_batch",
        ge=1,
        le=65536,
        unit="sentences",
        source=_DEVLIN,
    )
    micro_batch_size: int | None = knob(
        None,
        "sentences in memory at once; gradients add up to batch_size. null: all",
        "fastest if they fit into memory; if they do not, the trainer halves them",
        "finetune/test_step.py::test_a_batch_in_parts_is_the_batch_even_where_it_is_the_rest",
        ge=1,
        le=65536,
        unit="sentences",
    )
    epochs: int = knob(
        3,
        "passes over the training sentences",
        "2 to 4 is what BERT was fine-tuned with",
        "protocol/test_knobs.py::test_a_trial_has_the_epochs_asked_for",
        ge=1,
        le=10_000,
        unit="passes",
        source=_DEVLIN,
    )
    schedule: Literal["constant", "linear", "cosine", "cosine_restarts", "step"] = knob(
        "linear",
        "shape of the learning rate after warm-up, by optimizer step",
        "BERT's",
        "finetune/test_schedule.py::test_schedules",
        "finetune/test_trainer.py::test_the_rate_that_the_optimizer_saw_is_the_schedule",
        source="Devlin et al. 2018; Loshchilov and Hutter 2017",
    )
    schedule_floor: float = knob(
        0.0,
        "share of the peak to which the learning rate falls",
        "BERT's: it falls to 0",
        "finetune/test_schedule.py::test_a_floor_is_reached_and_never_passed",
        ge=0,
        lt=1,
        unit="share of the peak",
    )
    schedule_cycles: int = knob(
        3,
        "half cosines of `cosine_restarts`, of equal length",
        "one per epoch at the default of 3 epochs",
        "finetune/test_schedule.py::test_cosine_restarts_as_often_as_asked",
        ge=1,
        le=1000,
        unit="half cosines",
        source="Loshchilov and Hutter 2017",
    )
    decay_factor: float = knob(
        0.5,
        "factor by which `step` multiplies the learning rate",
        "mild: 0.1, usual for long training, would end a short one",
        "finetune/test_schedule.py::test_steps_fall_by_the_factor_every_so_many_epochs",
        gt=0,
        lt=1,
        unit="factor",
    )
    decay_every_epochs: int = knob(
        1,
        "epochs between two drops of `step`",
        "fine-tuning has few epochs",
        "finetune/test_schedule.py::test_steps_fall_by_the_factor_every_so_many_epochs",
        ge=1,
        le=10_000,
        unit="epochs",
    )
    warmup: float = knob(
        0.1,
        "length of the linear rise of the learning rate from 0, in `warmup_unit`",
        "a tenth of the steps, as is customary for BERT",
        "finetune/test_schedule.py::test_warm_up_rises_linearly_over_a_share_epochs_or_steps",
        ge=0,
        le=1_000_000,
        unit="`warmup_unit`",
        source=_DEVLIN,
    )
    warmup_unit: Literal["share", "epochs", "steps"] = knob(
        "share",
        "what `warmup` counts: a share of all steps, epochs, or steps",
        "stays right when epochs or batch size change",
        "finetune/test_schedule.py::test_warm_up_rises_linearly_over_a_share_epochs_or_steps",
    )
    head_lr_multiplier: float = knob(
        1.0,
        "the head's peak learning rate, in multiples of lr",
        "one rate for all, as BERT's; people gave new heads up to 1000 times as much by hand",
        "finetune/test_optimizer.py::test_the_head_has_a_rate_of_its_own",
        gt=0,
        le=1_000_000,
        unit="multiples of lr",
    )
    head_lr: float | None = knob(
        None,
        "the head's own peak learning rate; null: lr times multiplier",
        "follows lr, so that sweeping lr moves the whole model",
        "finetune/test_optimizer.py::test_the_head_has_a_rate_of_its_own",
        gt=0,
        le=1,
        unit="per optimizer step",
    )
    layer_lr_decay: float = knob(
        1.0,
        "ratio of each layer's learning rate to that of the layer above it",
        _OFF + "; 0.95 is a usual start",
        "finetune/test_optimizer.py::test_lower_layers_have_lower_rates",
        gt=0,
        le=1,
        unit="factor per layer",
        source="Howard and Ruder 2018; Sun et al. 2019, equation 3",
    )
    class_weights: Literal["none", "balanced"] | list[Annotated[float, Field(gt=0)]] = knob(
        "none",
        "weight of each class in the loss; `balanced`: N / (C n_c)",
        _OFF,
        "finetune/test_losses.py::test_given_class_weights_scale_each_sentences_loss",
        "finetune/test_losses.py::test_balanced_weights_are_scikit_learns_and_average_to_one",
        source="King and Zeng 2001",
    )
    label_smoothing: float = knob(
        0.0,
        "share of the target spread evenly over all classes",
        _OFF,
        "finetune/test_losses.py::test_label_smoothing_gives_every_class_its_share",
        ge=0,
        lt=1,
        unit="share of the target",
        source="Szegedy et al. 2016",
    )
    focal_gamma: float = knob(
        0.0,
        "losses are scaled by (1 - p of the gold class) ** gamma",
        _OFF + "; 2 was best in its paper",
        "finetune/test_losses.py::test_focal_gamma_scales_by_what_is_missing",
        ge=0,
        le=10,
        unit="exponent",
        source="Lin et al. 2017, equation 4",
    )
    max_gradient_norm: float = knob(
        1.0,
        "gradients are scaled down to this global L2 norm",
        "BERT's",
        "protocol/test_knobs.py::test_gradients_are_scaled_down_to_their_largest_norm",
        gt=0,
        unit="L2 norm",
        source="Pascanu et al. 2013",
    )
    max_length: int = knob(
        128,
        "tokens of each text that are kept",
        "enough for a sentence or two; BERT's own fine-tuning script uses it",
        "protocol/test_knobs.py::test_texts_are_cut_to_the_length_asked_for",
        ge=8,
        le=131_072,
        unit="tokens",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = knob(
        "auto",
        "autocast; `fp16` scales losses; `auto`: bf16 where it is native, else fp32",
        "the fastest that needs no tuning",
        "finetune/test_trainer.py::test_bf16_trains_and_is_recorded",
        "finetune/test_step.py::test_fp16_scales_its_losses_and_trains",
        source="Micikevicius et al. 2018",
    )
    patience_epochs: int | None = knob(
        None,
        "stop after this many epochs without improvement (ties: lower dev loss)",
        "a schedule is designed to reach its end",
        "finetune/test_trainer.py::test_patience_ends_a_trial_early_and_says_so",
        "finetune/test_progress.py::test_patience_counts_epochs_without_a_better_one",
        ge=1,
        le=10_000,
        unit="epochs",
    )
    min_epochs: int = knob(
        1,
        "epochs that run before `patience_epochs` may stop a trial",
        "patience alone decides",
        "finetune/test_trainer.py::test_patience_ends_a_trial_early_and_says_so",
        ge=1,
        le=10_000,
        unit="epochs",
    )
    probe_size: int = knob(
        500,
        "train sentences for measuring train accuracy in eval mode",
        "one standard error is at most 2 points, at little cost",
        "protocol/test_knobs.py::test_the_probe_has_the_size_asked_for",
        ge=1,
        unit="sentences",
    )
    log_every_steps: int = knob(
        10,
        "optimizer steps between `step` events",
        "a readable curve; each event is one line",
        "protocol/test_knobs.py::test_every_so_many_steps_are_told",
        ge=1,
        unit="optimizer steps",
    )
    checkpoint_seconds: float = knob(
        60,
        "minimum time between two resumable checkpoints, written at epoch ends",
        "a kill costs at most about a minute, and writing takes seconds",
        "protocol/test_knobs.py::test_checkpoints_wait_for_their_time",
        ge=0,
        unit="seconds",
    )
    allow_mismatch: bool = knob(
        False,
        "train even if a parameter read back differs from the requested value",
        "a trial with other parameters than its row shows proves nothing",
        "finetune/test_attest.py::test_a_mismatch_that_is_allowed_is_said_and_trained_with",
        "finetune/test_attest.py::test_a_schedule_that_hard_codes_its_rates_fails_before_a_step",
    )

    def conflict(self) -> str | None:
        """The head has one learning rate."""
        if self.head_lr is None or self.head_lr_multiplier == 1:
            return super().conflict()
        return (
            f"head_lr {self.head_lr:g} and head_lr_multiplier {self.head_lr_multiplier:g} "
            "exclude each other. Allowed: one of them"
        )
