"""The functions that a swept value passes, from the YAML file until its worker has its job.

A small real sweep of the scripted trainer runs under Python's profiling hook, in this process and
in the worker's. A function is on the way if the value reaches it and goes on from it towards the
job: by a call, by a result, or by an object whose later method passes it on. Functions that only
look at the value, such as those of the ledger and of the display, are not on the way.
"""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.measure import Result
from benchmarks.tracing import Function, ValueTracer
from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import read_sweep

MAX_FUNCTIONS, MAX_FILES, MAX_VALIDATIONS = 28, 9, 2
"""Half of what it was when every function on the way was first counted."""

_TOP = Path(__file__).resolve().parents[1]
_VALUE = 0.0123456
_SWEEP = f"""
trainer: scripted
baseline: {{value: 0.5, epochs: 1}}
parameters:
  value: [{_VALUE}, 0.5]
"""
_CHILD = """
import json, os
from benchmarks.tracing import ValueTracer

def write(tracer, caller):
    with open(os.environ["VALUE_PATH_FILE"], "w") as file:
        json.dump({"function": caller, "validations": tracer.validations}, file)

roots = json.loads(os.environ["VALUE_PATH_ROOTS"])
is_end = lambda function: function[0].endswith("worker.py") and function[1] == "run"
ValueTracer(roots, float(os.environ["VALUE_PATH_VALUE"]), is_end, write).start()
"""


def trace(
    folder: Path, start: Callable[[Path], object], top: Path, package: str
) -> tuple[list[Function], list[str]]:
    """Run a sweep from a file and return the functions and the validations on the value's way.

    `start` gets the sweep's file. `package` is the folder below `top` that the rooms are imported
    from.
    """
    rooms = ("sweeps", "orchestrator", "trainers", "results")
    roots = {f"{top}/{package}{room}/": f"{room}/" for room in rooms}
    path, worker = folder / "traced.yaml", folder / "worker.json"
    path.write_text(_SWEEP)
    (folder / "sitecustomize.py").write_text(_CHILD)
    child = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(_TOP), str(top)]),
        "VALUE_PATH_FILE": str(worker),
        "VALUE_PATH_ROOTS": json.dumps(roots),
        "VALUE_PATH_VALUE": repr(_VALUE),
    }
    previous = {name: os.environ.get(name) for name in child}
    os.environ.update(child)
    tracer = ValueTracer(roots, _VALUE, lambda function: function[1] == "LocalBackend.start")
    try:
        tracer.start()
        start(path)
    finally:
        for name, value in previous.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})
    end = json.loads(worker.read_text())
    functions: list[Function] = [*reversed(tracer.path()), tuple(end["function"])]
    return functions, [*tracer.validations, *end["validations"]]


def run(folder: Path) -> Result:
    """Trace a sweep of this checkout and print the value's way."""

    def start(path: Path) -> None:
        folders = Folders(folder / "runs", "traced")
        sweep = read_sweep(path, KINDS)
        run_sweep(sweep, folders, [Slot("1")], Console(file=io.StringIO()))

    return report(*trace(folder, start, _TOP, "trytable/"))


def report(functions: list[Function], validations: list[str]) -> Result:
    """Print every function and every validation, and count them."""
    for file, name in functions:
        print(f"{file}: {name}")
    for place in validations:
        print(f"validated at {place}")
    files = len({file for file, _ in functions})
    counts = (len(functions), files, len(validations))
    figures = "{} functions in {} files, validated {} times".format(*counts)
    limits = (MAX_FUNCTIONS, MAX_FILES, MAX_VALIDATIONS)
    aim = "at most {} functions in {} files, validated {} times".format(*limits)
    is_reached = all(count <= limit for count, limit in zip(counts, limits, strict=True))
    return Result("value path", figures, aim, is_reached)
