"""How long TPE takes for one more trial as a study grows: bounded, compared with Optuna's own.

Both use the same history in memory, over the four parameters of a fine-tuning sweep. The cost of
the database is measured by `bookkeeping`.
"""

import random
import statistics
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, create_trial

from benchmarks.measure import Result, seconds
from benchmarks.surfaces import SURFACES
from trytable.orchestrator.study.history import Bounds
from trytable.orchestrator.study.in_memory import InMemoryStudyStorage
from trytable.orchestrator.study.sampling.tpe import Tpe

HISTORIES = (100, 1_000, 10_000, 50_000)
ASKS = 15
AIM = 2.0
_SPACE = dict(SURFACES[0].space)


def run(_folder: Path) -> Result:
    """Ask both in turn, with a growing history."""
    rows = list(ask_times(HISTORIES))
    figures = "; ".join(
        f"{count:,} trials: {bounded * 1000:.1f} ms, unbounded {plain * 1000:.1f} ms"
        for count, bounded, plain in rows
    )
    medians = {count: bounded for count, bounded, _ in rows}
    is_reached = medians[HISTORIES[-1]] <= AIM * medians[1_000]
    aim = f"at {HISTORIES[-1]:,} at most {AIM:.0f} times as long as at 1,000"
    return Result("asking", f"median of {ASKS} asks after {figures}", aim, is_reached)


def ask_times(histories: tuple[int, ...]) -> Iterator[tuple[int, float, float]]:
    """Yield each number of trials with the median seconds of an ask, bounded and unbounded."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plain = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    bounded = InMemoryStudyStorage(plain, Tpe(seed=1), optuna.pruners.NopPruner(), Bounds())
    for study in (plain, bounded.study):
        _ask(study)  # the first imports what is needed
    start = 0
    for count in histories:
        for number in range(start, count):
            trial = _random_trial(number)
            plain.add_trial(trial)
            trial.number = bounded.count
            bounded.add(trial)
        start = count
        times = [(_ask(bounded.study), _ask(plain)) for _ in range(ASKS)]
        yield (
            count,
            statistics.median(fast for fast, _ in times),
            statistics.median(slow for _, slow in times),
        )


def _ask(study: optuna.Study) -> float:
    """Seconds of an ask; its trial fails, so that the history stays as it is."""
    trials: list[optuna.Trial] = []
    took = seconds(lambda: trials.append(study.ask(_SPACE)))
    study.tell(trials[0], state=optuna.trial.TrialState.FAIL)
    return took


def _random_trial(number: int) -> FrozenTrial:
    draw = random.Random(number)  # noqa: S311 - no secret
    point = {
        "lr": 10 ** draw.uniform(-6, -1),
        "dropout": draw.uniform(0, 0.8),
        "weight_decay": draw.uniform(0, 0.3),
        "batch_size": draw.choice((16, 32, 64, 128)),
    }
    value = SURFACES[0].value(point) + draw.gauss(0, SURFACES[0].noise)
    return create_trial(params=point, distributions=_SPACE, value=value)
