"""Whole sweeps of the scripted trainer within this process, on the simulated clock."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from trytable.orchestrator.backends.base import Backend, Slot
from trytable.orchestrator.backends.fake import FakeBackend, Script, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import AnyEvent, Job, SimulatedSettings


def as_scripted(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
    """What the scripted trainer says, a tenth of a second a word."""
    assert isinstance(job.settings, SimulatedSettings)
    for said in simulated.events(job, job.settings):
        assert not isinstance(said, simulated.Crash)
        yield 0.1, said


def sweep_of(folder: Path, text: str, name: str = "quality") -> Sweep:
    """A sweep from its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return read_sweep(path, KINDS)


def play(
    sweep: Sweep,
    folders: Folders,
    script: Script = as_scripted,
    slots: Sequence[Slot] = (Slot("1"), Slot("2")),
    backend: Callable[[Sequence[Slot]], Backend] | None = None,
    **options: Any,
) -> str:
    """Run a sweep to its end; returns what was printed."""

    def start(_sweep: Sweep, _folders: Folders, slots: Sequence[Slot]) -> Backend:
        return backend(slots) if backend else FakeBackend(slots, script)

    printed = io.StringIO()
    run_sweep(
        sweep, folders, slots, Console(file=printed, width=200), start_backend=start, **options
    )
    return printed.getvalue()
