"""`make bench`: every benchmark, one after the other, or those named; DATA=folder measures epochs
on your text. `python -m benchmarks scale asking` runs two."""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import (
    asking,
    bookkeeping,
    epochs,
    frozen,
    observing,
    ray_tune,
    report,
    scale,
    search_quality,
    starting,
    value_path,
)
from benchmarks.measure import Result

BENCHMARKS: Mapping[str, Callable[[Path], Result]] = {
    "bookkeeping": bookkeeping.run,
    "starting": starting.run,
    "report": report.run,
    "epochs": lambda folder: epochs.run(folder, os.environ.get("TRYTABLE_DATA") or "docstrings"),
    "frozen-half": lambda folder: frozen.run(folder, "half"),
    "frozen-full": lambda folder: frozen.run(folder, "full"),
    "observing": observing.run,
    "asking": asking.run,
    "search-quality": search_quality.run,
    "scale": scale.run,
    "ray-tune": ray_tune.run,
    "value-path": value_path.run,
}


def main(names: Sequence[str]) -> None:
    """Run those named, or all, then print a table. Raises SystemExit for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        allowed = ", ".join(BENCHMARKS)
        sys.exit(f"There is no benchmark {', '.join(unknown)}. Allowed: {allowed}.")
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("benchmark", "measured", "aim", "reached"):
        table.add_column(heading, overflow="fold")
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            result = BENCHMARKS[name](Path(folder))
        console.print(f"{result.name}: {result.figures}", highlight=False, soft_wrap=True)
        table.add_row(result.name, result.figures, result.aim, "yes" if result.is_reached else "no")
    console.print()
    console.print(table)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main(sys.argv[1:])
