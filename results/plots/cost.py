"""How the study's wall time was cost."""

from collections.abc import Mapping

from trytable.results.analysis.types import Cost
from trytable.results.plots.types import COLOURS, GREY, Axis, Bar, Bars, Hatch, Plot
from trytable.results.text.catalog import Words

OUTCOME_STYLES: Mapping[str, tuple[str, Hatch]] = {
    "completed": (COLOURS[2], ""),
    "pruned": (COLOURS[1], "/"),
    "stopped": (COLOURS[3], "/"),
    "failed": (COLOURS[4], "x"),
    "retried": (COLOURS[5], "."),
    "unfinished": (GREY, ""),
}


def cost_plot(cost: Cost, words: Words) -> Plot | None:
    """Plot wall seconds by outcome and what pruning saved; None if no time was spent."""
    if not cost.by_kind:
        return None
    rows = list(cost.by_kind)[::-1]
    saved = sum(cost.saved.values())
    names = [words.text("plot.saved")] if saved else []
    names += [words.text(f"status.{kind}") for kind in rows]
    layers = []
    if saved:
        bar = Bar(f"{names[0]}: {saved:.1f} s", 0, 0, saved)
        layers.append(Bars("", (bar,), GREY, "/"))
    for row, kind in enumerate(rows, start=len(names) - len(rows)):
        seconds = cost.by_kind[kind].wall
        colour, hatch = OUTCOME_STYLES[kind]
        layers.append(
            Bars("", (Bar(f"{names[row]}: {seconds:.1f} s", row, 0, seconds),), colour, hatch)
        )
    return Plot(
        name="cost",
        title=words.text("plot.cost"),
        caption=words.text("plot.cost.caption"),
        x=Axis(words.text("plot.wall_seconds")),
        y=Axis("", ticks=tuple((float(row), name) for row, name in enumerate(names))),
        layers=tuple(layers),
    )
