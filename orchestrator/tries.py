"""Which try of a study is meant."""

from orchestrator.errors import UserError
from results.records import StudyResult, TryResult


def find_try(study: StudyResult, text: str) -> TryResult:
    """The try that people call so: `3` is Try 3. Raises UserError that says which there are."""
    numbered = {str(one.number + 1): one for one in study.tries}
    found = numbered.get(text.lstrip("0")) if text.isascii() and text.isdigit() else None
    if found is None:
        told = f"TRY={text!r} is no try of {study.name}" if text else "Say which try, as in TRY=1"
        raise UserError(f"{told}. Allowed: {_range(study)}.")
    return found


def _range(study: StudyResult) -> str:
    count = len(study.tries)
    return f"1 to {count}" if count > 1 else ("1" if count else "none, it has no try yet")
