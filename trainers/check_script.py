"""`python -m trainers.check_script`: looks at a script's command before any worker starts.

One JSON object comes in on stdin (`settings`, `seed`, `folder`), one JSON line goes out on stdout:
`{"checked": …}` or `{"refused": "why"}`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from trainers import script
from trainers.command import Circumstances
from trainers.keeper import interpreter
from trainers.protocol import Refused, ScriptChecked, ScriptSettings


def main() -> None:
    """Answer the one request on stdin."""
    request = json.loads(sys.stdin.buffer.read())
    given = Circumstances(request["seed"], Path(request["folder"]), "cpu", interpreter())
    answer: dict[str, Any]
    try:
        settings = ScriptSettings.model_validate(request["settings"])
        checked = ScriptChecked(code_hash=script.check(settings, given))
        answer = {"checked": checked.model_dump()}
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
