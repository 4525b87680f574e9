"""Puts a log's lines together into blocks of epochs, one a run. Pure."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from trytable.orchestrator.commands.log_import.lines import Command, Heading, Item, Odd, Prose
from trytable.orchestrator.commands.log_import.parameters import Given, from_heading, merged
from trytable.trainers.script.logs.metric_names import is_metric_name
from trytable.trainers.script.logs.reader import LogRecord

_NAMED = re.compile(r"(?:^|[^a-z])(?:try|run|exp|experiment|trial)[\W_]{0,3}\d", re.IGNORECASE)
_LINES_KEPT = 5
"""So many lines of an oddity are named; of more, the number."""

_PROGRAMS_OWN = ("keras", "lightning")
"""Patterns whose train accuracy is a running mean over the epoch, not a measurement after it."""


@dataclass(frozen=True)
class Epoch:
    """An epoch: its line, its number as printed and counted from 1, and its metrics.

    Metrics are by their names in one spelling; accuracies are shares. `is_running`: what is of
    training is a mean over the epoch while the weights changed.
    """

    line: int
    printed: float
    epoch: int
    metrics: Mapping[str, float]
    is_running: bool = False


@dataclass(frozen=True)
class Oddity:
    """What is odd in a block: the kind's name, how often, the first lines, and what it is."""

    kind: str
    count: int
    lines: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Block:
    """One run as its log tells it.

    `lines` are its first and last, `epoch_lines` how many of them tell an epoch, `closing` the
    metrics told after the last epoch. `given` are the settings that were found, by our names.
    """

    lines: tuple[int, int]
    heading: str
    epochs: tuple[Epoch, ...]
    epoch_lines: int
    closing: Mapping[str, float]
    given: Mapping[str, Given]
    oddities: tuple[Oddity, ...]

    @property
    def span(self) -> str:
        """`78-84`, which names the block within its log."""
        return f"{self.lines[0]}-{self.lines[1]}"

    @property
    def fingerprint(self) -> str:
        """A hash of all its numbers, whatever lines they stand on."""
        numbers = [(one.printed, sorted(one.metrics.items())) for one in self.epochs]
        told = repr((numbers, sorted(self.closing.items())))
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass
class _Open:
    """A block that is being read."""

    first: int
    above: "_Above"
    last: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    epoch_lines: int = 0
    closing: dict[str, float] = field(default_factory=dict)
    odd: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    is_closed: bool = False

    def note(self, kind: str, text: str, line: int) -> None:
        self.odd.setdefault((kind, text), []).append(line)


@dataclass
class _Above:
    """What stands between the last block and the next: the nearest command line and heading.

    `near` are the settings of the headings right above: no other text lies between.
    """

    command: dict[str, Given] = field(default_factory=dict)
    heading: str = ""
    is_named: bool = False
    near: dict[str, Given] = field(default_factory=dict)
    has_text: bool = False

    def take_heading(self, one: Heading) -> None:
        self.near = merged(self.near, from_heading(one.text, one.line))
        named = _NAMED.search(one.text) is not None
        if any(char.isalnum() for char in one.text) and (named or not self.is_named):
            self.heading, self.is_named = one.text, named

    def take_text(self) -> None:
        self.near, self.has_text = {}, True


