"""Asks a program of the trainers' room one thing and hears its answers as they come."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from orchestrator.ask import start_program
from orchestrator.backends.base import Slot
from orchestrator.errors import UserError


def answers(module: str, request: str, slot: Slot, doing: str) -> Iterator[dict[str, Any]]:
    """Start `python -m module` with a JSON request on stdin; yields the JSON objects it says.

    It runs on the slot's device and ends with this iterator. `doing` says what could not be done
    where it fails. Raises UserError with its refusal, or with what it last said.
    """
    environment = {} if slot.device == "cpu" else {"CUDA_VISIBLE_DEVICES": slot.device}
    # A file: a pipe that nobody empties would hold the program up.
    with tempfile.TemporaryFile() as errors:
        process = start_program(module, environment, errors)
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
