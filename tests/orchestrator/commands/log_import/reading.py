"""Reads logs of the tests."""

from io import BytesIO
from pathlib import Path

from trytable.orchestrator.commands.log_import.blocks import Block
from trytable.orchestrator.commands.log_import.lines import read_line_items
from trytable.orchestrator.commands.log_import.runs import BlockBuilder

LOGS = Path(__file__).parent / "logs"


def blocks_of(raw: bytes | str, name: str = "a.log") -> tuple[Block, ...]:
    """The blocks of some bytes, read as a file of that name."""
    builder = BlockBuilder()
    for item in read_line_items(Path(name), BytesIO(raw.encode() if isinstance(raw, str) else raw)):
        builder.add(item)
    return builder.finish()


def kinds(block: Block) -> dict[str, tuple[int, ...]]:
    """The lines of each kind of issue."""
    return {issue.kind: issue.lines for issue in block.issues}


def values(block: Block) -> dict[str, object]:
    """The settings that were found."""
    return {name: setting.value for name, setting in block.settings.items()}


def run_of(*numbers: float, first: int = 0) -> str:
    """Lines of a run with these dev accuracies."""
    lines = (
        f"epoch {first + index}: train loss :: 1.500, train acc :: 0.400, dev acc :: {one:.3f}\n"
        for index, one in enumerate(numbers)
    )
    return "".join(lines)
