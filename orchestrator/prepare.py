"""Has data and model checked and tokenised before anything starts (see trainers/prepare.py)."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.ask import Question, ask
from trainers.protocol import DataSource, Prepared


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
    return Preparation(ask("trainers.prepare", request, "Data and model could not be prepared"))
