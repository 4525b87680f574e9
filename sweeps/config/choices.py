"""Checks which sampler and which pruner a sweep file names, and their options."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

from trytable.records import Refused
from trytable.sweeps.config.form import check_part
from trytable.sweeps.config.messages import join_words, not_allowed
from trytable.sweeps.config.schema import Choice, Strict, Sweep, SweepKinds
from trytable.sweeps.config.yaml_source import Document

_REASONS = {
    "patience": " Patience around successive halving would write late epochs into early rungs.",
    "warmup_epochs": " Successive halving spares early epochs with min_epochs.",
    "min_epochs": " The median pruner spares early epochs with warmup_epochs.",
}


def check_choices(document: Document, kinds: SweepKinds) -> dict[str, Choice]:
    """The sampler and the pruner, by key; one with a mistake is left out."""
    parts = {"sampler": kinds.samplers, "pruner": kinds.pruners}
    choices = {part: _check_choice(document, part, options) for part, options in parts.items()}
    return {part: choice for part, choice in choices.items() if choice is not None}


def _check_choice(document: Document, part: str, kinds: Mapping[str, type]) -> Choice | None:
    raw = document.data.get(part, {})
    if not isinstance(raw, Mapping):
        document.complain((part,), not_allowed(raw, {"properties": ("name",)}))
        return None
    name = raw.get("name", Sweep.model_fields[part].default.name)
    names = list(kinds)
    if not isinstance(name, str) or name not in names:
        document.complain((part, "name"), not_allowed(name, {"enum": names}))
        return None
    try:
        options = kinds[name]
        form = _form(options)
    except Refused as refusal:
        document.complain((part, "name"), str(refusal))
        return None
    foreign = _check_foreign(document, part, name, kinds)
    own = {key: value for key, value in raw.items() if key not in foreign}
    checked = check_part(document, (part,), own, form)
    if checked is None or foreign:
        return None
    values = checked.model_dump(mode="json", exclude={"name"})
    try:
        TypeAdapter(options).validate_python(values)
    except ValidationError as error:
        # What the options check among themselves, after each has passed alone.
        for problem in error.errors(include_url=False):
            document.complain((part, *problem["loc"]), f"{problem['msg']}.")
        return None
    return Choice.model_validate({"name": name, **values})


def _check_foreign(
    document: Document, part: str, name: str, kinds: Mapping[str, type]
) -> list[str]:
    """Refuse the options of another sampler or pruner; return them."""
    own = _option_names(kinds[name])
    foreign = []
    for key in [key for key in document.data.get(part, {}) if key not in ("name", *own)]:
        owners = [other for other in kinds if key in _names_of_usable(kinds, other)]
        if owners:
            foreign.append(key)
            reason = _REASONS.get(key, "") if name not in ("none", "grid") else ""
            document.complain(
                (part, key),
                f"{name} has no such option; it belongs to {join_words(owners)}.{reason} "
                f"Allowed with {name}: {join_words(own)}.",
            )
    return foreign


def _names_of_usable(kinds: Mapping[str, type], name: str) -> tuple[str, ...]:
    try:
        return _option_names(kinds[name])
    except Refused:
        return ()


def _option_names(options: type) -> tuple[str, ...]:
    return tuple(name for name, _ in _fields(options))


def _form(options: type) -> type[Strict]:
    """The form of a choice: its name and its options, of which unknown ones are refused."""
    fields: dict[str, Any] = dict(_fields(options))
    form: type[Strict] = create_model(options.__name__, __base__=Strict, name=(str, ""), **fields)
    return form


def _fields(options: type) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Name, type and default of each option, as `create_model` takes them."""
    if issubclass(options, BaseModel):
        yield from ((name, (f.annotation, f)) for name, f in options.model_fields.items())
        return
    hints = get_type_hints(options, include_extras=True)
    assert dataclasses.is_dataclass(options), "the registry has checked it"
    for field in dataclasses.fields(options):
        default: Any = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = Field(default_factory=field.default_factory)
        elif default is dataclasses.MISSING:
            default = ...
        yield field.name, (hints[field.name], default)
