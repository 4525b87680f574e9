"""How long TPE takes for one more trial as a study grows: bounded, beside Optuna's own.

Both look at the same history in memory, over the four parameters of a fine-tuning sweep; what the
database costs is another benchmark's.
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
from trytable.orchestrator.study.search_space import Tpe

HISTORIES = (100, 1_000, 10_000, 50_000)
ASKS = 15
AIM = 2.0
_SPACE = dict(SURFACES[0].space)


def run(_folder: Path) -> Result:
    """Ask both in turn, after ever more trials."""
    rows = list(ask_times(HISTORIES))
    told = "; ".join(
        f"{count:,} trials: {bounded * 1000:.1f} ms, unbounded {plain * 1000:.1f} ms"
        for count, bounded, plain in rows
    )
    after = {count: bounded for count, bounded, _ in rows}
    reached = after[HISTORIES[-1]] <= AIM * after[1_000]
    aim = f"at {HISTORIES[-1]:,} at most {AIM:.0f} times as long as at 1,000"
    return Result("asking", f"median of {ASKS} asks after {told}", aim, reached)


def ask_times(histories: tuple[int, ...]) -> Iterator[tuple[int, float, float]]:
    """So many trials, and the seconds of an ask, bounded and not."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plain = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    mirror = InMemoryStudyStorage(plain, Tpe(seed=1), optuna.pruners.NopPruner(), Bounds())
    for study in (plain, mirror.study):
        _ask(study)  # the first imports what is needed
    ended = 0
    for count in histories:
        for number in range(ended, count):
            trial = _ended(number)
            plain.add_trial(trial)
            trial.number = mirror.count
            mirror.add(trial)
        ended = count
        times = [(_ask(mirror.study), _ask(plain)) for _ in range(ASKS)]
        yield (
            count,
            statistics.median(bounded for bounded, _ in times),
            statistics.median(other for _, other in times),
        )


def _ask(study: optuna.Study) -> float:
    """Seconds of an ask; its trial fails, so that the history stays as it is."""
    asked: list[optuna.Trial] = []
    took = seconds(lambda: asked.append(study.ask(_SPACE)))
    study.tell(asked[0], state=optuna.trial.TrialState.FAIL)
    return took


def _ended(number: int) -> FrozenTrial:
    draw = random.Random(number)  # noqa: S311 - no secret
    point = {
        "lr": 10 ** draw.uniform(-6, -1),
        "dropout": draw.uniform(0, 0.8),
        "weight_decay": draw.uniform(0, 0.3),
        "batch_size": draw.choice((16, 32, 64, 128)),
    }
    value = SURFACES[0].value(point) + draw.gauss(0, SURFACES[0].noise)
    return create_trial(params=point, distributions=_SPACE, value=value)
