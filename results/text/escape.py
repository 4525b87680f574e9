"""Escapes text for formats in which some characters have a meaning."""

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
    """Escape text for a plotly figure, which interprets tags, and put it on one line."""
    return html.escape(one_line(clean(text)), quote=False)


def markdown(text: str) -> str:
    """Escape text for a Markdown line or table cell: no markup, no HTML, no new row."""
    entities = "".join(_ENTITIES.get(character, character) for character in " ".join(text.split()))
    # An underscore inside a word, as in weight_decay, is not markup and is easier to read bare.
    return _MARKDOWN.sub(r"\\\g<0>", entities)


def latex(text: str, *, keeps_letters: bool = False) -> str:
    """Escape text for LaTeX with T1 fonts; letters that pdflatex lacks become [U+4E2D].

    `keeps_letters` leaves every letter, for xelatex and lualatex with a font that has it.
    """
    escaped = "".join(_latex_character(c, keeps_letters) for c in " ".join(text.split()))
    # LaTeX turns two hyphens into a dash and two commas or apostrophes into a quotation mark.
    return _LIGATURES.sub(r"\1{}", escaped)


def spreadsheet(text: str) -> str:
    """Escape text for a CSV cell: an apostrophe before what would run as a formula."""
    if text.startswith(_FORMULA_STARTS) or text.lstrip().startswith(_FORMULA_STARTS):
        return f"'{text}"
    return text


def script_json(value: object) -> str:
    """Return JSON for a script element: it contains no tag and no comment."""
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
