"""The form of a sweep file: which keys there are and what each may hold."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SAMPLERS = ("grid", "random", "tpe", "gp", "qmc")
PRUNERS = ("none", "median", "asha", "hyperband")

_MEDIAN = ("startup_trials", "warmup_epochs", "patience")
_HALVING = ("min_epochs", "reduction_factor")
_PRUNER_OPTIONS = {"none": (), "median": _MEDIAN, "asha": _HALVING, "hyperband": _HALVING}


class Strict(BaseModel):
    """Frozen, without unknown keys, and without turning words into numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Sampler(Strict):
    """How the next trial is chosen. `startup_trials` are drawn at random first (tpe and gp)."""

    name: Literal["grid", "random", "tpe", "gp", "qmc"] = "grid"
    startup_trials: int = Field(10, ge=1)


class Pruner(Strict):
    """When a trial is ended early.

    median: a trial whose best dev accuracy so far is below the median of the others' at the same
    epoch, from `startup_trials` ended trials and `warmup_epochs` epochs on; with `patience`, only
    after so many epochs without a better one. asha, hyperband: successive halving from
    `min_epochs` on, keeping one in `reduction_factor`.
    """

    name: Literal["none", "median", "asha", "hyperband"] = "none"
    startup_trials: int = Field(5, ge=0)
    warmup_epochs: int = Field(1, ge=0)
    patience: int | None = Field(None, ge=1)
    min_epochs: int = Field(1, ge=1)
    reduction_factor: int = Field(3, ge=2)


def pruner_mistakes(given: dict[str, Any]) -> list[tuple[str, str]]:
    """Options that the named pruner does not have, as (option, what is wrong)."""
    name = given.get("name", "none")
    allowed = _PRUNER_OPTIONS.get(name)
    if allowed is None:
        return []
    others = [key for key in given if key in (*_MEDIAN, *_HALVING) and key not in allowed]
    listed = ", ".join(allowed) or "none"
    why = (
        "; successive halving sees every epoch, and patience around it would put late epochs "
        "into early rungs"
        if name in ("asha", "hyperband")
        else ""
    )
    return [(key, f"{name} has no such option (it has: {listed}){why}") for key in others]


class Data(Strict):
    """Where the text is, and in which columns."""

    name: str = Field("docstrings", min_length=1)
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class SweepFile(Strict):
    """The file as a whole; knobs and ranges are checked against the trainer afterwards."""

    description: str = ""
    trainer: str = "finetune"
    model: str = Field("minilm", min_length=1)
    data: Annotated[Data, BeforeValidator(_named)] = Data()
    seed: int = Field(42, ge=0, lt=2**63)
    baseline: dict[str, Any] = {}
    parameters: dict[str, Any] = Field(min_length=1)
    sampler: Annotated[Sampler, BeforeValidator(_named)] = Sampler()
    pruner: Annotated[Pruner, BeforeValidator(_named)] = Pruner()
    trials: int | None = Field(None, ge=1)
    hours: float | None = Field(None, gt=0)
    attempts: int = Field(3, ge=1, le=100)
    enqueue: list[dict[str, Any]] = []
