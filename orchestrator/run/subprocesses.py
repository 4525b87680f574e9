"""The asking side of the programs in `trainers.entrypoints` that need torch or run user code.

The orchestrator never imports torch itself. It starts such a program with one request, as JSON, and
reads the lines of JSON that come back (see `trainers/entrypoints/jsonl.py`).
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from trytable.orchestrator.errors import UserError
from trytable.records import DataSource
from trytable.trainers.protocol.messages import PreparedData, Record

_LOGGER = logging.getLogger(__name__)
_ENTRYPOINTS = "trytable.trainers.entrypoints."

R = TypeVar("R", bound=Record)


class Subprocess(Generic[R]):
    """A program of `trainers.entrypoints` that runs in the background until its results are read.

    It starts at once, so that other work can go on meanwhile. Close it, or use it as a context
    manager: that kills the process if it still runs.

    Args:
        program: the module's name.
        result_type: the record that each result is read as.
        request: the JSON object that the program gets on stdin.
        failure: what to report if the process fails, in front of its last line on stderr.
        device: `cpu`, or the UUID of the only GPU that the program may see.
        environment: variables to set besides the orchestrator's own.
    """

    def __init__(
        self,
        program: str,
        result_type: type[R],
        request: Mapping[str, Any],
        failure: str,
        *,
        device: str = "cpu",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._result_type = result_type
        self._failure = failure
        gpu = {} if device == "cpu" else {"CUDA_VISIBLE_DEVICES": device}
        # Files, not pipes: a pipe that nobody reads would block the program once it is full, and
        # writing to a program that has died would raise BrokenPipeError in its error's place.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(request).encode())
            stdin.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                # -P: the user's working folder is not searched for imports. A data.py or random.py
                # there would otherwise take the place of a module that the program needs.
                [sys.executable, "-P", "-m", _ENTRYPOINTS + program],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **gpu, **environment},
            )

    def messages(self) -> Iterator[str | R]:
        """Yield progress texts and results as they come, until the program has ended.

        Raises UserError with the program's refusal, or with its last line on stderr if it failed.
        """
        assert self._process.stdout is not None, "it is a pipe"
        for line in self._process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if "refused" in answer:
                raise UserError(answer["refused"])
            if "progress" in answer:
                yield str(answer["progress"])
            else:
                yield self._result_type.model_validate(answer["result"])
        if self._process.wait() != 0:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            # Without the exception's message, which may quote data.
            frames = [line for line in lines if line.startswith('  File "')]
            _LOGGER.error("%s. Its traceback: %s", self._failure, frames)
            raise UserError(f"{self._failure}: {lines[-1] if lines else 'it printed no error'}")

    def result(self) -> R:
        """Wait for the only result. Raises UserError as `messages` does."""
        *_, result = self.messages()
        assert isinstance(result, self._result_type), "these programs end with their result"
        return result

    def close(self) -> None:
        """Kill the process if it still runs."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_preparation(
    model: str, data: DataSource, max_length: int, cache: Path
) -> Subprocess[PreparedData]:
    """Start to check the model and to read and tokenize the data into the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    request = {
        "model": model,
        "data": asdict(data),
        "max_length": max_length,
        "cache_folder": str(cache),
    }
    return Subprocess("prepare", PreparedData, request, "Data and model could not be prepared")
