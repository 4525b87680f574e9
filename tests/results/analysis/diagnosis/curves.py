"""Courses of real runs, numbers only: what people who swept by hand wrote down.

Each row is an epoch, counted from 1: train loss, train accuracy in eval mode, dev accuracy. Five
classes, 1,101 dev sentences, 107 steps an epoch at 80 sentences a step.
"""

from collections.abc import Sequence

from trytable.results.analysis.diagnosis.symptoms.trial import DiagnosedTrial, Task
from trytable.results.storage.rows import StepRow
from trytable.results.storage.study import EpochResult

DEV_COUNTS = (139, 289, 229, 279, 165)
"""Gold labels of the dev sentences."""

FIVE = Task(
    classes=5,
    shares=tuple(count / sum(DEV_COUNTS) for count in DEV_COUNTS),
    dev_size=sum(DEV_COUNTS),
    lowest_label=0,
    highest_label=4,
)

Rows = Sequence[tuple[float, float, float]]

RATE_1E_7: Rows = [
    (3.718, 0.221, 0.220), (2.450, 0.255, 0.241), (2.299, 0.257, 0.261), (2.198, 0.258, 0.271),
    (2.145, 0.262, 0.261),
]  # fmt: skip
RATE_1E_6: Rows = [
    (2.345, 0.263, 0.251), (1.923, 0.279, 0.274), (1.829, 0.276, 0.262), (1.757, 0.290, 0.281),
    (1.734, 0.304, 0.291),
]  # fmt: skip
RATE_1E_5: Rows = [
    (1.926, 0.291, 0.266), (1.675, 0.281, 0.262), (1.590, 0.391, 0.346), (1.419, 0.449, 0.383),
    (1.266, 0.550, 0.410),
]  # fmt: skip
RATE_2E_5: Rows = [
    (1.875, 0.262, 0.264), (1.644, 0.302, 0.282), (1.503, 0.466, 0.391), (1.257, 0.560, 0.401),
    (0.989, 0.775, 0.410),
]  # fmt: skip
RATE_1E_4: Rows = [
    (1.799, 0.232, 0.253), (1.618, 0.241, 0.240), (1.569, 0.435, 0.375), (1.301, 0.535, 0.388),
    (0.981, 0.763, 0.390),
]  # fmt: skip
RATE_1E_3: Rows = [
    (2.046, 0.261, 0.262), (1.587, 0.399, 0.343), (1.359, 0.504, 0.374), (1.155, 0.642, 0.374),
    (0.934, 0.751, 0.373),
]  # fmt: skip
DROPOUT_03: Rows = [
    (2.000, 0.276, 0.252), (1.735, 0.273, 0.258), (1.678, 0.335, 0.310), (1.611, 0.360, 0.337),
    (1.516, 0.411, 0.364), (1.416, 0.466, 0.391), (1.339, 0.506, 0.390), (1.236, 0.545, 0.387),
    (1.154, 0.607, 0.392), (1.045, 0.674, 0.396), (0.922, 0.730, 0.387), (0.772, 0.787, 0.388),
    (0.609, 0.848, 0.397), (0.422, 0.921, 0.419), (0.309, 0.945, 0.414), (0.216, 0.954, 0.385),
    (0.142, 0.968, 0.401), (0.124, 0.974, 0.391), (0.095, 0.985, 0.397), (0.059, 0.995, 0.399),
    (0.031, 0.998, 0.381), (0.026, 0.997, 0.386), (0.025, 0.998, 0.391), (0.017, 0.999, 0.401),
    (0.038, 0.997, 0.400), (0.030, 0.999, 0.410), (0.026, 0.994, 0.389), (0.028, 0.998, 0.401),
]  # fmt: skip
DROPOUT_08: Rows = [
    (3.089, 0.275, 0.257), (2.213, 0.290, 0.298), (1.993, 0.314, 0.294), (1.857, 0.304, 0.296),
    (1.799, 0.289, 0.266), (1.758, 0.343, 0.316), (1.715, 0.356, 0.339), (1.676, 0.354, 0.351),
    (1.601, 0.366, 0.343), (1.524, 0.416, 0.370), (1.468, 0.408, 0.367), (1.406, 0.470, 0.401),
    (1.346, 0.502, 0.411), (1.292, 0.517, 0.390), (1.231, 0.537, 0.398), (1.156, 0.578, 0.421),
    (1.058, 0.625, 0.435), (0.999, 0.699, 0.419), (0.893, 0.710, 0.431),
]  # fmt: skip
RATE_2E_5_LONG: Rows = [
    (2.805, 0.265, 0.262), (1.992, 0.273, 0.253), (1.850, 0.308, 0.278), (1.752, 0.296, 0.291),
    (1.703, 0.351, 0.324), (1.663, 0.379, 0.360), (1.555, 0.408, 0.360), (1.450, 0.438, 0.380),
    (1.337, 0.513, 0.398), (1.235, 0.571, 0.425), (1.108, 0.640, 0.411), (0.973, 0.723, 0.432),
    (0.810, 0.824, 0.429), (0.613, 0.878, 0.406), (0.447, 0.918, 0.427), (0.317, 0.948, 0.422),
    (0.221, 0.967, 0.428), (0.159, 0.976, 0.407), (0.123, 0.983, 0.423), (0.087, 0.992, 0.411),
    (0.047, 0.994, 0.414), (0.035, 0.995, 0.406), (0.041, 0.994, 0.418), (0.050, 0.992, 0.430),
    (0.039, 0.995, 0.411),
]  # fmt: skip
DROPOUT_09: Rows = [
    (4.120, 0.260, 0.256), (2.659, 0.276, 0.260), (2.271, 0.272, 0.252), (2.076, 0.279, 0.262),
    (1.952, 0.283, 0.256), (1.917, 0.275, 0.265), (1.870, 0.279, 0.255), (1.813, 0.275, 0.253),
    (1.780, 0.280, 0.258), (1.745, 0.330, 0.327), (1.733, 0.291, 0.272), (1.711, 0.322, 0.312),
    (1.689, 0.331, 0.325), (1.670, 0.333, 0.323), (1.656, 0.320, 0.311), (1.626, 0.365, 0.349),
    (1.582, 0.388, 0.358), (1.548, 0.395, 0.352), (1.488, 0.424, 0.364), (1.454, 0.439, 0.380),
    (1.405, 0.461, 0.388), (1.365, 0.467, 0.380), (1.307, 0.506, 0.396), (1.276, 0.544, 0.407),
    (1.213, 0.568, 0.411),
]  # fmt: skip

