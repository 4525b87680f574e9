"""Groups a log's lines into blocks of epochs, one for each run. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from trytable.orchestrator.commands.log_import.blocks import Block, BlockIssue, LoggedEpoch
from trytable.orchestrator.commands.log_import.line_items import (
    CommandLine,
    Heading,
    LineIssue,
    LineItem,
    Prose,
)
from trytable.orchestrator.commands.log_import.parameters import (
    LoggedSetting,
    from_heading,
    merge_settings,
)
from trytable.trainers.script.logs.metric_names import is_metric_name
from trytable.trainers.script.logs.reader import LogRecord

_RUN_NAME = re.compile(r"(?:^|[^a-z])(?:try|run|exp|experiment|trial)[\W_]{0,3}\d", re.IGNORECASE)
_MAX_LISTED = 5
"""How many lines of an issue, or missing epochs, are listed; the rest is counted."""

_RUNNING_MEAN_PATTERNS = ("keras", "lightning")
"""Patterns whose train accuracy is a running mean over the epoch, not a measurement after it."""


@dataclass
class _Preamble:
    """What comes between two blocks: the nearest command line and heading.

    `heading_settings` are those of the headings directly above the block, without text between.
    """

    command_settings: dict[str, LoggedSetting] = field(default_factory=dict)
    heading: str = ""
    names_run: bool = False
    heading_settings: dict[str, LoggedSetting] = field(default_factory=dict)
    has_text: bool = False

    def add_heading(self, heading: Heading) -> None:
        settings = from_heading(heading.text, heading.line)
        self.heading_settings = merge_settings(self.heading_settings, settings)
        names_run = _RUN_NAME.search(heading.text) is not None
        # A heading such as `Try 3` is kept even if others follow it.
        has_words = any(char.isalnum() for char in heading.text)
        if has_words and (names_run or not self.names_run):
            self.heading, self.names_run = heading.text, names_run

    def add_text(self) -> None:
        self.heading_settings, self.has_text = {}, True


@dataclass
class _OpenBlock:
    """A block that is being read; `is_closed` after a heading or a command line."""

    first: int
    preamble: _Preamble
    last: int = 0
    epochs: list[LoggedEpoch] = field(default_factory=list)
    epoch_lines: int = 0
    closing: dict[str, float] = field(default_factory=dict)
    issues: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    is_closed: bool = False

    def add_issue(self, kind: str, text: str, line: int) -> None:
        self.issues.setdefault((kind, text), []).append(line)


class BlockBuilder:
    """Takes the items of a log in order; `finish` returns the blocks.

    A block ends where the epochs start again. An epoch that is repeated, or comes after a later
    one, counts once, with its first numbers, and becomes an issue.
    """

    def __init__(self) -> None:
        self._preamble = _Preamble()
        self._open: _OpenBlock | None = None
        self._blocks: list[Block] = []
        self._issues_before: list[LineIssue] = []

    def add(self, item: LineItem) -> None:
        """Add the next item."""
        match item:
            case CommandLine():
                self._preamble.command_settings = dict(item.settings)
                self._preamble.has_text = False
                self._close()
            case Heading():
                self._preamble.add_heading(item)
                if item.starts_section:
                    self._close()
            case Prose():
                self._preamble.add_text()
            case LineIssue():
                self._add_issue(item)
            case LogRecord():
                self._add_record(item)

    def finish(self) -> tuple[Block, ...]:
        """Return all blocks, in the order of the file."""
        self._end_block()
        return tuple(self._blocks)

    def _close(self) -> None:
        if self._open is not None:
            self._open.is_closed = True

    def _add_issue(self, issue: LineIssue) -> None:
        """Add an issue to the open block, or to the next one if it comes between two."""
        if self._open is None or (self._open.is_closed and issue.kind != "cut_line"):
            self._issues_before.append(issue)
            del self._issues_before[:-_MAX_LISTED]
        else:
            self._open.add_issue(issue.kind, issue.text, issue.line)

    def _add_record(self, record: LogRecord) -> None:
        if _ends_epoch(record) and record.epoch is not None and _has_measurement(record):
            if not self._is_afterthought(record):
                self._add_epoch(record, record.epoch)
        elif record.kind == "final" and self._open is not None and not self._open.is_closed:
            self._add_closing(record, self._open)

    def _is_afterthought(self, record: LogRecord) -> bool:
        """Return whether a record only seems to be of the last epoch.

        That is the case if a heading or a command line came since.
        """
        if self._open is None or not self._open.is_closed:
            return False
        last = self._open.epochs[-1]
        return record.epoch == last.printed and not _shares_metrics(last, record)

    def _add_closing(self, record: LogRecord, block: _OpenBlock) -> None:
        metrics = {name: v for name, v in record.metrics.items() if _is_measurement(name)}
        for name in metrics.keys() & block.closing.keys():
            if metrics[name] != block.closing[name]:
                text = f"{name} is repeated after the last epoch, with another value"
                block.add_issue("doubled_line", text, record.line)
        block.closing = {**metrics, **block.closing}
        block.last = record.line

    def _add_epoch(self, record: LogRecord, printed: float) -> None:
        if self._open is None or _starts_block(self._open, record, printed):
            self._end_block()
            self._open = _OpenBlock(record.line, self._preamble)
            self._preamble = _Preamble()
            for issue in self._issues_before:
                self._open.add_issue(issue.kind, issue.text, issue.line)
            self._issues_before = []
        block = self._open
        block.last = record.line
        block.epoch_lines += 1
        last = block.epochs[-1] if block.epochs else None
        if last is None or printed > last.printed:
            number = int(printed) if printed.is_integer() else len(block.epochs) + 1
            running = record.pattern in _RUNNING_MEAN_PATTERNS
            metrics = dict(record.metrics)
            block.epochs.append(LoggedEpoch(record.line, printed, number, metrics, running))
        elif printed < last.printed or (
            _shares_metrics(last, record) and not record.is_provisional
        ):
            is_same = printed == last.printed and _same_values(last, record)
            difference = (
                "with the same numbers" if is_same else "with other numbers; the first ones count"
            )
            block.add_issue(
                "doubled_epoch", f"epoch {printed:g} is repeated {difference}", record.line
            )
        else:
            block.epochs[-1] = replace(last, metrics=_merged(last.metrics, record))

    def _end_block(self) -> None:
        if self._open is not None:
            previous = self._blocks[-1] if self._blocks else None
            self._blocks.append(_finished(self._open, previous))
        self._open = None


def _ends_epoch(record: LogRecord) -> bool:
    """Return whether a record is about a whole epoch.

    HF Trainer also prints the train loss at the end of an epoch, as the record of a step.
    """
    if record.kind != "step":
        return record.kind == "epoch"
    is_at_end = record.epoch is not None and record.epoch > 0 and record.epoch.is_integer()
    return is_at_end and record.pattern == "mapping"


def _has_measurement(record: LogRecord) -> bool:
    """Return whether a record holds more than a learning rate."""
    return any(_is_measurement(name) for name in record.metrics)


def _is_measurement(name: str) -> bool:
    """Return whether a metric was measured in this epoch: no rate, and not the best so far."""
    words = name.split("_")
    return is_metric_name(name) and words[-1] != "lr" and "best" not in words


def _starts_block(block: _OpenBlock, record: LogRecord, printed: float) -> bool:
    """Return whether a record of an epoch belongs to the next run."""
    first, last = block.epochs[0], block.epochs[-1]
    if printed > last.printed:
        return block.is_closed
    if printed > first.printed or (record.is_provisional and printed == last.printed):
        return False
    if block.is_closed:
        return True
    if block.closing:
        return not (printed == last.printed and _same_values(last, record))
    is_only_epoch = printed == first.printed == last.printed
    return not is_only_epoch or (_shares_metrics(last, record) and not _same_values(last, record))


def _shares_metrics(epoch: LoggedEpoch, record: LogRecord) -> bool:
    return bool(epoch.metrics.keys() & record.metrics.keys())


def _same_values(epoch: LoggedEpoch, record: LogRecord) -> bool:
    shared = epoch.metrics.keys() & record.metrics.keys()
    return bool(shared) and all(epoch.metrics[name] == record.metrics[name] for name in shared)


def _merged(metrics: Mapping[str, float], record: LogRecord) -> dict[str, float]:
    """Return both; the first value counts, but of a progress bar the latest."""
    if record.is_provisional:
        return {**metrics, **record.metrics}
    return {**record.metrics, **metrics}


def _finished(block: _OpenBlock, previous: Block | None) -> Block:
    epochs = _counted_from_one(block.epochs)
    command_settings = _command_settings(block.preamble, previous)
    settings = merge_settings(command_settings, block.preamble.heading_settings)
    for kind, text, line in _course_issues(epochs, block.closing, settings, block.last):
        block.add_issue(kind, text, line)
    issues = tuple(
        BlockIssue(kind, len(lines), tuple(sorted(set(lines))[:_MAX_LISTED]), text)
        for (kind, text), lines in block.issues.items()
    )
    return Block(
        lines=(block.first, block.last),
        heading=block.preamble.heading,
        epochs=epochs,
        epoch_lines=block.epoch_lines,
        closing=block.closing,
        settings=settings,
        issues=issues,
    )


def _counted_from_one(epochs: list[LoggedEpoch]) -> tuple[LoggedEpoch, ...]:
    """Return the epochs counted from 1; those printed as fractions are simply enumerated."""
    if not all(epoch.printed.is_integer() for epoch in epochs):
        return tuple(replace(epoch, epoch=number) for number, epoch in enumerate(epochs, 1))
    shift = 1 if epochs[0].printed == 0 else 0
    return tuple(replace(epoch, epoch=int(epoch.printed) + shift) for epoch in epochs)


def _command_settings(preamble: _Preamble, previous: Block | None) -> dict[str, LoggedSetting]:
    """Return the settings of the command line above, or else those of the previous block's.

    One command line applies to all blocks below it that only headings separate.
    """
    if preamble.command_settings or previous is None or preamble.has_text:
        return preamble.command_settings
    settings = previous.settings.items()
    return {name: setting for name, setting in settings if setting.source != "heading"}


def _course_issues(
    epochs: tuple[LoggedEpoch, ...],
    closing: Mapping[str, float],
    settings: Mapping[str, LoggedSetting],
    last_line: int,
) -> Iterator[tuple[str, str, int]]:
    """Yield kind, text and line of missing epochs and of closing metrics that match no epoch."""
    numbers = [epoch.epoch for epoch in epochs]
    gaps = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    if numbers[0] > 1:
        yield "missing_epochs", f"the first epoch is number {numbers[0]}", epochs[0].line
    if gaps:
        yield "missing_epochs", f"within the block: {_some_of(gaps)}", epochs[-1].line
    requested = settings.get("epochs")
    if requested is not None and isinstance(requested.value, int) and numbers[-1] < requested.value:
        text = f"{numbers[-1]} of {requested.value} requested epochs ({requested.place})"
        yield "missing_epochs", text, last_line
    for name, value in closing.items():
        course = [epoch.metrics[name] for epoch in epochs if name in epoch.metrics]
        if name.startswith("dev_") and course and value not in course:
            text = f"{name} {value:g} after the last epoch is the value of no epoch"
            yield "closing_differs", text, last_line


def _some_of(numbers: Iterable[int]) -> str:
    words = [str(number) for number in numbers]
    remaining = len(words) - _MAX_LISTED
    suffix = f" and {remaining} more" if remaining > 0 else ""
    return ", ".join(words[:_MAX_LISTED]) + suffix
