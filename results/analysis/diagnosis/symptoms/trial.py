"""What a diagnosis reads, one trial's measurements and its task, and how it is registered."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from trytable.records import DEFAULT_OBJECTIVE, Language, Objective, Severity
from trytable.results.analysis.diagnosis.symptoms.thresholds import Thresholds
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis, Symptom
from trytable.results.storage.rows import TERMINAL, Status, StepRow
from trytable.results.storage.study import EpochResult

StoppingTime = Literal["at once", "after the window"]
"""When a symptom may stop a running trial."""


@dataclass(frozen=True)
class LeakCount:
    """Of `size` texts in a split, `shared` are in another, `other_label` with another label."""

    split: str
    other: str
    size: int
    shared: int
    other_label: int


@dataclass(frozen=True)
class Task:
    """What all trials of a study share.

    `classes` is None if their number is unknown; `shares` are the shares of the classes in dev, in
    the order of the classes, empty if dev has no labels; `leaks` are the texts that splits share.
    """

    classes: int | None = None
    shares: tuple[float, ...] = ()
    dev_size: int | None = None
    lowest_label: int | None = None
    highest_label: int | None = None
    leaks: tuple[LeakCount, ...] = ()

    @property
    def guessing_loss(self) -> float | None:
        """Cross-entropy of a uniform guess in nats, ln C for C classes."""
        return math.log(self.classes) if self.classes and self.classes > 1 else None

    @property
    def prior_loss(self) -> float | None:
        """Cross-entropy of predicting the classes' shares in nats: their entropy."""
        if not self.shares:
            return self.guessing_loss
        return -sum(share * math.log(share) for share in self.shares if share > 0)

    @property
    def chance(self) -> float | None:
        """Accuracy of always predicting the most frequent class."""
        if self.shares:
            return max(self.shares)
        return 1 / self.classes if self.classes else None

    def standard_error(self, accuracy: float) -> float | None:
        """Standard error of a dev accuracy: sqrt(p (1 - p) / n), of a binomial proportion."""
        if not self.dev_size:
            return None
        return math.sqrt(accuracy * (1 - accuracy) / self.dev_size)


@dataclass(frozen=True)
class DiagnosedTrial:
    """One trial's settings and measurements.

    `settings` have Trytable's names, a script's too; `is_observed` is whether a script's optimizer
    was observed at every step. `steps` are in order, each step once; `predictions` are class
    indices on dev at the best epoch; `messages` are those that its attempts ended with.
    """

    number: int = 0
    status: Status = "completed"
    settings: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[EpochResult, ...] = ()
    steps: tuple[StepRow, ...] = ()
    best_epoch: int | None = None
    objective: Objective = DEFAULT_OBJECTIVE
    predictions: tuple[int, ...] = ()
    trainable_parameters: int | None = None
    parameters: int | None = None
    steps_total: int | None = None
    messages: tuple[str, ...] = ()
    is_observed: bool = False

    @cached_property
    def losses(self) -> tuple[tuple[int, float], ...]:
        """Finite losses by step."""
        return tuple((row.step, row.loss) for row in self.steps if row.loss is not None)

    @property
    def train_losses(self) -> list[tuple[int, float]]:
        """Measured train losses by epoch."""
        return [(e.epoch, e.train_loss) for e in self.curve if e.train_loss is not None]

    @property
    def dev_accuracies(self) -> list[tuple[int, float]]:
        """Measured dev accuracies by epoch."""
        return [(e.epoch, e.dev_accuracy) for e in self.curve if e.dev_accuracy is not None]

    @property
    def has_ended(self) -> bool:
        """Whether the trial is over, so that its curve is complete."""
        return self.status in TERMINAL

    def epoch(self, number: int | None) -> EpochResult | None:
        """An epoch by its number; None if it was not evaluated."""
        return next((epoch for epoch in self.curve if epoch.epoch == number), None)


def train_accuracy(epoch: EpochResult) -> float | None:
    """Accuracy on train sentences in eval mode; if not measured, that of the training batches."""
    probe = epoch.probe_accuracy
    return epoch.running_accuracy if probe is None else probe


@dataclass(frozen=True)
class Wording:
    """The message has placeholders for fields of the evidence; the explanation has none."""

    message: str
    explanation: str


@dataclass(frozen=True)
class Case:
    """What a check reads: a trial, its task, and the kinds of the symptoms that precede it."""

    trial: DiagnosedTrial
    task: Task
    limits: Thresholds
    causes: frozenset[str] = frozenset()


def no_words(evidence: Mapping[str, Any], language: Language) -> dict[str, str]:  # noqa: ARG001 - as DiagnosisKind.words calls it
    """Return no further fields: the message is filled from the evidence alone."""
    return {}


@dataclass(frozen=True)
class DiagnosisKind:
    """A kind of symptom. Its record in `DIAGNOSES` is all that the rest of the code knows of it.

    Attributes:
        kind: the name, which studies store and which `gate: kinds` may name.
        severities: those that its symptoms have.
        wordings: the texts by language and variant; every language has the same variants.
        check: finds the symptom in one trial.
        check_study: finds the symptom by comparing trials; yields it with its trial's number.
        words: fields of the message that depend on the language, from the evidence.
        explained_by: kinds that explain this one, which is then not reported.
        stops: when it may stop a running trial; None if it never does.
    """

    kind: str
    severities: tuple[Severity, ...]
    wordings: Mapping[Language, Mapping[str, Wording]]
    check: Callable[[Case], Symptom | None] | None = None
    check_study: Callable[[Sequence[DiagnosedTrial]], Iterator[tuple[int, Symptom]]] | None = None
    words: Callable[[Mapping[str, Any], Language], dict[str, str]] = no_words
    explained_by: tuple[str, ...] = ()
    stops: StoppingTime | None = None

    def describe(self, symptom: Symptom, language: Language = "en") -> Diagnosis:
        """A symptom of this kind in words."""
        wordings = self.wordings[language]
        wording = wordings.get(symptom.variant) or wordings[""]
        fields = {**symptom.evidence, **self.words(symptom.evidence, language)}
        return Diagnosis(
            kind=symptom.kind,
            severity=symptom.severity,
            message=wording.message.format(**fields),
            explanation=wording.explanation,
            advice=symptom.advice,
            evidence=symptom.evidence,
        )
