"""Writes a check as one JSON file and one Markdown table."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.gpu.records import CheckResult, StepResult
from trytable.files import write_atomic
from trytable.results.text.escape import markdown

JSON_FILE, MARKDOWN_FILE = "gpu-check.json", "gpu-check.md"


def write(check: CheckResult, folder: Path) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(check.to_json(), indent=1, ensure_ascii=False)
    write_atomic(folder / JSON_FILE, f"{document}\n".encode())
    write_atomic(folder / MARKDOWN_FILE, to_markdown(check).encode())


def to_markdown(check: CheckResult) -> str:
    """Return a line about the machine, a table with a row for each step, and the counts."""
    machine = ", ".join(f"{name} {_value(value)}" for name, value in check.machine.items())
    head = ["step", "ended", "seconds", "right answer", "shown"]
    rows = [head, ["---"] * len(head), *map(_row, check.steps)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{markdown(machine)}\n\n{table}\n\n{summary(check)}\n"


def summary(check: CheckResult) -> str:
    """Return how many steps ended in which way, in one line."""
    counts = Counter(step.status for step in check.steps)
    ends = ", ".join(f"{count} {status}" for status, count in counts.items())
    return (
        f"{len(check.steps)} steps on {check.device} in {check.seconds:.0f} s: {ends}. "
        f"NOT RUN here: {check.not_run_count} (steps and parts of steps)."
    )


def _row(step: StepResult) -> list[str]:
    lines = [
        *(f"PROBLEM: {problem}" for problem in step.problems),
        *(f"{name}: {_value(value)}" for name, value in step.figures.items()),
        *(f"NOT RUN: {part}" for part in step.not_run),
    ]
    status = "NOT RUN" if step.status == "not run" else step.status
    time = f"{step.seconds:.0f} of {step.limit_seconds:.0f}"
    shown = "<br>".join(map(markdown, lines))
    return [markdown(step.name), status, time, markdown(step.answer), shown]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)
