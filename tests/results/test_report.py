"""The report, opened in a real browser where it matters."""

from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import escape
from optuna.distributions import CategoricalDistribution, FloatDistribution

from results.importance import ENOUGH, importances
from results.pictures import write_pictures
from results.report import to_html, to_report_markdown, write_report
from results.series import curves, parameter_pictures
from results.study import StudyResult, read_study
from results.summary import facts, summary
from tests.results.browser import Browser
from tests.results.studies import Maker, Planned

EVIL = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>"
    "<b>b</b><a href='javascript:window.hacked=3'>a</a>"
)
_CASES = {
    "nothing": (),
    "one": (Planned({"dropout": 0.1}, (0.5, 0.6), (0.5, 0.6), source="baseline"),),
    "all failed": (
        Planned({"dropout": 0.1}, status="failed", reason="out of memory", source="baseline"),
        Planned({"dropout": 0.2}, status="failed", reason="out of memory"),
    ),
    "one waits": (Planned({"dropout": 0.1}, status="waiting", attempts=0),),
}


@pytest.fixture
def evil(folder: Path) -> StudyResult:
    """A study all of whose texts try to break out of the page."""
    sweep = {
        "name": EVIL,
        "description": EVIL,
        "model": EVIL,
        "data": {"name": EVIL},
        "parameters": {EVIL: {"values": [EVIL, "b"]}},
    }
    found = {"classes": [EVIL], "notes": [EVIL], "pins": {EVIL: EVIL}, "sizes": {"dev": 9}}
    space = {EVIL: CategoricalDistribution([EVIL, "$x$ %{y} <b>b</b>"])}
    maker = Maker(folder / "studies.db", name=EVIL, sweep=sweep, facts=found, space=space)
    maker.add(
        Planned({EVIL: EVIL}, (0.5, 0.6), (0.6, 0.7), findings=((EVIL, EVIL, EVIL),)),
        Planned({EVIL: "$x$ %{y} <b>b</b>"}, (0.5,), attempts=2, status="failed", reason=EVIL),
    )
    return _read(maker)


def test_a_report_in_the_browser(full: Maker, folder: Path, browser: Browser) -> None:
    _open(browser, _read(full), folder)
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
    assert browser.run("document.querySelectorAll('#tries tbody tr').length") == 8
    assert browser.run("document.querySelectorAll('#plot-curves .scatterlayer .trace').length") == 9
    assert browser.run("document.querySelectorAll('#plot-parameter-1 .point').length") == 6
    assert browser.run("document.body.scrollWidth <= innerWidth")


def test_the_table_sorts_by_a_click_and_keeps_blanks_last(
    full: Maker, folder: Path, browser: Browser
) -> None:
    _open(browser, _read(full), folder)
    assert _column(browser, "try") == [f"Try {n}" for n in (2, 1, 6, 3, 4, 5, 7, 8)]
    values = ["0.200", "0.400", "0.600", "0.600", "0.640", "0.900"]
    _click(browser, "best dev acc")
    assert _column(browser, "best dev acc") == [*values, "", ""]
    _click(browser, "best dev acc")
    assert _column(browser, "best dev acc") == [*values[::-1], "", ""]
    _click(browser, "try")
    assert _column(browser, "try") == [f"Try {n}" for n in range(1, 9)]


def test_dark_and_narrow(full: Maker, folder: Path, browser: Browser) -> None:
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", features=[dark])
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    try:
        _open(browser, _read(full), folder)
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        ink = browser.run("getComputedStyle(document.querySelector('.xtick text')).fill")
        assert (paper, ink) == ("rgb(20, 23, 26)", "rgb(230, 232, 234)")
        assert browser.run("document.documentElement.scrollWidth") == 390
        assert browser.run("document.querySelector('.scroll').scrollWidth") > 390
        browser.call("Emulation.setEmulatedMedia", features=[{**dark, "value": "light"}])
        tick = "getComputedStyle(document.querySelector('.xtick text')).fill"
        browser.wait_for(f"{tick} === 'rgb(31, 35, 40)'")
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.call("Emulation.setEmulatedMedia", features=[])


def test_nothing_in_a_study_runs(evil: StudyResult, folder: Path, browser: Browser) -> None:
    _open(browser, evil, folder)
    assert browser.errors == []
    assert browser.run("window.hacked") is None
    assert browser.run("document.images.length") == 0
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
    text = browser.run("document.body.innerText")
    assert text.count(EVIL) >= 12
    axis = browser.run("document.querySelector('#plot-parameter-1 .xtitle').textContent")
    assert axis == EVIL


def test_nothing_in_the_source_is_left_unescaped(evil: StudyResult) -> None:
    page = to_html(evil)
    assert "window.hacked=1</script>" not in page
    assert "<img" not in page
    assert page.count(str(escape(EVIL))) >= 12


def test_the_policy_lets_no_other_script_run(full: Maker, folder: Path, browser: Browser) -> None:
    page = to_html(_read(full)).replace("</main>", "</main><script>window.hacked=1</script>")
    (folder / "changed.html").write_text(page)
    browser.open((folder / "changed.html").as_uri())
    assert browser.run("window.hacked") is None
    assert any("Content Security Policy" in error for error in browser.errors)


