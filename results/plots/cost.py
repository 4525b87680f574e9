"""What the study's seconds were spent on."""

from trytable.results.analysis.cost import Cost, CostKind
from trytable.results.plots.types import COLOURS, GREY, Axis, Bar, Bars, Hatch, Picture
from trytable.results.text.catalog import Words

_LOOKS: dict[CostKind, tuple[str, Hatch]] = {
    "completed": (COLOURS[2], ""),
    "pruned": (COLOURS[1], "/"),
    "stopped": (COLOURS[3], "/"),
    "failed": (COLOURS[4], "x"),
    "retried": (COLOURS[5], "."),
    "unfinished": (GREY, ""),
}


def cost_picture(spent: Cost, words: Words) -> Picture | None:
    """A bar of wall seconds, what pruning saved beyond it; None where nothing was spent."""
    if not spent.by_kind:
        return None
    rows = list(spent.by_kind)[::-1]
    saved = sum(spent.saved.values())
    names = [words.text("picture.saved")] if saved else []
    names += [words.text(f"status.{kind}") for kind in rows]
    layers = []
    if saved:
        bar = Bar(f"{names[0]}: {saved:.1f} s", 0, 0, saved)
        layers.append(Bars("", (bar,), GREY, "/"))
    for row, kind in enumerate(rows, start=len(names) - len(rows)):
        seconds = spent.by_kind[kind].wall
        colour, hatch = _LOOKS[kind]
        layers.append(
            Bars("", (Bar(f"{names[row]}: {seconds:.1f} s", row, 0, seconds),), colour, hatch)
        )
    return Picture(
        name="cost",
        title=words.text("picture.cost"),
        caption=words.text("picture.cost.caption"),
        x=Axis(words.text("picture.wall_seconds")),
        y=Axis("", ticks=tuple((float(row), name) for row, name in enumerate(names))),
        layers=tuple(layers),
    )
