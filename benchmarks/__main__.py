"""`make bench`: every benchmark, one after the other; DATA=folder measures epochs on your text."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import bookkeeping, epochs, frozen, observing, report, starting
from benchmarks.measure import Result


def main() -> None:
    """Run all, then print a table."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("benchmark", "measured", "aim", "reached"):
        table.add_column(heading, overflow="fold")
    for benchmark in _benchmarks():
        result = benchmark()
        console.print(f"{result.name}: {result.figures}", highlight=False, soft_wrap=True)
        table.add_row(result.name, result.figures, result.aim, "yes" if result.reached else "no")
    console.print()
    console.print(table)


def _benchmarks() -> Iterator[Callable[[], Result]]:
    data = os.environ.get("TRYTABLE_DATA") or "docstrings"
    for work in (
        bookkeeping.run,
        starting.run,
        report.run,
        lambda folder: epochs.run(folder, data),
        lambda folder: frozen.run(folder, "half"),
        lambda folder: frozen.run(folder, "full"),
        observing.run,
    ):
        with tempfile.TemporaryDirectory() as folder:
            yield lambda: work(Path(folder))  # noqa: B023 - called before the next turn


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
