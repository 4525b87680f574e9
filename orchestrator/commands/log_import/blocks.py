"""Records of what a log holds: its blocks, one for each run, and their epochs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trytable.orchestrator.commands.log_import.parameters import LoggedSetting


@dataclass(frozen=True)
class LoggedEpoch:
    """An epoch of a log.

    Attributes:
        line: the first line about it, counted from 1.
        printed: its number as printed.
        epoch: its number counted from 1.
        metrics: by canonical name; accuracies are shares.
        is_running: the training metrics are means over the epoch, while the weights changed.
    """

    line: int
    printed: float
    epoch: int
    metrics: Mapping[str, float]
    is_running: bool = False


@dataclass(frozen=True)
class BlockIssue:
    """Something wrong with a block: the kind, how often, the first lines, and a description."""

    kind: str
    count: int
    lines: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Block:
    """One run in a log.

    Attributes:
        lines: its first and last line.
        heading: the heading above it.
        epochs: its epochs.
        epoch_lines: how many of its lines are about an epoch.
        closing: the metrics after the last epoch.
        settings: the settings that the log names, by Trytable's names.
        issues: what is wrong with its lines.
    """

    lines: tuple[int, int]
    heading: str
    epochs: tuple[LoggedEpoch, ...]
    epoch_lines: int
    closing: Mapping[str, float]
    settings: Mapping[str, LoggedSetting]
    issues: tuple[BlockIssue, ...]

    @property
    def span(self) -> str:
        """`78-84`, which names the block within its log."""
        return f"{self.lines[0]}-{self.lines[1]}"

    @property
    def fingerprint(self) -> str:
        """A hash of all its numbers, wherever in the file they are."""
        epochs = [(epoch.printed, sorted(epoch.metrics.items())) for epoch in self.epochs]
        content = repr((epochs, sorted(self.closing.items())))
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class ParsedLog:
    """A log's file, hash and blocks."""

    path: Path
    sha256: str
    blocks: tuple[Block, ...]
