"""The trainer that runs somebody's own script: its output becomes a trial's events."""

import hashlib
import os
import selectors
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from trytable.trainers.protocol.messages import (
    Failed,
    FailureKind,
    Finished,
    Job,
    LaunchSettings,
    Line,
    Refused,
    ScriptSettings,
    Started,
)
from trytable.trainers.script.checks import ParameterCheck
from trytable.trainers.script.command import CommandContext, Invocation, build_invocation
from trytable.trainers.script.observation import OBSERVER_VARIABLE, Observation, observed
from trytable.trainers.script.output import Output
from trytable.trainers.script.supervisor import (
    CommandExit,
    SupervisedCommand,
    interpreter,
    script_environment,
    start_supervised,
)

LOG = "output.log"
MAX_LOG_BYTES = 64 * 2**20
"""SupervisedCommand of what a script prints; metrics are read of all of it."""

_LAST_SHOWN = 3
_LONGEST_SHOWN = 200
_CHUNK_BYTES = 1 << 16
_OUT_OF_MEMORY = ("CUDA out of memory", "OutOfMemoryError")
_LOOK_SECONDS = 0.2


def train(job: Job, settings: ScriptSettings, line: Line) -> None:
    """Run the script to its end, or to the stop that is asked for. Raises Refused."""
    given = command_context(job)
    call = build_invocation(settings.launch, settings.values, given)
    for path, text in call.files.items():
        path.write_text(text, encoding="utf-8")
    read_back = ParameterCheck(
        job, settings.launch, settings.values, line, _started(job, code_hash(call))
    )
    words, why_not = _watched(settings, call)
    watch = Observation(job, line, read_back, why_not)
    files = (str(call.metrics_file),) if call.metrics_file is not None else ()
    output = Output(job, settings.launch, line, read_back, files)
    environment = {**script_environment(job.threads), **call.env}
    with (given.out / LOG).open("ab") as log:
        reader = _Reader(launch=settings.launch, line=line, output=output, watch=watch, log=log)
        kept = start_supervised(
            words, call.cwd, environment, settings.launch.grace_seconds, OBSERVER_VARIABLE
        )
        try:
            reader.follow(kept)
        except BaseException:
            kept.stop()
            raise
        ended = kept.ended()
        reader.rest()
    if settings.launch.observe and not ended.cannot_start:
        watch.finish()
    _say_end(job, reader, ended)


def _watched(settings: ScriptSettings, call: Invocation) -> tuple[tuple[str, ...], str]:
    """The words that are run, with the observer where it can be, and why where it cannot."""
    if not settings.launch.observe:
        return call.words, ""
    found = observed(call.words)
    return (call.words, found) if isinstance(found, str) else (found, "")


def command_context(job: Job) -> CommandContext:
    """What is filled into a command besides its parameters. A GPU is the only one in sight."""
    device = "cpu" if job.device == "cpu" else "cuda"
    return CommandContext(job.seed, Path(job.folder), device, interpreter())


