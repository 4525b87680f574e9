"""Asks a process of its own a question that needs torch: one JSON object in, one line out."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from orchestrator.errors import UserError

_TOP = Path(__file__).resolve().parents[1]


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
    module: str, environment: Mapping[str, str], errors: "int | IO[bytes]" = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """Start `python -m MODULE` with pipes for its input and its output."""
    path = f"{_TOP}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **environment, "PYTHONPATH": path},
    )


def ask(
    module: str,
    request: Mapping[str, Any],
    failure: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Question:
    """Start `python -m MODULE`; the answer is awaited later."""
    return Question(start_program(module, environment), json.dumps(request).encode(), failure)
