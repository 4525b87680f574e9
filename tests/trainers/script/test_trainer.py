"""Runs real scripts: what they print becomes events, and however they end has one name."""

import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from trytable.records import DataSource, LaunchSettings, Objective, Refused, Scalar
from trytable.trainers.protocol.messages import (
    Epoch,
    Event,
    Failed,
    Finding,
    Finished,
    Job,
    ScriptSettings,
    Started,
    StopReason,
)
from trytable.trainers.script import trainer

Run = Callable[..., "Heard"]


class Heard:
    """A Line that keeps what is said; a stop comes once `stop_when` holds."""

    def __init__(self, stop_when: Callable[["Heard"], bool]) -> None:
        self.events: list[Event] = []
        self._stop_when = stop_when

    def send(self, event: Event) -> None:
        self.events.append(event)

    def stop_reason(self) -> StopReason | None:
        return "prune" if self._stop_when(self) else None

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def failure(self) -> Failed:
        (found,) = self.of(Failed)
        assert isinstance(found, Failed)
        return found


def job_of(folder: Path, launch: LaunchSettings, values: dict[str, Scalar]) -> Job:
    return Job(
        study="s",
        trial_uid="t",
        number=0,
        attempt=1,
        folder=str(folder),
        cache_folder=str(folder),
        model="",
        data=DataSource(),
        settings=ScriptSettings(launch=launch, values=values),
        seed=7,
        objective=Objective(name="dev_acc", direction="maximize"),
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program in Python to its end; keywords are the launch's, or values."""

    def run_program(
        program: str,
        stop_when: Callable[[Heard], bool] = lambda _: False,
        values: dict[str, Scalar] | None = None,
        **launch: Any,
    ) -> Heard:
        (tmp_path / "its.py").write_text(textwrap.dedent(program))
        command = ("{python}", "its.py", *(["{params}"] if values else []))
        asked = LaunchSettings(
            **{"command": command, "cwd": str(tmp_path), "observe": False, **launch}
        )
        heard = Heard(stop_when)
        job = job_of(tmp_path, asked, values or {})
        assert isinstance(job.settings, ScriptSettings)
        trainer.train(job, job.settings, heard)
        return heard

    return run_program


EPOCHS = """
for epoch in range(3):
    accuracy = [0.3, 0.5, 0.4][epoch]
    print(f"epoch {epoch}: train loss :: {1 / (epoch + 1):.3f}, dev acc :: {accuracy}")
"""


def test_lines_become_epochs_and_a_result(run: Run) -> None:
    heard = run(EPOCHS)
    assert len(heard.of(Started)) == 1
    assert [(one.epoch, one.value, one.dev_accuracy) for one in heard.of(Epoch)] == [
        (1, 0.3, 0.3), (2, 0.5, 0.5), (3, 0.4, 0.4)
    ]  # fmt: skip
    assert heard.of(Epoch)[0].metrics == {}
    assert heard.of(Epoch)[0].dev_loss is None
    (done,) = heard.of(Finished)
    assert (done.best_epoch, done.best_value, done.best_dev_accuracy) == (2, 0.5, 0.5)


def test_epochs_come_as_they_are_printed(run: Run, tmp_path: Path) -> None:
    def touch(heard: Heard) -> bool:
        if heard.of(Epoch):
            (tmp_path / "seen").touch()
        return False

    heard = run(
        """
        import pathlib, time
        print("epoch 0: dev acc :: 0.1")  # unbuffered, although it is a pipe
        while not pathlib.Path("seen").exists():
            time.sleep(0.01)
        """,
        stop_when=touch,
    )
    assert heard.of(Finished)


@pytest.mark.parametrize(
    ("program", "kind", "said"),
    [
        (
            "print('hello')",
            "no_metric",
            "exit code 0 without reporting dev_acc; its last lines: hello",
        ),
        ("", "no_metric", "it printed nothing"),
        ("import sys; print('oh'); sys.exit(3)", "exit_code", "exit code 3; its last lines: oh"),
        ("1 / 0", "exit_code", "ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", "killed", "it was killed by signal 9"),
        (
            "import time; print('so far'); time.sleep(60)",
            "no_progress",
            "nothing for 0.005 minutes",
        ),
    ],
)
def test_every_bad_end_has_its_name(program: str, kind: str, said: str, run: Run) -> None:
    minutes = 0.005 if kind == "no_progress" else 60
    heard = run(program, no_progress_minutes=minutes)
    assert heard.failure.kind == kind
    assert said in heard.failure.message
    assert not heard.of(Finished)


def test_a_program_that_is_not_there_is_the_persons(run: Run) -> None:
    heard = run("", command=("no-such-program",))
    assert (heard.failure.kind, "no-such-program" in heard.failure.message) == ("user", True)


def test_a_stop_lets_the_script_clean_up(run: Run, tmp_path: Path) -> None:
    heard = run(
        """
        import pathlib, signal, sys, time
        def clean(*_):
            pathlib.Path("clean").touch()
            sys.exit(0)
        signal.signal(signal.SIGTERM, clean)
        print("epoch 0: dev acc :: 0.1")
        time.sleep(60)
        """,
        stop_when=lambda h: bool(h.of(Epoch)),
    )
    assert (tmp_path / "clean").exists()
    assert not heard.of(Failed)
    assert not heard.of(Finished)


DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"],
    start_new_session=True)
