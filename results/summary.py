"""A study in plain words: what was swept, on what, and what came of it."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from results.records import StudyResult, TryResult
from results.table import varied_parameters
from results.text import as_cell, clean, one_line, shown

_HASH_SHOWN = 12
_HEEDED: dict[str, tuple[str, ...]] = {
    "grid": (),
    "random": (),
    "qmc": (),
    "none": (),
    "median": ("startup_trials", "warmup_epochs", "patience"),
    "asha": ("min_epochs", "reduction_factor"),
    "hyperband": ("min_epochs", "reduction_factor"),
}


def summary(study: StudyResult) -> str:
    """One paragraph: how many tries ended how, the best one, and how sure its accuracy is."""
    if not study.tries:
        return "No try has started yet."
    sentences = [_counts(study)]
    if study.ranked:
        sentences += [_best(study, study.ranked[0]), _uncertainty(study, study.ranked[0])]
    return " ".join(filter(None, sentences))


def standard_error(accuracy: float, examples: int) -> float:
    """Standard error of an accuracy as a share: sqrt(p (1 - p) / n), of a binomial proportion."""
    return math.sqrt(accuracy * (1 - accuracy) / examples)


def facts(study: StudyResult) -> list[tuple[str, str]]:
    """What was swept, on which data, model and machine; only what is known."""
    sweep, found = study.sweep, study.facts
    known = [
        ("Swept", "; ".join(_swept(study))),
        ("Baseline", _settings(sweep.get("baseline"))),
        ("Sampler", _settings(_heeded(sweep.get("sampler")))),
        ("Pruner", _settings(_heeded(sweep.get("pruner")))),
        ("Trainer", _words(sweep.get("trainer"))),
        ("Model", _hashed(sweep.get("model"), found.get("model_hash"))),
        ("Data", _hashed(_data_name(sweep.get("data")), found.get("data_hash"))),
        ("Sizes", _settings(found.get("sizes"))),
        ("Classes", _classes(found.get("classes"))),
        ("Seed", _words(sweep.get("seed"))),
        ("Ran on", _machines(study)),
        ("Versions", _settings(found.get("pins"))),
    ]
    return [*((term, text) for term, text in known if text), *_notes(found)]


def failures(study: StudyResult) -> list[tuple[str, int, str, str]]:
    """Try, attempt, outcome and message of each attempt that did not end well."""
    return [
        (one.label, row.attempt, clean(row.outcome), one_line(clean(row.message)))
        for one in study.tries
        for row in one.attempts
        if row.outcome in ("retried", "failed")
    ]


def findings(study: StudyResult) -> list[tuple[str, str, str, str]]:
    """Try, severity, kind and message of all that the health checks said."""
    return [
        (one.label, clean(row.severity), clean(row.kind), one_line(clean(row.message)))
        for one in study.tries
        for row in one.findings
    ]


def point(one: TryResult, names: tuple[str, ...]) -> str:
    """The try's values of these parameters, as `lr 2e-4, dropout 0.1`."""
    return _settings({name: one.settings[name] for name in names if name in one.settings})


def _counts(study: StudyResult) -> str:
    counts = Counter(one.status for one in study.tries)
    total = len(study.tries)
    named = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{total} {'try' if total == 1 else 'tries'}: {named}."


def _best(study: StudyResult, best: TryResult) -> str:
    values = point(best, varied_parameters(study.tries))
    after = f" after epoch {best.best_epoch}" if best.best_epoch is not None else ""
    told = f"Best is {best.label}{f' ({values})' if values else ''}"
    told += f" with {study.objective_title} {shown(best.best_value, 'accuracy')}{after}"
    baseline = study.baseline
    if baseline is None or baseline.status != "completed":
        return f"{told}."
    if baseline.number == best.number:
        return f"{told}; it is the baseline."
    reached = shown(baseline.best_value, "accuracy")
    return f"{told}; the baseline, {baseline.label}, reached {reached}."


def _uncertainty(study: StudyResult, best: TryResult) -> str:
    examples = (study.facts.get("sizes") or {}).get("dev")
    accuracy = best.best_dev_accuracy
    if not examples or accuracy is None or not 0 <= accuracy <= 1:
        return ""
    error = shown(standard_error(accuracy, examples), "accuracy")
    return f"With {examples} dev examples, one accuracy has a standard error of {error}."


def _swept(study: StudyResult) -> list[str]:
    given: Mapping[str, Any] = study.sweep.get("parameters") or {}
    if not given:
        return [one_line(clean(name)) for name in varied_parameters(study.tries)]
    return [f"{_words(name)}: {_space(space)}" for name, space in given.items()]


def _space(space: object) -> str:
    if not isinstance(space, Mapping):
        return _words(space)
    choices = space.get("values") or space.get("choices")
    if choices is not None:
        return _words(choices)
    if "low" in space and "high" in space:
        log = ", log" if space.get("log") else ""
        return f"{_words(space['low'])} to {_words(space['high'])}{log}"
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
    if not isinstance(chosen, Mapping) or chosen.get("name") not in _HEEDED:
        return chosen
    names = {"name", *_HEEDED[chosen["name"]]}
    return {name: value for name, value in chosen.items() if name in names}


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, Mapping):
        return _settings(value)
    return one_line(shown(as_cell(value), "parameter"))


def _data_name(data: object) -> object:
    return data.get("name") if isinstance(data, Mapping) else data


def _hashed(name: object, digest: object) -> str:
    shortened = f"sha256 {str(digest)[:_HASH_SHOWN]}" if digest else ""
    return ", ".join(filter(None, (_words(name), shortened)))


def _classes(classes: object) -> str:
    if not isinstance(classes, list | tuple):
        return _words(classes)
    return f"{len(classes)}: {_words(classes)}" if classes else ""


def _machines(study: StudyResult) -> str:
    attempts = (row for one in study.tries for row in one.attempts)
    kinds = {(row.device, row.precision, row.threads): None for row in attempts}
    return "; ".join(_machine(*kind) for kind in kinds)


def _machine(device: str, precision: str, threads: int) -> str:
    return ", ".join(filter(None, (_words(device), _words(precision), _threads(threads))))


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _notes(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Note", _words(text)) for text in found.get("notes") or ()]
