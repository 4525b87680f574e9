"""The report, opened in a real browser where it matters."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import escape
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tests.results.browser import Browser
from tests.results.studies import Maker, Planned, report_content
from trytable.records import DEFAULT_OBJECTIVE
from trytable.results.analysis.importance import MIN_COMPLETED, importances
from trytable.results.plots.matplotlib import write_plots
from trytable.results.report.html import report_html, write_report
from trytable.results.report.markdown import report_markdown
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.results.tables.summary import study_facts, summarize
from trytable.results.text.catalog import Words

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
    assert _missing_plots(browser) == []
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
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    try:
        _open(browser, _read(full), folder)
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        _missing_plots(browser)
        ink = browser.run("getComputedStyle(document.querySelector('.xtick text')).fill")
        assert (paper, ink) == ("rgb(20, 23, 26)", "rgb(230, 232, 234)")
        assert browser.run("document.documentElement.scrollWidth") == 360
        assert browser.run("document.querySelector('.scroll').scrollWidth") > 360
        browser.call("Emulation.setEmulatedMedia", features=[{**dark, "value": "light"}])
        tick = "getComputedStyle(document.querySelector('.xtick text')).fill"
        browser.wait_for(f"{tick} === 'rgb(31, 35, 40)'")
        browser.run("document.getElementById('dark').click()")
        browser.wait_for(f"{tick} === 'rgb(230, 232, 234)'")
        pressed = browser.run("document.getElementById('dark').getAttribute('aria-pressed')")
        assert pressed == "true"
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.call("Emulation.setEmulatedMedia", features=[])


def test_the_try_column_stays_in_view(full: Maker, folder: Path, browser: Browser) -> None:
    _open(browser, _read(full), folder)
    left = "document.querySelector('#tries tbody th').getBoundingClientRect().left"
    before = browser.run(left)
    browser.run("document.querySelector('.scroll').style.width = '300px'")
    browser.run("document.querySelector('.scroll').scrollLeft = 400")
    assert browser.run("document.querySelector('.scroll').scrollLeft") == 400
    assert browser.run(left) == before


def test_a_badge_tells_what_was_seen_why_and_what_next(
    maker: Maker, folder: Path, browser: Browser
) -> None:
    maker.add(Planned({"lr": 0.1}, (0.5, 0.45, 0.4), train=(0.7, 0.95, 0.99)))
    _open(browser, _read(maker), folder)
    badge = "document.querySelector('#tries a.badge')"
    assert browser.run(f"{badge}.textContent") == "overfit (warning)"
    # As a keyboard does it: Enter on a link is a click.
    browser.run(f"{badge}.focus(); document.activeElement.click()")
    browser.wait_for("document.getElementById('finding').matches(':popover-open')")
    text = browser.run("document.getElementById('finding').innerText")
    assert text.startswith("Try 1: overfit (warning)")
    for part in ("severe overfitting", "memorizes", "What to try next: "):
        assert part in text
    target = browser.run(f"document.querySelector({badge}.hash).textContent")
    assert "severe overfitting" in target


def test_requested_and_effective_settings_open(
    maker: Maker, folder: Path, browser: Browser
) -> None:
    maker.add(Planned({"lr": 0.1}, (0.5,), requested={"optimizer": EVIL}))
    study = _read(maker)
    one = replace(study.trials[0], effective={"lr": 0.2, "optimizer": EVIL})
    _open(browser, replace(study, trials=(one,)), folder)
    assert "≠ 1 differs" in browser.run("document.querySelector('.settings summary').innerText")
    browser.run("document.querySelector('.settings details').open = true")
    browser.wait_for("document.querySelector('.settings table') !== null")
    rows = browser.run(
        "[...document.querySelectorAll('.settings tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert ["lr", "0.1", "≠ 0.2"] in rows
    assert ["optimizer", EVIL, EVIL] in rows
    assert browser.run("window.hacked") is None


def test_a_page_in_chinese(full: Maker, folder: Path, browser: Browser) -> None:
    page, _ = write_report(report_content(_read(full), Words("zh")), folder)
    browser.open(page.as_uri())
    assert browser.run("document.documentElement.lang") == "zh"
    heads = browser.run("[...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert [head for head in heads if not re.search("[\u4e00-\u9fff]", head)] == []
    assert "completed" not in browser.run("document.body.innerText")


def test_nothing_in_a_study_runs(evil: StudyResult, folder: Path, browser: Browser) -> None:
    _open(browser, evil, folder)
    assert browser.errors == []
    assert browser.run("window.hacked") is None
    assert browser.run("document.images.length") == 0
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
    text = browser.run("document.body.innerText")
    assert text.count(EVIL) >= 12
    _missing_plots(browser)
    axis = browser.run("document.querySelector('#plot-parameter-1 .xtitle').textContent")
    assert axis == EVIL


def test_nothing_in_the_source_is_left_unescaped(evil: StudyResult) -> None:
    page = report_html(report_content(evil))
    assert "window.hacked=1</script>" not in page
    assert "<img" not in page
    assert page.count(str(escape(EVIL))) >= 12


def test_the_policy_lets_no_other_script_run(full: Maker, folder: Path, browser: Browser) -> None:
    page = report_html(report_content(_read(full)))
    page = page.replace("</main>", "</main><script>window.hacked=1</script>")
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
    assert summarize(_read(maker)) in text


def test_the_same_study_gives_the_same_bytes(full: Maker, folder: Path) -> None:
    study = _read(full)
    first = [path.read_bytes() for path in write_report(report_content(study), folder / "a")]
    second = [path.read_bytes() for path in write_report(report_content(_read(full)), folder / "b")]
    assert first == second
    written = [write_plots(report_content(study).plots, folder / name) for name in "ab"]
    assert [p.read_bytes() for p in written[0]] == [p.read_bytes() for p in written[1]]


def test_the_markdown_report(full: Maker) -> None:
    text = report_markdown(report_content(_read(full)))
    assert text.startswith("# Sweep dropout\n\n8 tries: 3 completed, ")
    assert "| Try 2 | 0.3 |" in text
    assert "- Try 5: 3, failed, CUDA out of memory" in text


def test_the_markdown_report_escapes(evil: StudyResult) -> None:
    text = report_markdown(report_content(evil))
    assert "<script" not in text
    assert "<img" not in text


def test_summaries() -> None:
    study = StudyResult("s", None, DEFAULT_OBJECTIVE, {}, {}, None, ())
    assert summarize(study) == "No try has started yet."
    assert study_facts(study) == []


def test_the_summary_of_a_study(full: Maker) -> None:
    counts = "8 tries: 3 completed, 1 pruned, 1 stopped, 1 failed, 1 running, 1 waiting."
    best = "The best try is Try 2 (dropout 0.3) with dev accuracy 0.640 after epoch 2"
    rest = "; the baseline, Try 1, reached 0.600."
    assert summarize(_read(full)) == f"{counts} {best}{rest}"


def test_importances_need_enough_completed_tries(folder: Path) -> None:
    space = {"lr": FloatDistribution(0, 1), "other": FloatDistribution(0, 1)}
    maker = Maker(folder / "studies.db", space=space)
    for number in range(MIN_COMPLETED):
        lr, other = number / MIN_COMPLETED, (number * 7 % MIN_COMPLETED) / MIN_COMPLETED
        maker.add(Planned({"lr": lr, "other": other}, (0.5 + lr / 3,)))
    maker.add(Planned({"lr": 0.0, "other": 0.0}, (0.99,), status="pruned"))
    study = _read(maker)
    shares = importances(study)
    assert list(shares) == ["lr", "other"]
    assert sum(shares.values()) == pytest.approx(1)
    without_pruned = replace(study, trials=study.trials[:-1])
    assert importances(without_pruned) == shares
    assert importances(replace(study, trials=study.trials[1:])) == {}
    assert f"over {MIN_COMPLETED} completed tries" in report_html(report_content(study))


def _missing_plots(browser: Browser) -> list[str]:
    """Draw all figures, those out of view too; names of those that are not there then."""
    browser.run("drawAll(isDark())")
    browser.wait_for("document.querySelectorAll('.plot .main-svg').length > 0")
    names: list[str] = browser.run(
        "Object.keys(figures).filter(n => !document.querySelector(`#plot-${n} .main-svg`))"
    )
    return names


def _open(browser: Browser, study: StudyResult, folder: Path) -> None:
    page, _ = write_report(report_content(study), folder)
    browser.open(page.as_uri())


def _column(browser: Browser, title: str) -> list[str]:
    cells: str = browser.run(
        "(() => { const heads = [...document.querySelectorAll('#tries thead th')];"
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
