"""`entrypoints.check_script`: checks that a script's command can run, before any worker starts.

A request (see `jsonl`) has the keys `settings`, `seed` and `folder`; the result is a ScriptCheck.
"""

import sys
from pathlib import Path
from typing import Any

from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.protocol.messages import ScriptCheck, ScriptSettings
from trytable.trainers.script import trainer
from trytable.trainers.script.command import CommandContext


def answer(request: dict[str, Any]) -> list[ScriptCheck]:
    """Check the command that a request has. Raises Refused."""
    settings = ScriptSettings.model_validate(request["settings"])
    context = CommandContext(request["seed"], Path(request["folder"]), "cpu", sys.executable)
    return [ScriptCheck(code_hash=trainer.check_command(settings, context))]


if __name__ == "__main__":
    answer_request(answer)
