"""Numbers and literals as programs print them."""

import re


def parse_number(text: str) -> float | None:
    """Return a printed number, one with a percent sign as a share, or None if it is no number."""
    text = text.strip()
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def parse_literal(text: str) -> object:
    """Return a value as Python or JSON prints it: a string, boolean, None or number.

    What is none of these is returned as the text that it is.
    """
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    words: dict[str, object] = {"True": True, "true": True, "False": False, "false": False}
    if text in words or text in ("None", "null"):
        return words.get(text)
    number = parse_number(text)
    if number is None or "%" in text:
        return text
    is_integer = re.fullmatch(r"[-+]?\d{1,18}", text) is not None
    return int(text) if is_integer else number


def number_from(value: object) -> float | None:
    """Return a parsed value as a number, also one printed in quotes, as newer HF Trainers do."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return parse_number(value)
    return float(value) if isinstance(value, int | float) else None
