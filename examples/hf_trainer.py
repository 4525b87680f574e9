"""Fine-tunes a very small BERT with Hugging Face's Trainer, which prints its own dictionaries.

Needs `pip install accelerate`. Texts and model are made up here, so nothing is downloaded.
"""

import argparse
import tempfile

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    Trainer,
    TrainingArguments,
    set_seed,
)

GOOD, BAD, LENGTH = range(10, 30), range(30, 50), 12


class Sentences(torch.utils.data.Dataset):
    """Token ids of sentences with more good words than bad ones, or the other way round."""

    def __init__(self, size: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.labels = random.integers(0, 2, size)
        share = np.where(self.labels, 0.75, 0.25)[:, None]
        good = random.random((size, LENGTH)) < share
        self.ids = np.where(good, random.choice(GOOD, good.shape), random.choice(BAD, good.shape))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "input_ids": torch.tensor(self.ids[index]),
            "labels": torch.tensor(self.labels[index]),
        }


def accuracy(predicted: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((predicted.predictions.argmax(1) == predicted.label_ids).mean())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--warmup_steps", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    set_seed(args.seed)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=LENGTH,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=BertForSequenceClassification(config),
            args=TrainingArguments(
                output_dir=folder,
                learning_rate=args.learning_rate,
                warmup_steps=args.warmup_steps,
                num_train_epochs=args.epochs,
                per_device_train_batch_size=16,
                eval_strategy="epoch",
                logging_strategy="epoch",
                save_strategy="no",
                report_to="none",
                seed=args.seed,
            ),
            train_dataset=Sentences(160, args.seed),
            eval_dataset=Sentences(80, args.seed + 1),
            compute_metrics=accuracy,
        )
        trainer.train()


if __name__ == "__main__":
    main()
