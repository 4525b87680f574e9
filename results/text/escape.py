"""Escapes text for the formats in which a text could mean something."""

import html
import json
import re

from trytable.results.text.format import clean, one_line

_MARKDOWN = re.compile(r"([\\`*\[\]|~$])|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
}
_LIGATURES = re.compile(r"([-,'])(?=\1)")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def tagless(text: str) -> str:
    """Text inside a plotly figure, which reads tags: one line, shown as it is."""
    return html.escape(one_line(clean(text)), quote=False)


def markdown(text: str) -> str:
    """Text inside a Markdown line or table cell: no markup, no HTML, no new row."""
    entities = "".join(_ENTITIES.get(character, character) for character in " ".join(text.split()))
    # An underscore inside a word, as in weight_decay, is no markup and reads better bare.
    return _MARKDOWN.sub(r"\\\g<0>", entities)


def latex(text: str, *, keeps_letters: bool = False) -> str:
    """Text for LaTeX with T1 fonts; what pdflatex has no letter for becomes [U+4E2D].

    With `keeps_letters` every letter stays, for xelatex and lualatex with a font that has it.
    """
    escaped = "".join(_latex_character(c, keeps_letters) for c in " ".join(text.split()))
    # Two hyphens in a row would become a dash, two commas or apostrophes a quotation mark.
    return _LIGATURES.sub(r"\1{}", escaped)


def spreadsheet(text: str) -> str:
    """Text for a CSV cell: an apostrophe before what a spreadsheet would take for a formula."""
    if text.startswith(_FORMULA_STARTS) or text.lstrip().startswith(_FORMULA_STARTS):
        return f"'{text}"
    return text


def script_json(value: object) -> str:
    """JSON that can stand in a script element: it holds no tag and no comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _latex_character(character: str, keeps_letters: bool) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii() or "\u00c0" <= character <= "\u00ff":
        return character
    if keeps_letters and character.isprintable():
        return character
    return f"[U+{ord(character):04X}]"