@pytest.mark.parametrize("case", _CASES)
def test_a_small_study_has_a_sensible_page(
    maker: Maker, folder: Path, browser: Browser, case: str
) -> None:
    maker.add(*_CASES[case])
    _open(browser, _read(maker), folder)
    assert browser.errors == []
    text = browser.run("document.body.innerText")
    assert "None" not in text
    assert "nan" not in text
    assert summary(_read(maker)) in text


def test_the_same_study_gives_the_same_bytes(full: Maker, folder: Path) -> None:
    study = _read(full)
    first = [path.read_bytes() for path in write_report(study, folder / "a")]
    second = [path.read_bytes() for path in write_report(_read(full), folder / "b")]
    assert first == second
    pictures = [write_pictures(study, folder / name)[0].read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


def test_the_markdown_report(full: Maker) -> None:
    text = to_report_markdown(_read(full))
    assert text.startswith("# Sweep dropout\n\n8 tries: 3 completed, ")
    assert "| Try 2 | 0.3 |" in text
    assert "- Try 5: 3, failed, CUDA out of memory" in text


def test_the_markdown_report_escapes(evil: StudyResult) -> None:
    text = to_report_markdown(evil)
    assert "<script" not in text
    assert "<img" not in text


def test_summaries() -> None:
    study = StudyResult("s", None, True, "dev_accuracy", {}, {}, None, ())
    assert summary(study) == "No try has started yet."
    assert facts(study) == []


def test_the_summary_of_a_study(full: Maker) -> None:
    counts = "8 tries: 3 completed, 1 pruned, 1 stopped, 1 failed, 1 running, 1 waiting."
    best = "Best is Try 2 (dropout 0.3) with dev accuracy 0.640 after epoch 2"
    rest = "; the baseline, Try 1, reached 0.600."
    assert summary(_read(full)) == f"{counts} {best}{rest}"


def test_importances_need_enough_completed_tries(folder: Path) -> None:
    space = {"lr": FloatDistribution(0, 1), "other": FloatDistribution(0, 1)}
    maker = Maker(folder / "studies.db", space=space)
    for number in range(ENOUGH):
        lr, other = number / ENOUGH, (number * 7 % ENOUGH) / ENOUGH
        maker.add(Planned({"lr": lr, "other": other}, (0.5 + lr / 3,)))
    maker.add(Planned({"lr": 0.0, "other": 0.0}, (0.99,), status="pruned"))
    study = _read(maker)
    shares = importances(study)
    assert list(shares) == ["lr", "other"]
    assert sum(shares.values()) == pytest.approx(1)
    without_pruned = replace(study, tries=study.tries[:-1])
    assert importances(without_pruned) == shares
    assert importances(replace(study, tries=study.tries[1:])) == {}
    assert f"over {ENOUGH} completed tries" in to_html(study)


def test_axes(folder: Path) -> None:
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
    pictures = {picture.name: picture for picture in parameter_pictures(_read(maker))}
    scales = {name: picture.scale for name, picture in pictures.items()}
    assert scales == {
        "lr": "log",
        "freeze": "category",
        "dropout": "linear",
        "decay": "category",
        "steps": "log",
    }
    assert pictures["freeze"].categories == ("none", "half", "full")
    assert pictures["decay"].categories == ("0", "1e-4", "0.001", "0.01", "0.1")


def test_curves_come_best_first_and_only_a_few_have_a_colour(maker: Maker) -> None:
    maker.add(*(Planned({"dropout": n / 10}, (0.5 + n / 100,)) for n in range(8)))
    drawn = curves(_read(maker))
    assert [curve.label for curve in drawn] == [f"Try {n}" for n in range(8, 0, -1)]
    assert len({curve.colour for curve in drawn[:6]}) == 6
    assert drawn[6].colour == drawn[7].colour


def test_the_picture(evil: StudyResult, full: Maker, folder: Path) -> None:
    for study in (evil, _read(full)):
        (path,) = write_pictures(study, folder)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 200_000
    empty = StudyResult("s", None, True, "dev_accuracy", {}, {}, None, ())
    assert write_pictures(empty, folder) == []


def _open(browser: Browser, study: StudyResult, folder: Path) -> None:
    page, _ = write_report(study, folder)
    browser.open(page.as_uri())


def _column(browser: Browser, title: str) -> list[str]:
    cells: str = browser.run(
        "(() => { const heads = [...document.querySelectorAll('#tries th button')];"
        f"const index = heads.findIndex(head => head.textContent === {title!r});"
        "return [...document.querySelectorAll('#tries tbody tr')]"
        ".map(row => row.cells[index].innerText).join('\\n') })()"
    )
    return cells.split("\n")


def _click(browser: Browser, title: str) -> None:
    browser.run(
        "[...document.querySelectorAll('#tries th button')]"
        f".find(button => button.textContent === {title!r}).click()"
    )


def _read(maker: Maker) -> StudyResult:
    return read_study(maker.url, maker.name)