class Blocks:
    """Takes items in their order; `finish` gives the blocks.

    A block ends where the epochs begin again. An epoch that comes twice, or after a later one, is
    counted once, as it came first, and named.
    """

    def __init__(self) -> None:
        self._above = _Above()
        self._open: _Open | None = None
        self._done: list[Block] = []
        self._before: list[Odd] = []

    def take(self, item: Item) -> None:
        """Take in the next item."""
        match item:
            case Command():
                self._above.command = dict(item.given)
                self._above.has_text = False
                self._close()
            case Heading():
                self._above.take_heading(item)
                if item.begins:
                    self._close()
            case Prose():
                self._above.take_text()
            case Odd():
                self._odd(item)
            case LogRecord():
                self._record(item)

    def finish(self) -> tuple[Block, ...]:
        """All blocks, in the order of the file."""
        self._end()
        return tuple(self._done)

    def _close(self) -> None:
        if self._open is not None:
            self._open.is_closed = True

    def _odd(self, item: Odd) -> None:
        """What is odd between two blocks is told of the next one."""
        if self._open is None or (self._open.is_closed and item.kind != "cut_line"):
            self._before.append(item)
            del self._before[:-_LINES_KEPT]
        else:
            self._open.note(item.kind, item.text, item.line)

    def _record(self, record: LogRecord) -> None:
        if _is_of_epoch(record) and record.epoch is not None and _tells(record):
            if not self._is_afterthought(record):
                self._epoch(record, record.epoch)
        elif record.kind == "final" and self._open is not None and not self._open.is_closed:
            self._closing(record)

    def _is_afterthought(self, record: LogRecord) -> bool:
        """Whether it only seems to be of the last epoch: a heading or command line came since."""
        if self._open is None or not self._open.is_closed:
            return False
        last = self._open.epochs[-1]
        return record.epoch == last.printed and not _again(last, record)

    def _closing(self, record: LogRecord) -> None:
        assert self._open is not None, "checked by the caller"
        told = {name: one for name, one in record.metrics.items() if _is_measured(name)}
        for name in told.keys() & self._open.closing.keys():
            if told[name] != self._open.closing[name]:
                text = f"{name} was told again after the last epoch, with another value"
                self._open.note("doubled_line", text, record.line)
        self._open.closing = {**told, **self._open.closing}
        self._open.last = record.line

    def _epoch(self, record: LogRecord, printed: float) -> None:
        if self._open is None or _begins_again(self._open, record, printed):
            self._end()
            self._open = _Open(record.line, self._above)
            self._above = _Above()
            for odd in self._before:
                self._open.note(odd.kind, odd.text, odd.line)
            self._before = []
        block = self._open
        block.last = record.line
        block.epoch_lines += 1
        known = block.epochs[-1] if block.epochs else None
        if known is None or printed > known.printed:
            number = int(printed) if printed.is_integer() else len(block.epochs) + 1
            running = record.pattern in _PROGRAMS_OWN
            metrics = dict(record.metrics)
            block.epochs.append(Epoch(record.line, printed, number, metrics, running))
        elif printed < known.printed or (_again(known, record) and not record.is_provisional):
            same = printed == known.printed and _same(known, record)
            how = "twice, alike" if same else "again, with other numbers; the first stand"
            block.note("doubled_epoch", f"epoch {printed:g} comes {how}", record.line)
        else:
            merged_metrics = _merged(known.metrics, record)
            block.epochs[-1] = Epoch(
                known.line, printed, known.epoch, merged_metrics, known.is_running
            )

    def _end(self) -> None:
        if self._open is not None:
            earlier = self._done[-1] if self._done else None
            self._done.append(_finished(self._open, earlier))
        self._open = None


def _is_of_epoch(record: LogRecord) -> bool:
    """Whether it closes an epoch; HF Trainer tells the train loss there with a step as well."""
    if record.kind != "step":
        return record.kind == "epoch"
    at_end = record.epoch is not None and record.epoch > 0 and record.epoch.is_integer()
    return at_end and record.pattern == "mapping"


def _tells(record: LogRecord) -> bool:
    """Whether it tells a measurement, and not a learning rate alone."""
    return any(_is_measured(name) for name in record.metrics)


def _is_measured(name: str) -> bool:
    """Whether a metric is one of this epoch, not a rate, nor the best so far."""
    words = name.split("_")
    return is_metric_name(name) and words[-1] != "lr" and "best" not in words


