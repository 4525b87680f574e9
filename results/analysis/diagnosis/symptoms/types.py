"""What a diagnosis returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trytable.records import Scalar, Severity

AdviceDirection = Literal["raise", "lower", "set", "check"]
OverfitLevel = Literal["none", "slight", "moderate", "severe"]


@dataclass(frozen=True)
class Advice:
    """What to try next: a knob and a direction; `value` is set if the evidence suggests one."""

    parameter: str
    direction: AdviceDirection
    value: Scalar = None


@dataclass(frozen=True)
class Symptom:
    """A finding as numbers, in no language. `variant` selects among the texts of one kind."""

    kind: str
    severity: Severity
    evidence: Mapping[str, Scalar]
    advice: tuple[Advice, ...] = ()
    variant: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """A finding in one language, a worker's or Trytable's: what was measured, and why it matters.

    The texts are filled from `evidence`; everything else is the same in every language.
    """

    kind: str
    severity: Severity
    message: str
    explanation: str
    advice: tuple[Advice, ...]
    evidence: Mapping[str, Scalar]
