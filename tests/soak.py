"""`python -m tests.soak [KILLS] [SEED]`: kill at random, over a grid of 200 points, and look.

Orchestrators, workers and fork servers are killed with SIGKILL at random moments of real sweeps.
After each kill nothing may be lost or doubled, and after an orchestrator's no process may be left.
When a grid is done before all kills are, another begins. `make soak` runs it; it takes its time.
"""

import io
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import optuna_dashboard  # noqa: F401 - each orchestrator would import it, for a second
import psutil
from rich.console import Console
from rich.progress import track

from tests.orchestrator.playing import sweep_of
from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.run.sweep import run_sweep
from trytable.orchestrator.study.integrity import STATUSES, check_studies
from trytable.results.storage.reader import read_study
from trytable.sweeps.config.loader import Sweep
from trytable.trainers.entrypoints import simulated
from trytable.trainers.protocol.messages import SimulatedSettings

POINTS = 200
SLOTS = [Slot("1"), Slot("2")]
SWEEP = f"""
trainer: scripted
attempts: 5
baseline: {{value: 0.5, epochs: 3, epoch_seconds: 0.7}}
parameters:
  value: [{", ".join(f"0.{number:04}" for number in range(4900, 4900 + POINTS))}]
"""
WHOM = ("orchestrator",) * 6 + ("worker",) * 3 + ("fork server",)
MEAN_SECONDS, MOST_SECONDS = 0.9, 3.0
"""How long the sweep goes on between two kills."""

GONE_SECONDS = 30.0


class Lost(Exception):
    """Something was lost or doubled, or a process was left."""


@dataclass
class Soak:
    """One soak. `draw` decides who is killed and when."""

    folder: Path
    draw: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    orchestrators: int = 0
    grids: int = 0
    pid: int = 0

    def run(self, kills: int) -> None:
        """Kill so many times, then let the last grid come to its end. Raises Lost."""
        sweep = self.next_grid()
        for _ in track(range(kills), "killing", console=Console(stderr=True)):
            while not self.kill_one(sweep):
                self.check_done()
                sweep = self.next_grid()
            self.check()
        self.start(sweep)
        os.waitpid(self.pid, 0)
        self.check_done()

    def next_grid(self) -> Sweep:
        """Another sweep of 200 points."""
        self.grids += 1
        return sweep_of(self.folder, SWEEP, f"soak{self.grids}")

    def start(self, sweep: Sweep) -> None:
        """Have an orchestrator run, in a process of its own."""
        if self.pid:
            return
        self.orchestrators += 1
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                run_sweep(sweep, self.folders, SLOTS, Console(file=io.StringIO()))
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)

    def kill_one(self, sweep: Sweep) -> bool:
        """Kill somebody after a while; False where the grid was done before that."""
        self.start(sweep)
        while True:
            time.sleep(min(self.draw.expovariate(1 / MEAN_SECONDS), MOST_SECONDS))
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.pid = 0
                if status:
                    raise Lost(f"an orchestrator ended with {os.waitstatus_to_exitcode(status)}")
                return False
            if self._killed(self.draw.choice(WHOM)):
                return True

    def _killed(self, whom: str) -> bool:
        """Kill one of a kind; False where there is none just now."""
        family = psutil.Process(self.pid).children(recursive=True)
        servers = [one for one in family if one.ppid() == self.pid]
        targets = {
            "orchestrator": [psutil.Process(self.pid)],
            "fork server": servers,
            "worker": [one for one in family if one not in servers],
        }[whom]
        if not targets:
            return False
        self.draw.choice(targets).send_signal(signal.SIGKILL)
        self.killed[whom] += 1
        if whom == "orchestrator":
            os.waitpid(self.pid, 0)
            self.pid = 0
            _, left = psutil.wait_procs(family, timeout=GONE_SECONDS)
            if left:
                raise Lost(f"left behind by a killed orchestrator: {left}")
        return True

    @property
    def folders(self) -> Folders:
        return Folders(self.folder / "runs", f"soak{self.grids}")

    def check(self) -> None:
        """What must hold at every moment. Raises Lost."""
        if self.folders.database.exists():
            for one in check_studies(Folders(self.folder / "runs", "")):
                if one.problems:
                    raise Lost(f"{one.name}: {'; '.join(one.problems)}")

    def check_done(self) -> None:
        """What must hold of a grid that is done. Raises Lost."""
        self.check()
        study = optuna.load_study(study_name=self.folders.study, storage=self.folders.url)
        ended = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        found = sorted(trial.params["value"] for trial in ended)
        failed = sum(trial.state.name == "FAIL" for trial in study.trials)
        if len(set(found)) != len(found) or len(found) + failed < POINTS:
            raise Lost(f"{len(found)} points have completed, {len(set(found))} different ones")
        for trial in ended:
            settings = SimulatedSettings(value=trial.params["value"], epochs=3)
            if trial.value != simulated.accuracy(settings, 3):
                raise Lost(f"trial {trial.number} has the value {trial.value}")

    def told(self) -> str:
        """The figures."""
        counts: Counter[str] = Counter()
        attempts = 0
        for one in check_studies(Folders(self.folder / "runs", "")):
            counts.update(one.counts)
            study = read_study(self.folders.url, one.name)
            attempts += sum(len(trial.attempts) for trial in study.trials)
        kills = ", ".join(f"{count} {whom}s" for whom, count in sorted(self.killed.items()))
        trials = ", ".join(f"{counts[one]} {one}" for one in STATUSES if counts[one])
        return (
            f"{self.killed.total()} kills ({kills}) over {self.grids} grid(s) of {POINTS} points: "
            f"{counts.total()} trials asked, {trials}; {attempts} attempts; "
            f"{self.orchestrators} orchestrators; nothing lost, nothing doubled."
        )


def main() -> None:
    """Soak, and print the figures; where something was lost, keep the folder and say where."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="trytable-soak-"))
    console = Console()
    console.print(f"seed {seed}, in {folder}")
    soak = Soak(folder, random.Random(seed))
    began = time.monotonic()
    try:
        soak.run(kills)
    except Lost as error:
        console.print(f"after {soak.killed.total()} kills: {error}", markup=False)
        sys.exit(1)
    console.print(f"{soak.told()} {time.monotonic() - began:.0f} s", markup=False)


if __name__ == "__main__":
    main()
