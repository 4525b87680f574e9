"""A study in plain words: what was swept, on what, and what came of it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from trytable.records import PRUNER_OPTIONS, SAMPLER_OPTIONS
from trytable.results.analysis.diagnosis.messages import advice_text
from trytable.results.analysis.diagnosis.types import Diagnosis
from trytable.results.storage.study import StudyResult, TrialResult
from trytable.results.tables.trials import varied_parameters
from trytable.results.text.catalog import ENGLISH, Words
from trytable.results.text.format import as_cell, clean, format_value, one_line

_HASH_SHOWN = 12
_OPTIONS = {**SAMPLER_OPTIONS, **PRUNER_OPTIONS}


def summarize(study: StudyResult, words: Words = ENGLISH) -> str:
    """One paragraph: how many tries ended how, the best one, and how sure its accuracy is."""
    if not study.trials:
        return words.text("summary.empty")
    sentences = [_counts(study, words)]
    if study.ranked:
        sentences.append(_best(study, study.ranked[0], words))
    return words.paragraph(sentences)


def study_facts(study: StudyResult, words: Words = ENGLISH) -> list[tuple[str, str]]:
    """What was swept, on which data, model and machine; only what is known."""
    sweep, found = study.sweep, study.facts
    known = {
        "swept": words.text("list.semicolon").join(_swept(study, words)),
        "baseline": _settings(_own_settings(study)),
        "sampler": _settings(_heeded(sweep.get("sampler"))),
        "pruner": _settings(_heeded(sweep.get("pruner"))),
        "trainer": _words(sweep.get("trainer")),
        "model": _hashed(sweep.get("model"), found.get("model_hash")),
        "data": _hashed(_data_name(sweep.get("data")), found.get("data_hash")),
        "sizes": _settings(found.get("sizes")),
        "classes": _classes(found.get("classes")),
        "seed": _words(sweep.get("seed")),
        "machines": _machines(study, words),
        "versions": _settings(found.get("pins")),
    }
    hidden = ("model", "data") if study.is_script_study else ()
    told = [(words.text(f"facts.{k}"), v) for k, v in known.items() if v and k not in hidden]
    notes = [(words.text("facts.note"), _words(text)) for text in found.get("notes") or ()]
    return told + notes


def _own_settings(study: StudyResult) -> object:
    """The baseline without the knobs that nobody set: there are dozens of them."""
    baseline, defaults = study.sweep.get("baseline"), study.facts.get("defaults") or {}
    if not isinstance(baseline, Mapping):
        return baseline
    swept = study.sweep.get("parameters") or {}
    return {
        name: value
        for name, value in baseline.items()
        if name in swept or name not in defaults or defaults[name] != value
    }


def failed_attempts(study: StudyResult) -> list[tuple[str, int, str, str]]:
    """Try, attempt, outcome and message of each attempt that did not end well."""
    return [
        (one.label, row.attempt, clean(row.outcome), one_line(clean(row.message)))
        for one in study.trials
        for row in one.attempts
        if row.outcome in ("retried", "failed")
    ]


def finding_lines(
    study: StudyResult, found: Mapping[int, tuple[Diagnosis, ...]], words: Words = ENGLISH
) -> list[tuple[str, str, str, str, str]]:
    """Try, severity, kind, what was seen and why it matters, and what to try next."""
    return [
        (
            one.label,
            clean(row.severity),
            one_line(clean(row.kind)),
            one_line(clean(f"{row.message} {row.explanation}")),
            words.join([advice_text(advice, words.language) for advice in row.advice]),
        )
        for one in study.trials
        for row in found[one.number]
    ]


def parameter_text(one: TrialResult, names: tuple[str, ...]) -> str:
    """The try's values of these parameters, as `lr 2e-4, dropout 0.1`."""
    return _settings({name: one.settings[name] for name in names if name in one.settings})


def _counts(study: StudyResult, words: Words) -> str:
    counts = Counter(one.status for one in study.trials).most_common()
    named = [
        words.text("summary.counted", count=count, status=words.text(f"status.{status}"))
        for status, count in counts
    ]
    return words.count("summary.counts", len(study.trials), named=words.join(named))


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
    reached = format_value(baseline.best_value, "accuracy")
    return words.text(
        "summary.best_and_baseline", **fields, baseline=baseline.label, reached=reached
    )


def _swept(study: StudyResult, words: Words) -> list[str]:
    given: Mapping[str, Any] = study.sweep.get("parameters") or {}
    if not given:
        return [one_line(clean(name)) for name in varied_parameters(study.trials)]
    return [f"{_words(name)}: {_space(space, words)}" for name, space in given.items()]


def _space(space: object, words: Words) -> str:
    if not isinstance(space, Mapping):
        return _words(space)
    choices = space.get("values") or space.get("choices")
    if choices is not None:
        return _words(choices)
    if "low" in space and "high" in space:
        key = "facts.log_range" if space.get("log") else "facts.range"
        return words.text(key, low=_words(space["low"]), high=_words(space["high"]))
    return _settings(space)


def _settings(settings: object) -> str:
    if not isinstance(settings, Mapping):
        return _words(settings)
    given = {name: value for name, value in settings.items() if value is not None}
    name = given.pop("name", None)
    pairs = ", ".join(f"{_words(key)} {_words(value)}" for key, value in given.items())
    return " ".join(filter(None, (_words(name), f"({pairs})" if name and pairs else pairs)))


def _heeded(chosen: object) -> object:
    """The sampler's or pruner's settings without those that only other ones look at."""
    if not isinstance(chosen, Mapping) or chosen.get("name") not in _OPTIONS:
        return chosen
    names = {"name", *_OPTIONS[chosen["name"]]}
    return {name: value for name, value in chosen.items() if name in names}


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, Mapping):
        return _settings(value)
    return one_line(format_value(as_cell(value), "parameter"))


def _data_name(data: object) -> object:
    return data.get("name") if isinstance(data, Mapping) else data


def _hashed(name: object, digest: object) -> str:
    shortened = f"sha256 {str(digest)[:_HASH_SHOWN]}" if digest else ""
    return ", ".join(filter(None, (_words(name), shortened)))


def _classes(classes: object) -> str:
    if not isinstance(classes, list | tuple):
        return _words(classes)
    return f"{len(classes)}: {_words(classes)}" if classes else ""


def _machines(study: StudyResult, words: Words) -> str:
    attempts = (row for one in study.trials for row in one.attempts)
    kinds = {(row.device, row.precision, row.threads): None for row in attempts}
    return words.text("list.semicolon").join(_machine(*kind, words) for kind in kinds)


def _machine(device: str, precision: str, threads: int, words: Words) -> str:
    told = (_words(device), _words(precision), words.count("facts.threads", threads))
    return words.join([one for one in told if one])
