"""What people read of a study, in their language: texts by key, filled with numbers.

The texts lie in `results/words/`, one catalogue a language, with the same keys and the same
fields. A number comes formatted by its field (`{value:.3f}`), so every language shows it alike.
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
        """The text of a key, filled. Raises KeyError for a key or a field that there is not."""
        return self._texts[key].format(**fields)

    def count(self, key: str, count: int, **fields: Any) -> str:
        """`key.one` for one thing, else `key.other`, filled with `count` and the fields."""
        form = "one" if count == 1 else "other"
        return self.text(f"{key}.{form}", count=count, **fields)

    def term(self, group: str, name: str) -> str:
        """The word for `group.name`; a name that the catalogue lacks stands for itself."""
        known = self._texts.get(f"{group}.{name}")
        return known or one_line(clean(name.replace("_", " ")))

    def sentence(self, text: str) -> str:
        """A text as it begins a sentence."""
        return text[:1].upper() + text[1:]

    def join(self, parts: list[str]) -> str:
        """Parts of one sentence, as a list."""
        return self.text("list.comma").join(parts)

    def paragraph(self, sentences: list[str]) -> str:
        """Whole sentences in a row; empty ones are left out."""
        return self.text("sentence.gap").join(filter(None, sentences))


ENGLISH = Words("en")
