"""Asks a process of its own a question that needs torch: one JSON object in, one line out."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from trytable.orchestrator.backends.base import Slot
from trytable.orchestrator.errors import UserError
from trytable.trainers.protocol.messages import DataSource, Prepared

_PROGRAMS = "trytable.trainers.entrypoints."


@dataclass(frozen=True)
class Question:
    """A question that a process is working on; `failure` is what to say where it gives up."""

    process: "subprocess.Popen[bytes]"
    request: bytes
    failure: str

    def answer(self) -> dict[str, Any]:
        """Wait for it. Raises UserError with the refusal, or with what the process last said."""
        out, err = self.process.communicate(self.request)
        if self.process.returncode != 0:
            last = err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise UserError(f"{self.failure}: {last[0]}")
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        if "refused" in answer:
            raise UserError(answer["refused"])
        return answer

    def close(self) -> None:
        """End it, whether or not its answer was waited for."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def start_program(
    program: str, environment: Mapping[str, str], errors: "int | IO[bytes]" = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """Start a program of `trainers.entrypoints` with pipes for its input and its output."""
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-P", "-m", _PROGRAMS + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **environment},
    )


def ask(
    program: str,
    request: Mapping[str, Any],
    failure: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Question:
    """Start a program of `trainers.entrypoints`; the answer is awaited later."""
    return Question(start_program(program, environment), json.dumps(request).encode(), failure)


def answers(program: str, request: str, slot: Slot, doing: str) -> Iterator[dict[str, Any]]:
    """Start a program of `trainers.entrypoints`; yields the JSON objects that it prints.

    It runs on the slot's device and ends with this iterator. `doing` says what could not be done
    where it fails. Raises UserError with its refusal, or with what it last said.
    """
    environment = {} if slot.device == "cpu" else {"CUDA_VISIBLE_DEVICES": slot.device}
    # A file: a pipe that nobody empties would hold the program up.
    with tempfile.TemporaryFile() as errors:
        process = start_program(program, environment, errors)
        try:
            yield from _heard(process, request)
            if process.wait() != 0:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip().splitlines()
                raise UserError(f"{doing}: {said[-1] if said else 'it said nothing'}")
        finally:
            process.kill()
            process.wait()


def _heard(process: "subprocess.Popen[bytes]", request: str) -> Iterator[dict[str, Any]]:
    assert process.stdin is not None, "asked for above"
    assert process.stdout is not None, "asked for above"
    with process.stdin as line:
        line.write(request.encode())
    with process.stdout as lines:
        for said in lines:
            answer: dict[str, Any] = json.loads(said)
            if "refused" in answer:
                raise UserError(answer["refused"])
            yield answer


@dataclass(frozen=True)
class Preparation:
    """A preparation under way in a process of its own."""

    question: Question

    def result(self) -> Prepared:
        """Wait for it. Raises UserError with the refusal, or with what the process last said."""
        return Prepared.model_validate(self.question.answer()["prepared"])

    def close(self) -> None:
        """End it, whether or not its result was waited for."""
        self.question.close()


def begin(model: str, data: DataSource, max_length: int, cache: Path) -> Preparation:
    """Start preparing; it ends with this process."""
    cache.mkdir(parents=True, exist_ok=True)
    request = {
        "model": model,
        "data": data.model_dump(),
        "max_length": max_length,
        "cache_folder": str(cache),
    }
    return Preparation(ask("prepare", request, "Data and model could not be prepared"))
