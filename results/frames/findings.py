"""The frame `findings`: what diagnoses and workers report about each try."""

import json
from dataclasses import dataclass

import pandas as pd

from trytable.records import Language, Severity
from trytable.results.analysis.diagnosis.advice import advice_text
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis
from trytable.results.analysis.types import Analysis
from trytable.results.frames.schema import FrameColumn, FrameSchema
from trytable.results.frames.try_columns import SEVERITIES, TRY
from trytable.results.storage.study import StudyResult

FINDINGS = FrameSchema(
    name="findings",
    row="a finding about a try, the most severe first",
    index=(TRY, FrameColumn("finding", "Int64", "", "number of the finding in its try, from 1")),
    columns=(
        FrameColumn("kind", "string", "", "kind of the finding, such as `overfit`"),
        FrameColumn(
            "severity", "category", "", "how bad it is", categories=SEVERITIES, ordered=True
        ),
        FrameColumn("message", "string", "", "what was measured"),
        FrameColumn("explanation", "string", "", "why it matters"),
        FrameColumn("advice", "string", "", "what to try next, one piece of advice a line"),
        FrameColumn("evidence", "string", "", "the numbers behind the message, as a JSON object"),
    ),
)


@dataclass(frozen=True)
class FindingRecord:
    """A row of the frame."""

    kind: str
    severity: Severity
    message: str
    explanation: str
    advice: str
    evidence: str


def findings_frame(
    study: StudyResult, analysis: Analysis, language: Language = "en"
) -> pd.DataFrame:
    """The frame `findings`, by try and number; `language` is that of the analysis' texts."""
    rows = [
        (trial.number + 1, index, _record(finding, language))
        for trial in study.trials
        for index, finding in enumerate(analysis.findings[trial.number], start=1)
    ]
    numbers, indices, records = zip(*rows, strict=True) if rows else ((), (), ())
    return FINDINGS.build(records, numbers, indices)


def _record(finding: Diagnosis, language: Language) -> FindingRecord:
    return FindingRecord(
        finding.kind,
        finding.severity,
        finding.message,
        finding.explanation,
        "\n".join(advice_text(advice, language) for advice in finding.advice),
        json.dumps(dict(finding.evidence), ensure_ascii=False),
    )