def _begins_again(block: _Open, record: LogRecord, printed: float) -> bool:
    first, last = block.epochs[0], block.epochs[-1]
    if printed > last.printed:
        return block.is_closed
    if printed > first.printed or (record.is_provisional and printed == last.printed):
        return False
    if block.is_closed:
        return True
    if block.closing:
        return not (printed == last.printed and _same(last, record))
    alone = printed == first.printed == last.printed
    return not alone or (_again(last, record) and not _same(last, record))


def _again(known: Epoch, record: LogRecord) -> bool:
    return bool(known.metrics.keys() & record.metrics.keys())


def _same(known: Epoch, record: LogRecord) -> bool:
    shared = known.metrics.keys() & record.metrics.keys()
    return bool(shared) and all(known.metrics[name] == record.metrics[name] for name in shared)


def _merged(metrics: Mapping[str, float], record: LogRecord) -> dict[str, float]:
    """A progress bar's later drawing wins; else what came first stands."""
    if record.is_provisional:
        return {**metrics, **record.metrics}
    return {**record.metrics, **metrics}


def _finished(found: _Open, earlier: Block | None) -> Block:
    epochs = _counted(found.epochs)
    given = merged(_command_for(found.above, earlier), found.above.near)
    for kind, text, line in _odd_course(epochs, found.closing, given, found.last):
        found.note(kind, text, line)
    oddities = tuple(
        Oddity(kind, len(lines), tuple(sorted(set(lines))[:_LINES_KEPT]), text)
        for (kind, text), lines in found.odd.items()
    )
    return Block(
        lines=(found.first, found.last),
        heading=found.above.heading,
        epochs=epochs,
        epoch_lines=found.epoch_lines,
        closing=found.closing,
        given=given,
        oddities=oddities,
    )


def _counted(epochs: list[Epoch]) -> tuple[Epoch, ...]:
    """Epochs counted from 1; those printed as 0.5 and the like are counted one by one."""
    whole = all(one.printed.is_integer() for one in epochs)
    shift = 1 if epochs[0].printed == 0 else 0
    return tuple(
        Epoch(
            one.line,
            one.printed,
            int(one.printed) + shift if whole else index,
            one.metrics,
            one.is_running,
        )
        for index, one in enumerate(epochs, 1)
    )


def _command_for(above: _Above, earlier: Block | None) -> dict[str, Given]:
    """The command line above; one that stood above the last block holds on if no text follows it.

    So one command line serves a row of blocks that have nothing but headings between them.
    """
    if above.command or earlier is None or above.has_text:
        return above.command
    return {n: one for n, one in earlier.given.items() if one.where != "heading"}


def _odd_course(
    epochs: tuple[Epoch, ...], closing: Mapping[str, float], given: Mapping[str, Given], last: int
) -> Iterator[tuple[str, str, int]]:
    """What is odd about the epochs as a whole: those that are missing, a closing line that lies."""
    numbers = [one.epoch for one in epochs]
    inside = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    if numbers[0] > 1:
        yield "missing_epochs", f"the first epoch is number {numbers[0]}", epochs[0].line
    if inside:
        yield "missing_epochs", f"within the block: {_few(inside)}", epochs[-1].line
    asked = given.get("epochs")
    if asked is not None and isinstance(asked.value, int) and numbers[-1] < asked.value:
        text = f"{numbers[-1]} epochs of the {asked.value} asked for ({asked.place})"
        yield "missing_epochs", text, last
    for name, value in closing.items():
        course = [one.metrics[name] for one in epochs if name in one.metrics]
        if name.startswith("dev_") and course and value not in course:
            yield "closing_differs", f"{name} {value:g} after the last epoch is no epoch's", last


def _few(numbers: Iterable[int]) -> str:
    words = [str(number) for number in numbers]
    more = f" and {len(words) - _LINES_KEPT} more" if len(words) > _LINES_KEPT else ""
    return ", ".join(words[:_LINES_KEPT]) + more
