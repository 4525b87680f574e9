"""What the pictures show, before anybody draws them; and the files for papers."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tests.results.studies import Maker, Planned, report_content
from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.plots.highlights import MAX_LINES
from trytable.results.plots.matplotlib import write_plots
from trytable.results.plots.parameters import MAX_INTERVALS
from trytable.results.plots.plotly import figures_json
from trytable.results.plots.types import GREY, Bars, Lines, Marks, Plot
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import AttemptRow
from trytable.results.storage.study import StudyResult
from trytable.results.text.catalog import LANGUAGES, Words

L = TypeVar("L", Lines, Marks, Bars)


def test_scales_of_parameters(folder: Path) -> None:
    space = {
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "freeze": CategoricalDistribution(["none", "half", "full"]),
    }
    maker = Maker(folder / "studies.db", space=space)
    words = ["full", "none", "half"] * 4
    for n, word in enumerate(words):
        grid = [0.0, 1e-4, 1e-3, 1e-2, 1e-1][n % 5]
        params = {"lr": 0.01 + n / 1000, "freeze": word, "dropout": n / 12, "decay": grid}
        maker.add(Planned({**params, "steps": 10 ** (n % 4)}, (0.5,)))
    plots = report_content(_read(maker)).plots
    found = {plot.title: plot.x for plot in plots if "parameter-" in plot.name}
    scales = {name: axis.scale for name, axis in found.items()}
    ticks = {name: [text for _, text in axis.ticks] for name, axis in found.items()}
    assert scales == {
        "lr": "log",
        "freeze": "linear",
        "dropout": "linear",
        "decay": "linear",
        "steps": "log",
    }
    assert ticks["freeze"] == ["none", "half", "full"]
    assert ticks["decay"] == ["0", "1e-4", "0.001", "0.01", "0.1"]
    assert ticks["dropout"] == []


def test_the_best_and_the_baseline_stand_out_and_the_best_epoch_is_ringed(maker: Maker) -> None:
    tries = [Planned({"dropout": n / 10}, (0.4, 0.5 + n / 100, 0.45)) for n in range(1, 9)]
    maker.add(Planned({"dropout": 0.0}, (0.3, 0.2), source="baseline"), *tries)
    picture = _named(_read(maker), "curves")
    named = [one.name for one in _layers(picture, Lines) if one.colour != GREY and one.name]
    best = [f"Try {n}: dropout 0.{n - 1}" for n in (9, 8, 7, 6, 5)]
    assert named == ["Try 1: dropout 0 (baseline)", *best[::-1]]
    assert len({one.colour for one in _layers(picture, Lines) if one.colour != GREY}) == 6
    rings = [mark for one in _layers(picture, Marks) for mark in one.marks]
    assert {(mark.x, round(mark.y, 2)) for mark in rings} == {
        (1, 0.3),
        (2, 0.58),
        (2, 0.57),
        (2, 0.56),
        (2, 0.55),
        (2, 0.54),
    }


def test_many_curves_are_thinned_and_the_caption_says_so(maker: Maker) -> None:
    maker.add(Planned({"dropout": 0.1}, (0.5, 0.6)))
    study = _read(maker)
    (one,) = study.trials
    tries = tuple(replace(one, number=n, best_value=n / 1000) for n in range(400))
    picture = _named(replace(study, trials=tries), "curves")
    faint = [
        curve for layer in _layers(picture, Lines) for curve in layer.curves if layer.colour == GREY
    ]
    assert len(faint) == MAX_LINES
    assert f"Only {MAX_LINES} of these 394 lines are drawn" in picture.caption
    assert {faint[0].hover, faint[-1].hover} == {"Try 394", "Try 1"}
    assert "lines are drawn" not in _named(_read(maker), "curves").caption


def test_intervals_stand_at_the_points_until_there_are_too_many(full: Maker) -> None:
    study = _read(full)
    marks = [m for one in _layers(_named(study, "parameter-1"), Marks) for m in one.marks]
    best = next(mark for mark in marks if mark.hover.startswith("Try 2:"))
    assert (best.x, best.y) == (0.3, 0.64)
    assert best.low == pytest.approx(0.597, abs=1e-3)
    assert best.high == pytest.approx(0.681, abs=1e-3)
    assert "[0.597, 0.681]" in best.hover
    crowd = tuple(replace(study.trials[1], number=n) for n in range(MAX_INTERVALS + 1))
    other = replace(study.trials[0], number=len(crowd))
    many = _named(replace(study, trials=(*crowd, other)), "parameter-1")
    marks = [mark for one in _layers(many, Marks) for mark in one.marks]
    assert {mark.low for mark in marks} == {None}
    assert all("[0." in mark.hover for mark in marks)


def test_parallel_axes_run_from_least_to_greatest(folder: Path) -> None:
    space = {
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "freeze": CategoricalDistribution(["none", "half", "full"]),
    }
    maker = Maker(folder / "studies.db", space=space)
    for lr, freeze, dev in ((1e-4, "none", 0.5), (1e-3, "full", 0.6), (1e-2, "half", 0.4)):
        maker.add(Planned({"lr": lr, "freeze": freeze}, (dev,)))
    picture = _named(_read(maker), "parallel")
    assert [text for _, text in picture.x.ticks] == [
        "lr\n1e-4 – 0.01",
        "freeze\nnone, half, full",
        "best dev accuracy\n0.400 – 0.600",
    ]
    curves = {s.hover[:5]: s.y for one in _layers(picture, Lines) for s in one.curves}
    assert curves["Try 1"] == pytest.approx((0, 0, 0.5))
    assert curves["Try 2"] == pytest.approx((0.5, 1, 1))
    assert curves["Try 3"] == pytest.approx((1, 0.5, 0))
    empty = replace(_read(maker), trials=())
    assert "parallel" not in [plot.name for plot in report_content(empty).plots]


def test_where_each_try_ended_and_why(full: Maker) -> None:
    ends = {
        layer.name: [(mark.x, mark.y) for mark in layer.marks]
        for layer in _layers(_named(_read(full), "ends"), Marks)
    }
    assert ends == {
        "completed": [(1, 2), (2, 3), (6, 2)],
        "pruned": [(3, 2)],
        "stopped": [(4, 1)],
        "failed": [(5, 0)],
        "unfinished": [(7, 1)],
    }


def test_attempts_stand_on_their_slots_and_long_pauses_are_cut(full: Maker) -> None:
    study = _read(full)
    times = ((1, 0.0, 600.0, "a"), (2, 60.0, 1200.0, "b"), (3, 1e6, 1e6 + 300, "a"))
    rows = tuple(_attempt(n, began, ended, slot) for n, began, ended, slot in times)
    study = replace(study, trials=(replace(study.trials[0], attempts=rows),))
    picture = _named(study, "slots")
    slots = dict(picture.y.ticks)
    bars = [bar for one in _layers(picture, Bars) for bar in one.bars]
    placed = sorted((slots[bar.row], bar.start, bar.length) for bar in bars)
    assert placed == [("a", 0, 10), ("a", 20, 5), ("b", 1, 19)]
    assert "1 long pause" in picture.caption
    assert picture.x.title == "minutes since the first start"


def test_the_cost_picture_has_the_tables_seconds(full: Maker) -> None:
    picture = _named(_read(full), "cost")
    names = dict(picture.y.ticks)
    bars = [bar for one in _layers(picture, Bars) for bar in one.bars]
    assert {names[bar.row]: round(bar.length, 2) for bar in bars} == {
        "completed": 25.0,
        "pruned": 10.0,
        "stopped": 10.0,
        "failed": 3.33,
        "retried": 11.67,
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_of_all_pictures(full: Maker, folder: Path, language: str) -> None:
    drawn = report_content(_read(full), Words(language)).plots  # type: ignore[arg-type]  # they are languages
    paths = write_plots(drawn, folder / "pictures")
    assert [path.name for path in paths] == [
        f"{one.name}.{kind}" for one in drawn for kind in ("png", "svg")
    ]
    for path in paths:
        start = b"\x89PNG" if path.suffix == ".png" else b"<?xml"
        assert path.read_bytes().startswith(start)
        assert path.stat().st_size < 300_000


def test_plotly_takes_every_setting_of_the_pages_figures(full: Maker) -> None:
    drawn = report_content(_read(full)).plots
    found = json.loads(figures_json(drawn))
    assert list(found) == [one.name for one in drawn]
    for picture, made in zip(drawn, found.values(), strict=True):
        figure = go.Figure(made)  # raises for a setting or a value that plotly does not know
        assert len(figure.data) == len(picture.layers)


def test_numbers_come_back_from_the_pages_figures(full: Maker) -> None:
    picture = _named(_read(full), "curves")
    made = json.loads(figures_json([picture]))["curves"]["data"]
    for trace, layer in zip(made, picture.layers, strict=True):
        numbers = np.frombuffer(base64.b64decode(trace["y"]["bdata"]), dtype="<f8")
        if isinstance(layer, Lines):
            meant = [y for one in layer.curves for y in (*one.y, None)]
            assert [count for _, count in trace["meta"]] == [len(s.x) + 1 for s in layer.curves]
        elif isinstance(layer, Marks):
            meant = [mark.y for mark in layer.marks]
        assert [None if np.isnan(y) else y for y in numbers] == meant


def test_an_empty_study_has_no_pictures(folder: Path) -> None:
    empty = StudyResult("s", None, DEFAULT_OBJECTIVE, {}, {}, None, ())
    assert report_content(empty).plots == ()
    assert write_plots((), folder) == []


def _attempt(attempt: int, began: float, ended: float, slot: str) -> AttemptRow:
    return AttemptRow("u", attempt, slot, "cpu", 1, began, ended, outcome="completed")


def _named(study: StudyResult, name: str) -> Plot:
    return next(one for one in report_content(study).plots if one.name == name)


def _layers(picture: Plot, kind: type[L]) -> Iterator[L]:
    return (layer for layer in picture.layers if isinstance(layer, kind))


def _read(maker: Maker) -> StudyResult:
    return read_study(maker.url, maker.name)
