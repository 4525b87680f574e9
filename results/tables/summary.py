"""A study as text: a summary, the facts of its sweep, its findings and its failed attempts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from trytable.records import PRUNER_OPTIONS, SAMPLER_OPTIONS
from trytable.results.analysis.diagnosis.advice import advice_text
from trytable.results.analysis.diagnosis.symptoms.types import Diagnosis
from trytable.results.frames.parameters import varied_parameters
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.order import parameter_text
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import (
    clean,
    format_scalar,
    format_settings,
    format_value,
    one_line,
)

_HASH_DIGITS = 12
_OPTIONS = {**SAMPLER_OPTIONS, **PRUNER_OPTIONS}


def summarize(study: StudyResult, words: Words = ENGLISH) -> str:
    """Return one paragraph: how many trials ended how, the best one, and the baseline."""
    if not study.trials:
        return words.text("summary.empty")
    sentences = [_counts(study, words)]
    if study.ranked:
        sentences.append(_best(study, study.ranked[0], words))
    return words.paragraph(sentences)


def study_facts(study: StudyResult, words: Words = ENGLISH) -> list[tuple[str, str]]:
    """Return what was swept, with which settings, data and machines, as terms and texts.

    Facts that are not known are left out.
    """
    sweep, recorded = study.sweep, study.facts
    facts = {
        "swept": words.text("list.semicolon").join(_swept(study, words)),
        "baseline": format_settings(_changed_baseline(study)),
        "sampler": format_settings(_used_options(sweep.get("sampler"))),
        "pruner": format_settings(_used_options(sweep.get("pruner"))),
        "trainer": format_scalar(sweep.get("trainer")),
        "model": _with_hash(sweep.get("model"), recorded.get("model_hash")),
        "data": _with_hash(_data_name(sweep.get("data")), recorded.get("data_hash")),
        "sizes": format_settings(recorded.get("sizes")),
        "classes": _classes(recorded.get("classes")),
        "seed": format_scalar(sweep.get("seed")),
        "machines": _machines(study, words),
        "versions": format_settings(recorded.get("pins")),
    }
    hidden = ("model", "data") if study.is_script_study else ()
    notes = [(words.text("facts.note"), format_scalar(n)) for n in recorded.get("notes") or ()]
    return [
        *(
            (words.text(f"facts.{key}"), text)
            for key, text in facts.items()
            if text and key not in hidden
        ),
        *notes,
    ]


def failed_attempts(study: StudyResult) -> list[tuple[str, int, str, str]]:
    """Return label, attempt, outcome and message of each attempt that failed or was retried."""
    return [
        (trial.label, row.attempt, clean(row.outcome), one_line(clean(row.message)))
        for trial in study.trials
        for row in trial.attempts
        if row.outcome in ("retried", "failed")
    ]


def finding_lines(
    study: StudyResult, findings: Mapping[int, tuple[Diagnosis, ...]], words: Words = ENGLISH
) -> list[tuple[str, str, str]]:
    """Return label, kind with severity, and observation with explanation and advice per finding."""
    return [
        (
            trial.label,
            words.text(
                "findings.mark",
                kind=one_line(clean(finding.kind)),
                severity=words.term("severity", finding.severity),
            ),
            one_line(clean(_finding_text(finding, words))),
        )
        for trial in study.trials
        for finding in findings[trial.number]
    ]


def _finding_text(finding: Diagnosis, words: Words) -> str:
    end = words.text("sentence.end")
    advice = words.text("list.semicolon").join(
        advice_text(advice, words.language) for advice in finding.advice
    )
    next_steps = words.text("findings.next", advice=advice) if advice else ""
    return words.paragraph([f"{finding.message}{end}", finding.explanation, next_steps])


def _counts(study: StudyResult, words: Words) -> str:
    counts = Counter(trial.status for trial in study.trials).most_common()
    parts = [
        words.text("summary.counted", count=count, status=words.text(f"status.{status}"))
        for status, count in counts
    ]
    return words.count("summary.counts", len(study.trials), named=words.join(parts))


def _best(study: StudyResult, best: TrialResult, words: Words) -> str:
    values = parameter_text(best, varied_parameters(study.trials))
    epoch = best.best_epoch
    fields = {
        "label": best.label,
        "values": words.text("summary.values", values=values) if values else "",
        "objective": words.term("objective", study.objective.name),
        "value": format_value(best.best_value, "accuracy"),
        "after": words.text("summary.after", epoch=epoch) if epoch is not None else "",
    }
    baseline = study.baseline
    if baseline is None or baseline.status != "completed":
        return words.text("summary.best", **fields)
    if baseline.number == best.number:
        return words.text("summary.best_is_baseline", **fields)
    value = format_value(baseline.best_value, "accuracy")
    return words.text("summary.best_and_baseline", **fields, baseline=baseline.label, reached=value)


def _swept(study: StudyResult, words: Words) -> list[str]:
    spaces: Mapping[str, Any] = study.sweep.get("parameters") or {}
    if not spaces:
        return [one_line(clean(name)) for name in varied_parameters(study.trials)]
    return [f"{format_scalar(name)}: {_space(space, words)}" for name, space in spaces.items()]


def _space(space: object, words: Words) -> str:
    if not isinstance(space, Mapping):
        return format_scalar(space)
    choices = space.get("values") or space.get("choices")
    if choices is not None:
        return format_scalar(choices)
    if "low" in space and "high" in space:
        key = "facts.log_range" if space.get("log") else "facts.range"
        return words.text(key, low=format_scalar(space["low"]), high=format_scalar(space["high"]))
    return format_settings(space)


def _changed_baseline(study: StudyResult) -> object:
    """Return the baseline without the dozens of knobs that keep their default."""
    baseline, defaults = study.sweep.get("baseline"), study.facts.get("defaults") or {}
    if not isinstance(baseline, Mapping):
        return baseline
    swept = study.sweep.get("parameters") or {}
    return {
        name: value
        for name, value in baseline.items()
        if name in swept or name not in defaults or defaults[name] != value
    }


def _used_options(settings: object) -> object:
    """Return a sampler's or pruner's settings without the options of other samplers or pruners."""
    if not isinstance(settings, Mapping) or settings.get("name") not in _OPTIONS:
        return settings
    names = {"name", *_OPTIONS[settings["name"]]}
    return {name: value for name, value in settings.items() if name in names}


def _data_name(data: object) -> object:
    return data.get("name") if isinstance(data, Mapping) else data


def _with_hash(name: object, digest: object) -> str:
    shortened = f"sha256 {str(digest)[:_HASH_DIGITS]}" if digest else ""
    return ", ".join(filter(None, (format_scalar(name), shortened)))


def _classes(classes: object) -> str:
    if not isinstance(classes, list | tuple):
        return format_scalar(classes)
    return f"{len(classes)}: {format_scalar(classes)}" if classes else ""


def _machines(study: StudyResult, words: Words) -> str:
    attempts = (row for trial in study.trials for row in trial.attempts)
    machines = {(row.device, row.precision, row.threads): None for row in attempts}
    return words.text("list.semicolon").join(_machine(*machine, words) for machine in machines)


def _machine(device: str, precision: str, threads: int, words: Words) -> str:
    parts = (
        format_scalar(device),
        format_scalar(precision),
        words.count("facts.threads", threads),
    )
    return words.join([part for part in parts if part])
