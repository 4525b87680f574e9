"""The report in Markdown: the texts and tables of the page, without plots."""

from collections.abc import Iterable, Sequence

from trytable.results.report.content import MAX_PAIRS, ReportContent
from trytable.results.report.story import build_story
from trytable.results.report.verdict import confirmation_sentences, overview
from trytable.results.tables.formats import to_markdown
from trytable.results.tables.pairs import PAIRS_STEM
from trytable.results.tables.summary import failed_attempts, finding_lines, study_facts
from trytable.results.text.catalog import Words
from trytable.results.text.escape import markdown
from trytable.results.text.format import clean


def report_markdown(content: ReportContent) -> str:
    """Return the report in Markdown; sections without content are left out."""
    study, analysis, words = content.study, content.analysis, content.words
    blocks = [
        *_opening(content),
        _section(words.text("report.tries"), to_markdown(content.table).rstrip()),
        *_story(content),
        *_pairs(content),
        _section(words.text("report.facts"), _facts(content)),
        *_listing(words.text("report.findings"), finding_lines(study, analysis.findings, words)),
        *_listing(words.text("report.failures"), failed_attempts(study)),
    ]
    return "\n\n".join(blocks) + "\n"


def _opening(content: ReportContent) -> list[str]:
    study, words = content.study, content.words
    title = words.text("report.title", study=markdown(clean(study.name)))
    description = clean(str(study.sweep.get("description") or ""))
    paragraphs = (description, overview(study, content.analysis, words))
    blocks = [f"# {title}", *(markdown(text) for text in paragraphs if text)]
    confirmation = confirmation_sentences(study, content.analysis.confirmation, words)
    if confirmation:
        text = markdown(words.paragraph(confirmation))
        blocks.append(_section(words.text("confirmed.title"), text))
    return blocks


def _story(content: ReportContent) -> list[str]:
    story = build_story(content.study, content.analysis, content.words)
    if story is None:
        return []
    sections = (f"**{section.title}** {markdown(section.text)}" for section in story.sections)
    return [f"## {story.title}", *sections]


def _pairs(content: ReportContent) -> list[str]:
    if not content.has_tests:
        return []
    words: Words = content.words
    hidden = len(content.pairs.rows) - MAX_PAIRS
    footer = words.text("pairs.more", count=hidden, file=f"tables/{PAIRS_STEM}.csv")
    return [
        f"## {words.text('pairs.title')}",
        words.text("pairs.caption"),
        to_markdown(content.pairs, MAX_PAIRS).rstrip(),
        *([footer] if hidden > 0 else []),
    ]


def _facts(content: ReportContent) -> str:
    facts = study_facts(content.study, content.words)
    return "\n".join(f"- {term}: {markdown(text)}" for term, text in facts)


def _listing(title: str, rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [
        f"- {label}: {', '.join(markdown(str(value)) for value in values)}"
        for label, *values in rows
    ]
    return [_section(title, "\n".join(lines))] if lines else []


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"
