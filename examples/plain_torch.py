"""A small classifier in plain PyTorch that prints a line after every epoch."""

import argparse

import torch
from torch import nn


def clouds(generator: torch.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (size, 8) of three overlapping clouds, and which cloud each is of (size,)."""
    labels = torch.randint(3, (size,), generator=generator)
    centres = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    return centres[labels] + 1.5 * torch.randn(size, 8, generator=generator), labels


def accuracy(model: nn.Module, points: torch.Tensor, labels: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return float((model(points).argmax(1) == labels).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--hidden_dropout_prob", type=float, default=0.1)
    parser.add_argument("--weight_decay", type=float, default=0.0)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"args: {vars(args)}")

    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train, dev = clouds(generator, 600), clouds(generator, 300)
    model = nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Dropout(args.hidden_dropout_prob), nn.Linear(32, 3)
    )
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=args.weight_decay)
    for epoch in range(args.epochs):
        model.train()
        total, batches = 0.0, torch.randperm(600, generator=generator).split(args.batch_size)
        for batch in batches:
            loss = nn.functional.cross_entropy(model(train[0][batch]), train[1][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(
            f"epoch {epoch}: train loss :: {total / len(batches):.3f}, "
            f"train acc :: {accuracy(model, *train):.3f}, dev acc :: {accuracy(model, *dev):.3f}"
        )


if __name__ == "__main__":
    main()
