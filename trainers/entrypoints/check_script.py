"""`entrypoints.check_script`: looks at a script's command before any worker starts.

One JSON object comes in on stdin (`settings`, `seed`, `folder`), one JSON line goes out on stdout:
`{"checked": …}` or `{"refused": "why"}`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from trytable.trainers.protocol.messages import Refused, ScriptChecked, ScriptSettings
from trytable.trainers.script import trainer
from trytable.trainers.script.command import Circumstances
from trytable.trainers.script.supervisor import interpreter


def main() -> None:
    """Answer the one request on stdin."""
    request = json.loads(sys.stdin.buffer.read())
    given = Circumstances(request["seed"], Path(request["folder"]), "cpu", interpreter())
    answer: dict[str, Any]
    try:
        settings = ScriptSettings.model_validate(request["settings"])
        checked = ScriptChecked(code_hash=trainer.check(settings, given))
        answer = {"checked": checked.model_dump()}
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
