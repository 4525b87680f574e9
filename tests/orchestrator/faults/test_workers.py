"""What workers do to a running sweep: cling to their pipe, flood it, end in two ways at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.orchestrator.faults.aftermath import check_sound
from tests.orchestrator.playing import as_scripted, play, sweep_of
from tests.orchestrator.running import (
    family,
    run,
    start,
    write_sweep,
)
from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.backends.fake import ScriptedExit
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.integrity import check_studies
from trytable.trainers.protocol.messages import AnyEvent, Failed, Job

SCRIPT = """
trainer: script
command: ["{python}", train.py, "{lr}"]
objective: {name: dev_acc, direction: maximize}
attempts: 1
parameters: {lr: [0.1, 0.2]}
"""
GIB_LINE = """
import sys
chunk = "x" * 2**20
for _ in range(1024):
    sys.stdout.write(chunk)
print()
for epoch in range(2):
    print(f"epoch {epoch}: dev acc :: {float(sys.argv[1]) + epoch / 100}")
"""


def test_a_line_of_a_gibibyte_costs_no_memory(folder: Path) -> None:
    (folder / "train.py").write_text(GIB_LINE)
    write_sweep(folder, SCRIPT)
    sweep = start(folder, SLOTS="1")
    largest = 0
    while sweep.poll() is None:
        for process in (psutil.Process(sweep.pid), *family(sweep)):
            try:
                largest = max(largest, process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    printed, _ = sweep.communicate()
    assert sweep.returncode == 0, printed
    assert 2**20 < largest < 700 * 2**20, "of which the orchestrator's libraries are most"
    found = check_sound(folder)
    assert found.counts == {"completed": 2}


LEAVES_CHILDREN = """
import subprocess, sys
nothing = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
for own_session in (False, True):
    subprocess.Popen([sys.executable, "-c", nothing], start_new_session=own_session)
for epoch in range(2):
    print(f"epoch {epoch}: dev acc :: {float(sys.argv[1]) + epoch / 100}")
"""


def test_a_grandchild_that_holds_the_pipe_holds_nothing_up_and_is_killed(folder: Path) -> None:
    """Also one with a session of its own, which ignores SIGTERM."""
    (folder / "train.py").write_text(LEAVES_CHILDREN)
    write_sweep(folder, SCRIPT)
    code, printed = run(folder, seconds=120)
    assert code == 0, printed
    assert check_sound(folder).counts == {"completed": 2}


RACE = """
trainer: scripted
attempts: 1
baseline: {value: 0.9, epochs: 4}
parameters:
  value: [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]
pruner: {name: median, startup_trials: 1, warmup_epochs: 0}
"""


@pytest.mark.parametrize("ending", ["completes", "fails", "dies"])
def test_a_stop_that_races_with_the_end(tmp_path: Path, ending: str) -> None:
    """The worker says its end in the very moment in which the pruner asks for another one."""

    def script(job: Job) -> Iterator[tuple[float, AnyEvent | ScriptedExit]]:
        for seconds, word in as_scripted(job):
            assert not isinstance(word, ScriptedExit)
            if word.event == "finished" and job.number > 0 and ending != "completes":
                if ending == "fails":
                    yield 0.0, Failed(attempt=job.attempt, kind="error", message="too late")
                return
            yield 0.0 if word.event != "started" and job.number > 0 else seconds, word

    folders = Folders(tmp_path / "runs", "quality")
    play(sweep_of(tmp_path, RACE), folders, script, [Slot("1")])
    (found,) = check_studies(folders)
    assert found.problems == ()
    assert found.trial_count == 6
    ended = sum(found.counts.get(one, 0) for one in ("completed", "pruned", "failed"))
    assert ended == 6
    if ending == "completes":  # what was said wins over a stop that came too late
        assert found.counts == {"completed": 6}
    else:  # a stop that was asked for is the reason why it ended
        assert found.counts == {"completed": 1, "pruned": 5}