open("pids", "w").write(f"{os.getpid()} {child.pid}")
print("epoch 0: dev acc :: 0.1")
time.sleep(%s)
"""


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_what_is_deaf_is_killed_after_its_grace(run: Run, tmp_path: Path) -> None:
    run(DEAF % 600, stop_when=lambda h: bool(h.of(Epoch)), grace_seconds=0.2)
    assert not any(psutil.pid_exists(pid) for pid in pids(tmp_path))


def test_grandchildren_that_hold_the_pipe_hold_nothing_up(run: Run, tmp_path: Path) -> None:
    heard = run(DEAF % 0)
    assert heard.of(Finished)
    assert not any(psutil.pid_exists(pid) for pid in pids(tmp_path))


def test_nothing_is_left_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    """The worker is this test's own child, killed as a dying fork server would."""
    (tmp_path / "its.py").write_text(DEAF % 600)
    launch = LaunchSettings(command=("{python}", "its.py"), cwd=str(tmp_path), observe=False)
    program = (
        "import sys; from trytable.trainers.script import trainer\n"
        "from trytable.trainers.protocol.messages import Job\n"
        "class L:\n"
        "  def send(self, e): pass\n"
        "  def stop_reason(self): return None\n"
        "job = Job.model_validate_json(sys.argv[1]); trainer.train(job, job.settings, L())"
    )
    job = job_of(tmp_path, launch, {}).model_dump_json()
    worker = psutil.Popen([sys.executable, "-c", program, job], cwd=Path(__file__).parents[3])
    try:
        until(lambda: (tmp_path / "pids").exists() and len(pids(tmp_path)) == 2)
        family = worker.children(recursive=True)
    finally:
        worker.kill()
        worker.wait()
    assert len(family) == 3  # supervisor, script, grandchild
    gone, alive = psutil.wait_procs(family, timeout=120)
    assert (len(gone), alive) == (3, [])


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_garbage_is_survived(run: Run, tmp_path: Path) -> None:
    heard = run(
        r"""
        import os, sys
        out = sys.stdout.buffer
        out.write(b"\xff\xfe\x00 broken \x80\n" + b"{" * 5000 + b"\n")
        out.write(b"\r 10%|#   | 1/10\r100%|####| 10/10\repoch 1: dev acc :: 0.25\n")
        for _ in range(200):
            out.write(b"x" * 2**20)  # one line of 200 MiB
        out.write(b"\nepoch 2: dev acc :: nan\nepoch 3: dev acc :: 0.5\x80")
        """
    )
    assert [one.value for one in heard.of(Epoch) if one.value == one.value] == [0.25, 0.5]
    assert (tmp_path / trainer.LOG_NAME).stat().st_size < trainer.MAX_LOG_BYTES + 1000


def test_metrics_come_from_a_file_too(run: Run) -> None:
    heard = run(
        """
        import json
        with open("m.jsonl", "w") as file:
            for epoch in (1, 2):
                print(json.dumps({"epoch": epoch, "dev_acc": epoch / 10}), file=file)
        """,
        metrics_file="m.jsonl",
    )
    assert [one.value for one in heard.of(Epoch)] == [0.1, 0.2]


def test_values_reach_the_script_and_a_wrong_echo_is_told(run: Run) -> None:
    program = """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float)
        parser.add_argument("--note")
        args = vars(parser.parse_args())
        print("args:", {**args, "lr": %s})
        print("epoch 0: dev acc :: 0.1")
        """
    values: dict[str, Scalar] = {"lr": 1e-4, "note": "-a b"}
    assert not run(program % "args['lr']", values=values).of(Finding)
    (found,) = run(program % "1e-3", values=values).of(Finding)
    assert (found.kind, found.severity) == ("mismatch", "error")
    assert found.message == "lr: 0.0001 requested, 0.001 found"


def test_the_environment_is_the_persons_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    heard = run(
        """
        import os
        assert os.environ["PYTHONPATH"] == "/mine", os.environ["PYTHONPATH"]
        assert os.environ["RATE"] == "7"
        print("epoch 0: dev acc :: 0.1")
        """,
        env={"RATE": "{seed}"},
    )
    assert heard.of(Finished)


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ({"command": ("no-such-program",)}, "there is no program 'no-such-program'"),
        ({"command": ("./its.sh",)}, "there is no program './its.sh'"),
        ({"command": ("{python}", "gone.py")}, "there is no file .*gone.py"),
        ({"command": ("true",), "cwd": "/no/such"}, "cwd /no/such is not a folder"),
    ],
)
def test_a_command_that_cannot_run_is_refused_before(
    launch: dict[str, Any], said: str, tmp_path: Path
) -> None:
    asked = LaunchSettings(**{"cwd": str(tmp_path), **launch})
    job = job_of(tmp_path, asked, {})
    with pytest.raises(Refused, match=said):
        trainer.check_command(ScriptSettings(launch=asked, values={}), trainer.command_context(job))
