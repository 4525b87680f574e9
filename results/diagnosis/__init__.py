"""What went wrong or well in a trial, each finding with its evidence in numbers.

`diagnose` gives every try's findings in words; one idea a module makes them, as pure functions.
"""

from results.diagnosis.records import Advice, Diagnosed, Found, Language, Level
from results.diagnosis.study import diagnose, level_of_try
from results.diagnosis.telling import say_advice, told

__all__ = [
    "Advice",
    "Diagnosed",
    "Found",
    "Language",
    "Level",
    "diagnose",
    "level_of_try",
    "say_advice",
    "told",
]
