"""An advice in words."""

from trytable.records import Language
from trytable.results.analysis.diagnosis.symptoms.types import Advice, AdviceDirection
from trytable.results.text.format import as_cell, format_value

_ADVICE: dict[Language, dict[AdviceDirection, str]] = {
    "en": {
        "raise": "raise {parameter}",
        "lower": "lower {parameter}",
        "set": "set {parameter}",
        "check": "check {parameter}",
    },
    "zh": {
        "raise": "将 {parameter} 调高",
        "lower": "将 {parameter} 调低",
        "set": "将 {parameter} 设置",
        "check": "检查 {parameter}",
    },
}

_ADVICE_VALUE: dict[Language, str] = {"en": " to {value}", "zh": "为 {value}"}


def advice_text(advice: Advice, language: Language = "en") -> str:
    """An advice in words, such as `lower epochs to 18`."""
    text = _ADVICE[language][advice.direction].format(parameter=advice.parameter)
    if advice.value is None:
        return text
    value = format_value(as_cell(advice.value), "parameter")
    return text + _ADVICE_VALUE[language].format(value=value)
