"""The catalogues hold the same texts with the same fields, and a report is all in one language."""

import re
import string

import pytest

from tests.results.studies import Maker, report_content
from trytable.results.report.markdown import report_markdown
from trytable.results.storage.reader import read_study
from trytable.results.tables.formats import note_markdown
from trytable.results.tables.summary import summarize
from trytable.results.text.catalog import CATALOGS, LANGUAGES, Words

_CHINESE = re.compile("[\u4e00-\u9fff]")


def _fields(text: str) -> set[tuple[str, str]]:
    parsed = string.Formatter().parse(text)
    return {(name, spec or "") for _, name, spec, _ in parsed if name is not None}


def test_every_language_has_every_text_with_the_same_fields() -> None:
    english, *others = (CATALOGS[language] for language in LANGUAGES)
    for other in others:
        assert other.keys() == english.keys()
        differing = [key for key in english if _fields(other[key]) != _fields(english[key])]
        assert differing == []


def test_a_counted_text_has_both_forms() -> None:
    for texts in CATALOGS.values():
        counted = {key.rpartition(".") for key in texts if key.endswith((".one", ".other"))}
        stems = {stem for stem, _, _ in counted}
        assert {f"{stem}.{form}" for stem in stems for form in ("one", "other")} <= texts.keys()


def test_each_catalogue_is_in_its_language() -> None:
    assert [key for key, text in CATALOGS["en"].items() if _CHINESE.search(text)] == []
    words = {k: _ENGLISH_TERMS.sub("", text) for k, text in CATALOGS["zh"].items()}
    english = [key for key, text in words.items() if re.search("[A-Za-z]{4}", text)]
    assert english == []


_ENGLISH_TERMS = re.compile(
    r"{[^}]*}|make (?:confirm|suggest) NAME=|(?:Wilson|McNemar|Holm|PED-ANOVA|ANOVA|fANOVA)\b"
)
"""Fields, commands and names of methods, which Chinese texts leave in English."""


def test_a_missing_text_or_field_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        Words().text("no.such")
    with pytest.raises(KeyError):
        Words().text("summary.after")


def test_a_name_that_no_catalogue_knows_stands_for_itself() -> None:
    assert Words("zh").term("objective", "my_metric\n2") == "my metric 2"
    assert Words("zh").term("objective", "dev_loss") == "验证损失"


def test_a_study_in_chinese(full: Maker) -> None:
    study, words = read_study(full.url, full.name), Words("zh")
    content = report_content(study, words)
    assert summarize(study, words).startswith("共 8 次实验：3 次完成、1 次已剪枝")
    text = report_markdown(content)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert all(_CHINESE.search(line) for line in titles)
    head = next(line for line in text.splitlines() if line.startswith("| "))
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert [cell for cell in cells if not _CHINESE.search(cell)] == ["dropout"]
    assert "失败：CUDA out of memory，共运行 3 次" in text
    assert note_markdown(content.table, 3, words).endswith("另有 5 次未列出。\n")
