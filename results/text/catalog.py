"""The texts of reports in each language, by key.

Each language has a module beside this one with the same keys and the same fields. A field formats
its number (`{value:.3f}`), so every language rounds it alike.
"""

from typing import Any, get_args

from trytable.records import Language
from trytable.results.text import en, zh
from trytable.results.text.format import clean, one_line

LANGUAGES: tuple[Language, ...] = get_args(Language)

CATALOGS: dict[Language, dict[str, str]] = {
    "en": en.TEXTS,
    "zh": zh.TEXTS,
}


class Words:
    """The texts of one language.

    Args:
        language: `en` or `zh`.
    """

    def __init__(self, language: Language = "en") -> None:
        self.language: Language = language
        self._texts = CATALOGS[language]

    def text(self, key: str, **fields: Any) -> str:
        """Return the text of a key with its fields filled in. Raises KeyError if one is unknown."""
        return self._texts[key].format(**fields)

    def count(self, key: str, count: int, **fields: Any) -> str:
        """Return `key.one` if the count is 1, else `key.other`, with its fields filled in."""
        form = "one" if count == 1 else "other"
        return self.text(f"{key}.{form}", count=count, **fields)

    def term(self, group: str, name: str) -> str:
        """Return the text of `group.name`, or the name itself if the catalog lacks it."""
        text = self._texts.get(f"{group}.{name}")
        return text or one_line(clean(name.replace("_", " ")))

    def sentence(self, text: str) -> str:
        """Return the text with a capital first letter."""
        return text[:1].upper() + text[1:]

    def join(self, parts: list[str]) -> str:
        """Join parts of a sentence with the language's list separator."""
        return self.text("list.comma").join(parts)

    def paragraph(self, sentences: list[str]) -> str:
        """Join sentences to a paragraph, without the empty ones."""
        return self.text("sentence.gap").join(filter(None, sentences))


ENGLISH = Words("en")
