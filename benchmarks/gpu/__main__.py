"""`python -m benchmarks.gpu`: runs the check, and exits with 1 if a step failed.

`make gpu-check DEVICE=cuda|cpu OUT=folder` is the same.
"""

import argparse
import importlib
import os
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.gpu import table
from benchmarks.gpu.card import CPU, first_card
from benchmarks.gpu.plan import STEPS, TOTAL_SECONDS
from benchmarks.gpu.records import CheckResult, Notes, StepResult
from benchmarks.gpu.runner import Runner, log_path
from benchmarks.gpu.space import open_space

PACKAGES = ("torch", "transformers", "accelerate", "peft", "optuna", "SQLAlchemy", "pydantic")
"""The packages whose versions the output states; torch is the machine's own."""


LOG_FILE = "gpu-check.log"

CPU_PATIENCE = 2.0
"""A step has so many times its limit on a CPU, which other programs may keep busy."""


def main(arguments: list[str]) -> int:
    """Run the check, or one step of it. Returns the exit code: 2 for a wrong argument."""
    options = _parser().parse_args(arguments)
    if options.step:
        return _run_step(options.step, options.device, options.work, options.notes)
    device = options.device or os.environ.get("TRYTABLE_DEVICE") or ("cuda" if _card() else CPU)
    problem = _problem(device, options.only)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="trytable-gpu-") as scratch:
        check = _check(device, Path(options.work or scratch).resolve(), options)
    print(f"\n{table.summary(check)}\n{options.out / table.MARKDOWN_FILE}")
    return int(check.has_failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="", help="cuda or cpu; by default cuda if there is one")
    out = Path(os.environ.get("TRYTABLE_OUT") or "runs/gpu-check")
    parser.add_argument("--out", type=Path, default=out, help="the folder for the results")
    parser.add_argument("--only", nargs="*", default=[], help="names of the steps to run")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="the time for all")
    parser.add_argument("--patience", type=float, help="time limits of steps in multiples")
    parser.add_argument("--work", type=Path, help="keep models, data and studies in this folder")
    parser.add_argument("--step", help=argparse.SUPPRESS)  # the runner's own
    parser.add_argument("--notes", type=Path, help=argparse.SUPPRESS)
    return parser


def _problem(device: str, only: list[str]) -> str:
    """Return what is wrong with the arguments; empty if nothing is."""
    if device not in ("cuda", CPU):
        return f"DEVICE={device!r} is not a device of this check. Allowed: cuda, cpu."
    if device == "cuda" and not _card():
        return "DEVICE=cuda: there is no GPU that this process may use. Use DEVICE=cpu to rehearse."
    names = [step.name for step in STEPS]
    unknown = [name for name in only if name not in names]
    if unknown:
        return f"There is no step {', '.join(unknown)}. Allowed: {', '.join(names)}."
    return ""


def _card() -> bool:
    return first_card() is not None


def _check(device: str, work: Path, options: argparse.Namespace) -> CheckResult:
    """Run the steps. All files are written after each, so that a kill leaves what came so far."""
    machine, began = _machine(), time.monotonic()
    checks = [CheckResult(machine, device, 0.0, ())]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / LOG_FILE).write_bytes(b"")

    def on_end(step: StepResult) -> None:
        _print(step)
        _append_log(options.out / LOG_FILE, work, step)
        steps = (*checks[-1].steps, step)
        checks.append(CheckResult(machine, device, time.monotonic() - began, steps))
        table.write(checks[-1], options.out)

    patience = options.patience or (CPU_PATIENCE if device == CPU else 1.0)
    runner = Runner(device, work, began + options.seconds, patience=patience, on_end=on_end)
    needed = {*options.only, STEPS[0].name}
    runner.run([step for step in STEPS if not options.only or step.name in needed])
    return checks[-1]


def _append_log(log: Path, work: Path, step: StepResult) -> None:
    own = log_path(work, step.name)
    with log.open("ab") as file:
        file.write(f"== {step.name}: {step.status}\n".encode())
        file.write(own.read_bytes() if own.exists() else b"")


def _print(step: StepResult) -> None:
    print(f"{step.status:12} {step.name} ({step.seconds:.0f} s)", flush=True)
    for problem in step.problems:
        print(f"             {problem}", flush=True)


def _machine() -> dict[str, Any]:
    card = first_card()
    installed = {each.name for each in metadata.distributions()}
    versions = {
        name: metadata.version(name) if name in installed else "missing" for name in PACKAGES
    }
    return {
        **(card.describe() if card else {}),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **versions,
    }


def _run_step(name: str, device: str, work: Path, notes_path: Path) -> int:
    """Run one step in this process; an exception ends it with a traceback and exit code 1."""
    step = next(step for step in STEPS if step.name == name)
    module, _, function = step.function.partition(":")
    notes = Notes(notes_path)
    space = open_space(device, work)
    getattr(importlib.import_module(f"benchmarks.gpu.steps.{module}"), function)(space, notes)
    notes.complete()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
