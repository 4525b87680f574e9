"""The record that all of the protocol is made of, and what a knob's field says besides."""

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict


class Record(BaseModel):
    """A frozen record that refuses unknown keys and keeps NaN and infinity through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


def shown(why: str, *tests: str, unit: str = "", source: str = "") -> JsonDict:
    """What docs/knobs.md says of a knob besides its default, its range and its description.

    Args:
        why: the default's reason.
        tests: what proves the effect, named from tests/trainers on: `test_heads.py::test_so`.
        unit: what one of it is.
        source: where what it does is described.
    """
    return {"why": why, "tests": list(tests), "unit": unit, "source": source}
