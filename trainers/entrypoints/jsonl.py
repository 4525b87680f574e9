"""The answering side of a program that the orchestrator asks one thing.

The request is one JSON object on stdin, read to its end. Each answer is one JSON line on stdout:
`{"progress": TEXT}` about the work under way, `{"result": OBJECT}` for each result, and
`{"refused": TEXT}` as the last line if the user's data, model or settings cannot be used.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from trytable.records import Refused
from trytable.trainers.protocol.messages import Record


def answer_request(respond: Callable[[Any], Iterable[str | Record]]) -> None:
    """Answer the request on stdin with what `respond` yields: progress texts and results."""
    # Tokenize on all cores. Only the fork server must not: threads do not survive a fork.
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Libraries print to stdout, from Python and from C. Only answers may come out there.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json.loads(sys.stdin.buffer.read())
    with answers, contextlib.redirect_stdout(sys.stderr):
        try:
            for message in respond(request):
                if isinstance(message, str):
                    _write(answers, {"progress": message})
                else:
                    _write(answers, {"result": message.model_dump()})
        except Refused as refusal:
            _write(answers, {"refused": str(refusal)})


def _write(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()  # the other side shows progress while it comes
