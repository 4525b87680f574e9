"""Has data and model checked and tokenised before anything starts (see trainers/prepare.py)."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UserError
from trainers.protocol import DataSource, Prepared


@dataclass(frozen=True)
class Preparation:
    """A preparation under way in a process of its own."""

    process: "subprocess.Popen[bytes]"
    request: bytes

    def result(self) -> Prepared:
        """Wait for it. Raises UserError with the refusal, or with what the process last said."""
        out, err = self.process.communicate(self.request)
        if self.process.returncode != 0:
            last = err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise UserError(f"Data and model could not be prepared: {last[0]}")
        answer = json.loads(out.splitlines()[-1])
        if "refused" in answer:
            raise UserError(answer["refused"])
        return Prepared.model_validate(answer["prepared"])

    def close(self) -> None:
        """End it, whether or not its result was waited for."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def begin(model: str, data: DataSource, max_length: int, cache: Path) -> Preparation:
    """Start preparing; it ends with this process."""
    cache.mkdir(parents=True, exist_ok=True)
    top = Path(__file__).resolve().parents[1]
    request = {
        "model": model,
        "data": data.model_dump(),
        "max_length": max_length,
        "cache_folder": str(cache),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "trainers.prepare"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{top}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    return Preparation(process, json.dumps(request).encode())