ALL_OF_FIVE = (
    RATE_1E_7, RATE_1E_6, RATE_1E_5, RATE_2E_5, RATE_1E_4, RATE_1E_3, DROPOUT_03, DROPOUT_08,
    RATE_2E_5_LONG, DROPOUT_09,
)  # fmt: skip


def curve_of(rows: Rows) -> tuple[EpochResult, ...]:
    """Epochs whose objective is dev accuracy."""
    return tuple(
        EpochResult(n, value=dev, dev_accuracy=dev, train_loss=loss, probe_accuracy=train)
        for n, (loss, train, dev) in enumerate(rows, start=1)
    )


def trial_of(rows: Rows, **known: object) -> DiagnosedTrial:
    """A completed trial with this course."""
    curve = curve_of(rows)
    best = max(curve, key=lambda e: (e.value or 0, -e.epoch))
    return DiagnosedTrial(curve=curve, best_epoch=best.epoch, **known)  # type: ignore[arg-type] # a field's


def step(number: int, loss: float | None = None, epoch: int = 1, **known: object) -> StepRow:
    """A logged step; what is not given never came."""
    given = {"lr": 1e-4, "gradient_norm": 1.0, "weight_norm": None, **known}
    return StepRow("t", 1, number, epoch, loss, **given)  # type: ignore[arg-type] # a field's


def steps_of(losses: Sequence[float], every: int = 10, per_epoch: int = 10**9) -> list[StepRow]:
    """Steps logged every so many, the first at `every`."""
    return [
        step(every * (i + 1), loss, (every * (i + 1) - 1) // per_epoch + 1)
        for i, loss in enumerate(losses)
    ]
