"""Writes the tables of columns into docs/python.md: `python -m trytable.results.frames.docs`."""

from pathlib import Path

from trytable.results.frames.frames import SCHEMAS
from trytable.results.frames.schema import FrameColumn, FrameFamily, FrameSchema

PATH = Path(__file__).resolve().parents[2] / "docs" / "python.md"

_HEAD = "| column | dtype | unit | meaning |\n| --- | --- | --- | --- |\n"


def page(text: str) -> str:
    """The page with the tables of today's schemas between its markers."""
    for schema in SCHEMAS:
        start, end = f"<!-- columns of {schema.name} -->\n", f"<!-- end of {schema.name} -->"
        head, opening, rest = text.partition(start)
        _, closing, tail = rest.partition(end)
        if not (opening and closing):
            raise ValueError(f"{PATH.name} has no markers for the columns of {schema.name}")
        text = head + opening + columns_table(schema) + closing + tail
    return text


def columns_table(schema: FrameSchema) -> str:
    """A Markdown table of a frame's index, columns and families of columns."""
    lines = [
        *(_line(f"*{level.name}*", level) for level in schema.index),
        *(_line(f"`{column.name}`", column) for column in schema.columns),
        *(_family_line(family) for family in schema.families),
    ]
    return _HEAD + "".join(lines)


def _line(name: str, column: FrameColumn) -> str:
    values = ", ".join(f"`{value}`" for value in column.categories)
    order = ", in this order" if column.ordered else ""
    meaning = column.description + (f" ({values}{order})" if values else "")
    # An index lacks no value, so its integers are plain ones.
    dtype = column.dtype.lower() if name.startswith("*") else column.dtype
    return f"| {name} | {dtype} | {column.unit} | {meaning} |\n"


def _family_line(family: FrameFamily) -> str:
    return f"| `{family.prefix}NAME` | {family.dtype} | {family.unit} | {family.description} |\n"


if __name__ == "__main__":
    PATH.write_text(page(PATH.read_text(encoding="utf-8")), encoding="utf-8")
