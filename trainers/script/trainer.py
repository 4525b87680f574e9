"""The trainer that runs the user's own script and turns its output into a trial's events."""

import hashlib
import os
import selectors
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from trytable.records import LaunchSettings, Refused
from trytable.trainers.protocol.messages import (
    Failed,
    FailureKind,
    Finished,
    Job,
    Line,
    ScriptSettings,
    Started,
)
from trytable.trainers.script.checks import ParameterCheck
from trytable.trainers.script.command import CommandContext, Invocation, build_invocation
from trytable.trainers.script.observation import OBSERVER_VARIABLE, Observation, observed_command
from trytable.trainers.script.output import ScriptOutput
from trytable.trainers.script.supervisor import (
    CommandExit,
    SupervisedCommand,
    script_environment,
    start_supervised,
)

LOG_NAME = "output.log"
MAX_LOG_BYTES = 64 * 2**20
"""How much of a script's output the log keeps. Metrics are read from all of it."""

_QUOTED_LINES = 3
_MAX_QUOTED_CHARACTERS = 200
_CHUNK_BYTES = 1 << 16
_OUT_OF_MEMORY = ("CUDA out of memory", "OutOfMemoryError")
_POLL_SECONDS = 0.2


def train(job: Job, settings: ScriptSettings, line: Line) -> None:
    """Run the script until it ends or is stopped. Raises Refused."""
    launch, context = settings.launch, command_context(job)
    invocation = build_invocation(launch, settings.values, context)
    for path, text in invocation.files.items():
        path.write_text(text, encoding="utf-8")
    started = _started(job, code_hash(invocation))
    check = ParameterCheck(job, launch, settings.values, line, started)
    words, unobserved_reason = invocation.words, ""
    if launch.observe:
        words, unobserved_reason = observed_command(words)
    observation = Observation(job, line, check, unobserved_reason)
    metrics_file = invocation.metrics_file
    files = () if metrics_file is None else (str(metrics_file),)
    output = ScriptOutput(job, launch, line, check, files)
    environment = {**script_environment(job.threads), **invocation.env}
    with (context.out / LOG_NAME).open("ab") as log:
        reader = _Reader(launch=launch, line=line, output=output, observation=observation, log=log)
        command = start_supervised(
            words, invocation.cwd, environment, launch.grace_seconds, OBSERVER_VARIABLE
        )
        try:
            reader.follow(command)
        except BaseException:
            command.stop()
            raise
        command_exit = command.wait()
        reader.finish()
    if launch.observe and not command_exit.cannot_start:
        observation.finish()
    _report_end(job, reader, command_exit)


def check_command(settings: ScriptSettings, context: CommandContext) -> str:
    """Check that the command can run, and return its `code_hash`. Raises Refused."""
    invocation = build_invocation(settings.launch, settings.values, context)
    if not invocation.cwd.is_dir():
        raise Refused(f"cwd {invocation.cwd} is not a folder.")
    program = invocation.words[0]
    if os.sep in program:
        is_executable = os.access(invocation.cwd / program, os.X_OK)
    else:
        is_executable = shutil.which(program, path=invocation.env.get("PATH")) is not None
    if not is_executable:
        raise Refused(
            f"command: there is no program {program!r} that can be run here. {{python}} is the "
            f"Python that runs Trytable, {sys.executable}."
        )
    script = next(iter(invocation.words[1:]), "")
    is_script = Path(program).name.startswith("python") and script.endswith(".py")
    if is_script and not (invocation.cwd / script).is_file():
        raise Refused(f"command: there is no file {invocation.cwd / script}.")
    return code_hash(invocation)


def command_context(job: Job) -> CommandContext:
    """Return what a job's command may use besides parameters.

    A GPU is `cuda` to it: CUDA_VISIBLE_DEVICES hides all others.
    """
    device = "cpu" if job.device == "cpu" else "cuda"
    return CommandContext(job.seed, Path(job.folder), device, sys.executable)


def code_hash(invocation: Invocation) -> str:
    """Return the sha256 of the files that the command names."""
    digest = hashlib.sha256()
    for word in invocation.words:
        path = invocation.cwd / word
        if path not in invocation.files and path.suffix and path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _started(job: Job, code: str) -> Started:
    return Started(
        attempt=job.attempt,
        effective={},
        parameters=0,
        trainable_parameters=0,
        data_hash="",
        code_hash=code,
        device=job.device,
        threads=job.threads,
        precision="",
        steps_per_epoch=0,
        steps_total=0,
        pid=os.getpid(),
    )


