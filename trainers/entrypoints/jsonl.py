"""How a program of this room that is asked one thing answers as things become known."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from trytable.trainers.protocol.messages import Record, Refused


def answer_stdin(name: str, answers: Callable[[Any], Iterator[str | Record]]) -> None:
    """Read one JSON request; write a line each: `doing` words, `name` an answer, or `refused`."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    out = sys.stdout
    request = json.loads(sys.stdin.buffer.read())
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no answer
            for one in answers(request):
                said = {"doing": one} if isinstance(one, str) else {name: one.model_dump()}
                out.write(json.dumps(said) + "\n")
                out.flush()
    except Refused as refusal:
        out.write(json.dumps({"refused": str(refusal)}) + "\n")
