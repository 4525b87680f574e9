"""The base classes of the protocol, and what docs/knobs.md says about a knob."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict


class Record(BaseModel):
    """A frozen record that refuses unknown keys and keeps NaN and infinity through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Knobs(Record):
    """Knobs of a trainer, some of whose values may exclude each other."""

    def conflict(self) -> str | None:
        """Why values that are allowed each by itself exclude each other, or None."""
        return None

    @model_validator(mode="after")
    def _refuse_conflict(self) -> Self:
        conflict = self.conflict()
        if conflict:
            raise ValueError(conflict)
        return self


def knob(
    default: Any,
    description: str,
    reason: str,
    *tests: str,
    unit: str = "",
    source: str = "",
    **limits: Any,
) -> Any:
    """Return a pydantic field with what docs/knobs.md says about it.

    Args:
        default: the value without one in the sweep file.
        description: what the knob is.
        reason: why the default is what it is.
        tests: the tests that prove the effect, as paths below tests/trainers:
            `models/test_heads.py::test_so`.
        unit: the knob's unit.
        source: the paper that describes what it does.
        limits: pydantic's limits, such as `gt` and `le`.
    """
    extra: JsonDict = {"reason": reason, "tests": list(tests), "unit": unit, "source": source}
    return Field(default, description=description, json_schema_extra=extra, **limits)
