"""The form of a sweep file: which keys there are and what each may hold.

Knobs and ranges are checked against the trainer afterwards (see checks.py).
"""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trytable.records import (
    PRUNER_OPTIONS,
    SAMPLER_OPTIONS,
    Direction,
    ParameterStyle,
    PrunerName,
    SamplerName,
    StoppingKind,
)
from trytable.sweeps.config.messages import listed, not_allowed, unknown
from trytable.sweeps.config.yaml_source import Document, Key

NAMED = ("data", "objective", "sampler", "pruner")
"""Keys that may hold a name alone: `sampler: grid` is short for `sampler: {name: grid}`."""


class Strict(BaseModel):
    """Frozen, without unknown keys, and without turning words into numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Data(Strict):
    """Where the text is, and in which columns."""

    name: str = Field("docstrings", min_length=1)
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"


class SamplerForm(Strict):
    """How the next point is chosen."""

    name: SamplerName = "grid"
    startup_trials: int = Field(10, ge=1, le=1_000_000)


class PrunerForm(Strict):
    """When a trial is ended early; the options are explained at records.Pruner."""

    name: PrunerName = "none"
    startup_trials: int = Field(5, ge=0, le=1_000_000)
    warmup_epochs: int = Field(1, ge=0, le=1_000_000)
    patience: int | None = Field(None, ge=1, le=1_000_000)
    min_epochs: int = Field(1, ge=1, le=1_000_000)
    reduction_factor: int = Field(3, ge=2, le=1_000_000)


class ObjectiveForm(Strict):
    """A metric of every epoch; the direction is known for those that the trainer measures."""

    name: str = Field("dev_accuracy", min_length=1)
    direction: Direction | None = None


class GateForm(Strict):
    """Which diagnoses end a trial early; explained at trytable.sweeps.config.records.Gate."""

    kinds: list[StoppingKind] = ["no_learning"]
    window_steps: int = Field(300, ge=20, le=1_000_000)
    tolerance: float = Field(0.05, gt=0, lt=1)


class RangeForm(Strict):
    """A range of a parameter; the ends are checked and typed by the knob."""

    low: float
    high: float
    log: bool = False
    step: float | None = Field(None, gt=0)


class MetricsForm(Strict):
    """Where a script's metrics stand, besides lines that are known."""

    patterns: list[str] = []
    file: str | None = Field(None, min_length=1)


class ScriptForm(Strict):
    """The keys of trainer script alone; explained at trytable.sweeps.config.records.Script."""

    command: str | list[Any] | None = None
    style: ParameterStyle = "--k v"
    switches: list[str] = []
    cwd: str = Field(".", min_length=1)
    env: dict[str, str] = {}
    config: str | None = Field(None, min_length=1)
    metrics: MetricsForm = MetricsForm()
    observe: bool = True
    no_progress_minutes: float = Field(60, gt=0, le=100_000)
    grace_seconds: float = Field(10, ge=0, le=25)


class SweepForm(Strict):
    """The keys of every sweep."""

    description: str = ""
    trainer: str = "finetune"
    model: str = Field("minilm", min_length=1)
    data: Data = Data()
    seed: int | None = Field(42, ge=0, lt=2**63)
    objective: ObjectiveForm = ObjectiveForm()
    baseline: dict[str, Any] = {}
    parameters: dict[str, Any]
    sampler: SamplerForm = SamplerForm()
    pruner: PrunerForm = PrunerForm()
    gate: GateForm = GateForm()
    trials: int | None = Field(None, ge=1, le=1_000_000)
    hours: float | None = Field(None, gt=0)
    attempts: int = Field(3, ge=1, le=100)
    gpu_failures: int = Field(3, ge=1, le=100)
    max_per_gpu: int = Field(1, ge=1, le=100)
    silence_minutes: float = Field(30.0, gt=0, le=100_000)
    enqueue: list[dict[str, Any]] = []


class SweepFile(ScriptForm, SweepForm):
    """The file as a whole; the keys of every sweep come first."""


def check_form(document: Document) -> SweepFile | None:
    """The file's form, or None with the mistakes noted in the document."""
    _check_options(document, "sampler", SAMPLER_OPTIONS)
    _check_options(document, "pruner", PRUNER_OPTIONS)
    return check_part(document, (), document.data, SweepFile)


Form = TypeVar("Form", bound=Strict)


def check_part(document: Document, key: Key, given: Any, form: type[Form]) -> Form | None:
    """A part of the document in its form, or None with the mistakes noted."""
    try:
        return form.model_validate(given)
    except ValidationError as error:
        schema = form.model_json_schema()
        for one in error.errors(include_url=False):
            loc = _loc_in_schema(schema, one["loc"])
            found = _at(schema, loc)
            text = _explain(str(one["type"]), one["input"], loc, found, _at(schema, loc[:-1]))
            document.complain((*key, *loc), text)
        return None


def _explain(
    kind: str, given: Any, loc: Key, schema: dict[str, Any], parent: dict[str, Any]
) -> str:
    if kind == "extra_forbidden":
        return unknown("key here", loc[-1], parent.get("properties", {}))
    if kind == "missing":
        return f"is missing. {listed(parent.get('required', ()))} must be given."
    return not_allowed(given, schema)


def _loc_in_schema(schema: dict[str, Any], loc: Key) -> Key:
    """Pydantic's path without the steps that name a branch of a union."""
    kept: Key = ()
    for part in loc:
        if isinstance(part, str) and "anyOf" in _at(schema, kept):
            continue
        kept = (*kept, part)
    return kept


def _at(schema: dict[str, Any], loc: Key) -> dict[str, Any]:
    """The part of a JSON schema that describes the value at a path."""
    found = schema
    for part in loc:
        inner = (
            found.get("items") if isinstance(part, int) else found.get("properties", {}).get(part)
        )
        found = inner or {}
        reference = str(found.get("$ref", "")).rpartition("/")[2]
        found = schema["$defs"][reference] if reference else found
    return found


_WHY = {
    "patience": " Patience around successive halving would write late epochs into early rungs.",
    "warmup_epochs": " Successive halving spares early epochs with min_epochs.",
    "min_epochs": " The median pruner spares early epochs with warmup_epochs.",
}


def _check_options(document: Document, part: str, options: Any) -> None:
    """Refuse the options of another sampler or pruner, which would be ignored in silence."""
    given = document.data.get(part)
    default = SweepFile.model_fields[part].default.name
    name = given.get("name", default) if isinstance(given, dict) else None
    if not (isinstance(given, dict) and isinstance(name, str) and name in options):
        return
    others = {option for has in options.values() for option in has} - set(options[name])
    for option in [key for key in given if key in others]:
        owners = listed(one for one, has in options.items() if option in has)
        why = _WHY.get(option, "") if name not in ("none", "grid") else ""
        document.complain(
            (part, option),
            f"{name} has no such option; it belongs to {owners}.{why} "
            f"Allowed with {name}: {listed(options[name])}.",
        )