def code_hash(call: Invocation) -> str:
    """The sha256 of the files that the command names."""
    digest = hashlib.sha256()
    for word in call.words:
        path = call.cwd / word
        if path not in call.files and path.suffix and path.is_file():
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
    """Reads a script's pipes and files as they come, until it has ended."""

    def __init__(
        self,
        *,
        launch: LaunchSettings,
        line: Line,
        output: Output,
        watch: Observation,
        log: IO[bytes],
    ) -> None:
        self.line = line
        self.launch = launch
        self.output = output
        self.watch = watch
        self.hung = False
        self.stopped = False
        self._log = log
        self._logged = 0
        self._sources: tuple[int, ...] = ()
        self._told = -1
        self._heard_at = time.monotonic()

    def follow(self, kept: SupervisedCommand) -> None:
        """Read until the command has ended, or has been asked to."""
        self._sources, self._told = (kept.out, kept.err, kept.told), kept.told
        with selectors.DefaultSelector() as selector:
            for source in (*self._sources, kept.control):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in selector.select(_LOOK_SECONDS)]
                for source in self._sources:
                    if source in ready and self._read(source) == 0:
                        selector.unregister(source)
                self._look_at_files()
                if kept.control.fileno() in ready:
                    return
                self._stop_if_asked(kept)

    def rest(self) -> None:
        """What is still in the pipes, once nobody writes any more."""
        for source in self._sources:
            while self._read(source):
                pass
            os.close(source)
        self.output.end()

    def _read(self, source: int) -> int:
        """Take in a chunk; its size, 0 at the end or where nothing is there."""
        try:
            chunk = os.read(source, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if chunk:
            self._heard_at = time.monotonic()
            if source == self._told:
                self.watch.feed(chunk)
                self.output.says_steps = not self.watch.has_steps
            else:
                self._keep(chunk)
                self.output.take(source, chunk)
        return len(chunk)

    def _keep(self, chunk: bytes) -> None:
        left = MAX_LOG_BYTES - self._logged
        with suppress(OSError):  # a full disk: the metrics are still read
            self._log.write(chunk[: max(left, 0)])
            self._log.flush()
            if 0 < left <= len(chunk):
                self._log.write(b"\n[the rest is left out]\n")
        self._logged += len(chunk)

    def _look_at_files(self) -> None:
        if self.output.look_at_files():
            self._heard_at = time.monotonic()

    def _stop_if_asked(self, kept: SupervisedCommand) -> None:
        silent = time.monotonic() - self._heard_at
        if silent > self.launch.no_progress_minutes * 60 and not (self.hung or self.stopped):
            self.hung = True
            kept.stop()
        if self.line.stop_reason() is not None and not (self.hung or self.stopped):
            self.stopped = True
            kept.stop()


def _say_end(job: Job, reader: _Reader, ended: CommandExit) -> None:
    """Say how it ended; of a stop that was asked for there is nothing to say."""
    failure = _failure(job, reader, ended)
    if failure is not None:
        kind, message = failure
        lines = reader.output.last_lines
        told = [one[:_LONGEST_SHOWN] for one in lines[-_LAST_SHOWN:]]
        last = f"; its last lines: {' | '.join(told)}" if told else "; it printed nothing"
        log = "\n".join(lines)
        reader.line.say(
            Failed(attempt=job.attempt, kind=kind, message=message + last, traceback=log)
        )
    elif not reader.stopped:
        reader.line.say(_finished(job, reader))


def _failure(job: Job, reader: _Reader, ended: CommandExit) -> tuple[FailureKind, str] | None:
    if ended.cannot_start:
        return "user", f"the command cannot be started: {ended.cannot_start}"
    if reader.hung:
        minutes = reader.launch.no_progress_minutes
        return "no_progress", f"it printed nothing for {minutes:g} minutes"
    return None if reader.stopped else _bad_end(job, reader, ended.code or 0)


def _bad_end(job: Job, reader: _Reader, code: int) -> tuple[FailureKind, str] | None:
    """What was wrong with the end of a script that nobody stopped."""
    if code < 0:
        return "killed", f"signal {-code} killed it"
    if code and any(word in line for line in reader.output.last_lines for word in _OUT_OF_MEMORY):
        return "oom", f"it ran out of memory and ended with exit code {code}"
    if code:
        return "exit_code", f"it ended with exit code {code}"
    if reader.output.best_value is None:
        name = job.objective.name
        return "no_metric", f"it ended with exit code 0 and never told {name}"
    return None


def _finished(job: Job, reader: _Reader) -> Finished:
    output = reader.output
    assert output.best_value is not None, "without a value it has failed"
    return Finished(
        attempt=job.attempt,
        best_epoch=output.best_epoch,
        best_value=output.best_value,
        best_dev_accuracy=output.best.get("dev_accuracy"),
        test_accuracy=output.test_accuracy,
        dev_predictions=(),
        test_predictions=(),
    )


def check(settings: ScriptSettings, given: CommandContext) -> str:
    """Look whether the command could be run; the sha256 of its files. Raises Refused."""
    call = build_invocation(settings.launch, settings.values, given)
    if not call.cwd.is_dir():
        raise Refused(f"cwd {call.cwd} is no folder.")
    program = call.words[0]
    if os.sep in program:
        found: object = os.access(call.cwd / program, os.X_OK)
    else:
        found = shutil.which(program, path=call.env.get("PATH"))
    if not found:
        raise Refused(
            f"command: there is no program {program!r} that can be run here. {{python}} stands "
            f"for the Python of Trytable, {interpreter()}."
        )
    for missing in _missing_scripts(call):
        raise Refused(f"command: there is no file {missing}.")
    return code_hash(call)


def _missing_scripts(call: Invocation) -> Iterator[Path]:
    """The script that an interpreter is to run, where it is not there."""
    if Path(call.words[0]).name.startswith("python") and len(call.words) > 1:
        first = call.words[1]
        if first.endswith(".py") and not (call.cwd / first).is_file():
            yield call.cwd / first
