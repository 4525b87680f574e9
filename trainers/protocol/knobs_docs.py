"""Writes docs/knobs.md: `python -m trytable.trainers.protocol.knobs_docs`."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trytable.trainers.protocol.messages import FinetuneSettings

PATH = Path(__file__).resolve().parents[2] / "docs" / "knobs.md"

_HEADING = """# Knobs

Every knob of the built-in trainer. Each can be fixed in a sweep's `baseline` or swept under
`parameters`; after a sweep, `make show NAME=… TRY=…` prints the requested values beside those
read back from the live objects. The last column names the tests, in `tests/trainers`, that check
the knob's effect. `python -m trytable.trainers.protocol.knobs_docs` generates this page from the
schema in `trainers/protocol/training_knobs.py` and `trainers/protocol/model_knobs.py`.

"""
_COLUMNS = (
    "| knob | default | allowed | unit | what it does | why this default | tested by |\n"
    "| --- | --- | --- | --- | --- | --- | --- |\n"
)
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}


def table() -> str:
    """The whole page."""
    parts = reversed(FinetuneSettings.__bases__)
    return _HEADING + "\n".join(_section(part) for part in parts)


def _section(part: type[BaseModel]) -> str:
    properties = part.model_json_schema()["properties"]
    rows = [_row(name, schema) for name, schema in properties.items()]
    return f"## {str(part.__doc__).rstrip('.')}\n\n{_COLUMNS}{''.join(rows)}"


def _row(name: str, schema: dict[str, Any]) -> str:
    cells = (
        f"`{name}`",
        f"`{_format(schema['default'])}`",
        allowed(schema),
        schema["unit"],
        schema["description"] + (f" ({schema['source']})" if schema["source"] else ""),
        schema["reason"],
        " ".join(f"`{test}`" for test in schema["tests"]),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def allowed(schema: dict[str, Any]) -> str:
    """What a knob may hold, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "pattern" in schema:
        return str(schema["title"])
    if schema["type"] == "array":
        return f"a list of {allowed(schema['items'])}"
    names = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    bounds = [text.format(_format(schema[key])) for key, text in _BOUNDS.items() if key in schema]
    return " ".join([names.get(schema["type"], "`null`"), ", ".join(bounds)]).strip()


def _format(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PATH.write_text(table(), encoding="utf-8")
