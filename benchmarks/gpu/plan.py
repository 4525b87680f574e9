"""The steps, the most telling first, each with its right answer and its time limit."""

from collections.abc import Sequence

from benchmarks.gpu.records import Step

TOTAL_SECONDS = 480.0
"""The whole check ends after this long; steps that have not begun by then are not run."""

_MEMORY = "only a GPU's memory can run out while the machine has more"

STEPS: Sequence[Step] = (
    Step(
        "prepare",
        "write models and texts, and record the versions",
        "BERT-base, a MiniLM, a small LLaMA and texts are on the disk",
        60,
        "prepare:run",
    ),
    Step(
        "families",
        "a trial of each family, forked by the fork server",
        "each trial completes on this card in bf16 with fused AdamW and no mismatch, and the fork "
        "server never has a context",
        75,
        "families:run",
    ),
    Step(
        "resume",
        "a trial that is drained in the middle and continued",
        "losses, predictions and weights are those of an uninterrupted trial, to the last bit",
        60,
        "bits:resume",
    ),
    Step(
        "rerun",
        "a completed trial, trained again from its record",
        "everything measured is the same to the last bit",
        45,
        "bits:rerun",
    ),
    Step(
        "kill",
        "kill -9 of a training worker",
        "the memory that it held is free within 2 seconds, and its exit is reported",
        30,
        "kill:run",
    ),
    Step(
        "out-of-memory",
        "a batch that the free memory does not hold",
        "the micro-batch is halved, the batch stays, and the trial completes",
        45,
        "memory:alone",
        card_only=_MEMORY,
    ),
    Step(
        "out-of-memory-shared",
        "two trials that fit alone and not together",
        "first fewer trials share the card, no micro-batch is halved, and no attempt counts as a "
        "failure",
        75,
        "memory:shared",
        card_only=_MEMORY,
    ),
    Step(
        "sweep",
        "24 trials of BERT-base by Trytable",
        "all complete; more trials an hour than Trainer.hyperparameter_search, which comes next",
        110,
        "search:sweep",
    ),
    Step(
        "trainer-search",
        "the same points by transformers' Trainer.hyperparameter_search",
        "its best accuracy is about the sweep's",
        110,
        "search:trainer",
    ),
    Step(
        "context",
        "the memory of a CUDA context, and the cost of deterministic kernels",
        "a context takes at most what Trytable assumes; a step takes little longer",
        30,
        "context:run",
        card_only="a CPU has no context",
    ),
    Step(
        "together",
        "1, 2, 4 and 8 trials on the card",
        "steps a second rise with the number until the card is busy",
        75,
        "together:run",
    ),
    Step(
        "frozen",
        "epochs with cached states of frozen layers: none, half, full",
        "half and full are faster with cached states, and train to the same loss",
        60,
        "frozen:run",
    ),
    Step(
        "together-mps",
        "1, 2, 4 and 8 trials on the card under MPS",
        "more steps a second than without, from 2 trials on",
        75,
        "together:run_with_mps",
        card_only="MPS is a service of NVIDIA's driver",
    ),
)