class _Reader:
    """Reads a command's pipes and metric files until it has ended, and stops it if need be.

    Attributes:
        hung: it was stopped since it printed nothing for too long.
        stopped: it was stopped since the orchestrator asked for it.
    """

    def __init__(
        self,
        *,
        launch: LaunchSettings,
        line: Line,
        output: ScriptOutput,
        observation: Observation,
        log: IO[bytes],
    ) -> None:
        self.line = line
        self.launch = launch
        self.output = output
        self.observation = observation
        self.hung = False
        self.stopped = False
        self._log = log
        self._logged_bytes = 0
        self._pipes: tuple[int, ...] = ()
        self._observations = -1
        self._last_output_at = time.monotonic()

    def follow(self, command: SupervisedCommand) -> None:
        """Read until the command has ended, by itself or after a stop."""
        self._pipes = (command.stdout, command.stderr, command.observations)
        self._observations = command.observations
        with selectors.DefaultSelector() as selector:
            for source in (*self._pipes, command.control):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in selector.select(_POLL_SECONDS)]
                for pipe in self._pipes:
                    if pipe in ready and self._read(pipe) == 0:
                        selector.unregister(pipe)
                if self.output.poll_files():
                    self._last_output_at = time.monotonic()
                if command.control.fileno() in ready:
                    return
                self._stop_if_needed(command)

    def finish(self) -> None:
        """Read what is left in the pipes after the last writer has ended."""
        for pipe in self._pipes:
            while self._read(pipe):
                pass
            os.close(pipe)
        self.output.finish()

    def _read(self, pipe: int) -> int:
        """Read a chunk and return its size, 0 at the end or if nothing is there."""
        try:
            chunk = os.read(pipe, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if chunk:
            self._last_output_at = time.monotonic()
            if pipe == self._observations:
                self.observation.feed(chunk)
                self.output.reports_steps = not self.observation.has_steps
            else:
                self._write_log(chunk)
                self.output.feed(pipe, chunk)
        return len(chunk)

    def _write_log(self, chunk: bytes) -> None:
        room = MAX_LOG_BYTES - self._logged_bytes
        with suppress(OSError):  # a full disk: the metrics are still read
            self._log.write(chunk[: max(room, 0)])
            self._log.flush()
            if 0 < room <= len(chunk):
                self._log.write(b"\n[the rest is left out]\n")
        self._logged_bytes += len(chunk)

    def _stop_if_needed(self, command: SupervisedCommand) -> None:
        silent_seconds = time.monotonic() - self._last_output_at
        if silent_seconds > self.launch.no_progress_minutes * 60 and not self._is_stopping:
            self.hung = True
            command.stop()
        if self.line.stop_reason() is not None and not self._is_stopping:
            self.stopped = True
            command.stop()

    @property
    def _is_stopping(self) -> bool:
        return self.hung or self.stopped


def _report_end(job: Job, reader: _Reader, command_exit: CommandExit) -> None:
    """Send `finished` or `failed`; after a stop that the orchestrator asked for, neither."""
    failure = _failure(job, reader, command_exit)
    if failure is not None:
        kind, message = failure
        lines = reader.output.last_lines
        quoted = [line[:_MAX_QUOTED_CHARACTERS] for line in lines[-_QUOTED_LINES:]]
        ending = f"; its last lines: {' | '.join(quoted)}" if quoted else "; it printed nothing"
        log = "\n".join(lines)
        reader.line.send(
            Failed(attempt=job.attempt, kind=kind, message=message + ending, traceback=log)
        )
    elif not reader.stopped:
        reader.line.send(_finished(job, reader.output))


def _failure(
    job: Job, reader: _Reader, command_exit: CommandExit
) -> tuple[FailureKind, str] | None:
    if command_exit.cannot_start:
        return "user", f"the command cannot be started: {command_exit.cannot_start}"
    if reader.hung:
        minutes = reader.launch.no_progress_minutes
        return "no_progress", f"it printed nothing for {minutes:g} minutes"
    return None if reader.stopped else _failure_of_exit(job, reader.output, command_exit.code or 0)


def _failure_of_exit(job: Job, output: ScriptOutput, code: int) -> tuple[FailureKind, str] | None:
    """Return what was wrong with the end of a script that nothing stopped."""
    if code < 0:
        return "killed", f"it was killed by signal {-code}"
    if code and any(word in line for line in output.last_lines for word in _OUT_OF_MEMORY):
        return "oom", f"it ran out of memory and ended with exit code {code}"
    if code:
        return "exit_code", f"it ended with exit code {code}"
    if output.best_value is None:
        return "no_metric", f"it ended with exit code 0 without reporting {job.objective.name}"
    return None


def _finished(job: Job, output: ScriptOutput) -> Finished:
    assert output.best_value is not None, "without a value it has failed"
    return Finished(
        attempt=job.attempt,
        best_epoch=output.best_epoch,
        best_value=output.best_value,
        best_dev_accuracy=output.best_metrics.get("dev_accuracy"),
        test_accuracy=output.test_accuracy,
        dev_predictions=(),
        test_predictions=(),
    )
