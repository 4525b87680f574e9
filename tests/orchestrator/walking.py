"""`python -m tests.orchestrator.walking FOLDER STRIDE [drained]`: an orchestrator that is killed
before each of its writes in turn (or every second, third ... one), gone on with by a second one,
and looked at after both.

Prints a JSON line a failpoint. A program of its own, since it forks: what is imported once serves
hundreds of orchestrators. Their workers are played on a simulated clock; what they say lies in
their files before the orchestrator hears it, as it does with real ones.
"""

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path

import optuna
import optuna_dashboard  # noqa: F401 - each child would import it, for a second
from optuna.trial import TrialState
from rich.console import Console

from tests.failpoints import Failpoints, Walked, forked
from trytable.orchestrator.backends.base import Backend, Slot, WorkerEvent, WorkerMessage
from trytable.orchestrator.backends.fake import FakeBackend, ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.integrity import check_studies
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.results.storage.reader import read_study
from trytable.sweeps.config.loader import Sweep, read_sweep
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import AnyEvent, Job, SimulatedSettings

SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 3}
parameters:
  value: [0.1, 0.5, 0.7, 0.9]
pruner: {name: asha, min_epochs: 2, reduction_factor: 2}
"""
POINTS = [0.1, 0.5, 0.7, 0.9]
DIES_ONCE = 0.7
"""The point whose first attempt is killed in its second epoch."""

SLOTS = [Slot("1"), Slot("2")]
POLLS_BEFORE_INTERRUPT = 5


def played(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
    assert isinstance(job.settings, SimulatedSettings)
    for said in simulated.events(job, job.settings):
        assert not isinstance(said, simulated.Crash)
        if job.settings.value == DIES_ONCE and job.attempt == 1 and _epoch(said) == 2:
            yield 0.1, ScriptedExit("killed by SIGKILL")
            return
        yield 0.1, said


def _epoch(said: AnyEvent) -> int:
    return said.epoch if said.event == "step" else 0


class WritingBackend(FakeBackend):
    """Writes job.json and events.jsonl as workers do; may press Ctrl-C on the way."""

    def __init__(self, slots: Sequence[Slot], interrupted: bool) -> None:
        super().__init__(slots, played)
        self._folders: dict[str, Path] = {}
        self._left = POLLS_BEFORE_INTERRUPT if interrupted else -1

    def start(self, job: Job, slot: Slot) -> None:
        folder = self._folders[job.trial_uid] = Path(job.folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "job.json").write_text(job.model_dump_json())
        super().start(job, slot)

    def poll(self, timeout_seconds: float) -> Sequence[WorkerMessage]:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        messages = super().poll(timeout_seconds)
        for message in messages:
            if isinstance(message, WorkerEvent):
                path = self._folders[message.trial_uid] / "events.jsonl"
                with path.open("a") as file:
                    file.write(message.event.model_dump_json() + "\n")
        return messages


def play(sweep: Sweep, folders: Folders, interrupted: bool = False) -> None:
    def start(_sweep: Sweep, _folders: Folders, slots: Sequence[Slot]) -> Backend:
        return WritingBackend(slots, interrupted)

    console = Console(file=io.StringIO())
    run_sweep(sweep, folders, SLOTS, console, start_backend=start)


def walk(folder: Path, stride: int, interrupted: bool) -> Iterator[Walked]:
    """Kill before one write after another, until a run ends by itself."""
    (folder / "walk.yaml").write_text(SWEEP)
    sweep = read_sweep(folder / "walk.yaml", KINDS)
    folders = Folders(folder / "runs", "walk")
    log = folder / "failpoints.log"
    for number in count(1, stride):
        shutil.rmtree(folders.runs, ignore_errors=True)

        def killed(number: int = number) -> None:
            Failpoints(folders.runs, number, log).install()
            play(sweep, folders, interrupted)

        first = forked(killed)
        where = log.read_text().splitlines()[-1]
        problems = [f"after the kill: {one}" for one in _consistency(folders)]
        second = forked(lambda: play(sweep, folders))
        problems += _consistency(folders) or _completeness(folders)
        yield Walked(number, where, first, second, tuple(problems))
        if first != -signal.SIGKILL:
            return


def _consistency(folders: Folders) -> list[str]:
    if not folders.database.exists():
        return []
    found = check_studies(Folders(folders.runs, ""))
    return [problem for one in found for problem in one.problems]


def _completeness(folders: Folders) -> list[str]:
    """Each point ended once, with the values of its script; no result was trained again."""
    trials = optuna.load_study(study_name="walk", storage=folders.url).trials
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    found = sorted(trial.params["value"] for trial in trials if trial.state in ended)
    problems = [] if found == POINTS else [f"the points {found} have ended"]
    for trial in trials:
        settings = SimulatedSettings(value=trial.params.get("value", 0.0), epochs=3)
        for epoch, value in trial.intermediate_values.items():
            if value != simulated.accuracy(settings, epoch):
                problems.append(f"trial {trial.number} reports {value} after epoch {epoch}")
    shown = {
        (t.number, a.attempt) for t in read_study(folders.url, "walk").trials for a in t.attempts
    }
    for trial_folder in sorted(folders.trials.iterdir()):
        number = int(trial_folder.name)
        said = [
            json.loads(line) for line in (trial_folder / "events.jsonl").read_text().splitlines()
        ]
        if sum(one["event"] == "finished" for one in said) > 1:
            problems.append(f"trial {number} was trained again after its result was written")
        missing = {(number, one["attempt"]) for one in said} - shown
        problems += [f"{one} is not in the Try table" for one in sorted(missing)]
    return problems


if __name__ == "__main__":
    for walked in walk(Path(sys.argv[1]), int(sys.argv[2]), "drained" in sys.argv):
        print(json.dumps(asdict(walked)), flush=True)  # noqa: T201 - its answer
