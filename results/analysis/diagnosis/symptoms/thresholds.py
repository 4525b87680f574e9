"""Every threshold of the diagnoses, with its reason."""

from dataclasses import dataclass

from trytable.records import StoppingKind

WINDOW_STEPS = 300
"""Steps before a go/no-go decision: people who fine-tune by hand look at 200 to 500."""

TOLERANCE = 0.05
"""Share of ln C by which a loss of guessing may differ from it: a loss that begins to fall passes
5.7 of 5.99 (400 classes) or 1.32 of 1.386 (4 classes)."""

MIN_FALL = 0.02
"""A fall by this share of ln C from the first to the second half of the window is slow learning; a
run that never learned fell by 0.012 in five epochs."""

CHANCE_MARGIN = 0.03
"""Accuracy above chance that is still chance if dev's size is unknown: two standard errors of 1,000
sentences."""

RISING_RATE = 1.01
"""A rate that grows by this factor over the window is still warming up: too early to judge."""

COLLAPSE_SHARE = 0.99
"""Share of predictions in one class: a handful of others among hundreds changes nothing."""

COINCIDENCE_SIZE = 500
"""With fewer dev sentences an accuracy may equal a class's share by accident."""

ROUNDING = 0.0005
"""Half of the last digit of an accuracy that was read from a log."""

STAGNATION = 0.001
"""Movement of the train loss, as a share of it, below which the loss stagnates."""

PLATEAU_EPOCHS = 3
"""Epochs that must agree: two may agree by accident."""

PLATEAU_EPOCHS_BY_ACCURACY = 4
"""Without a dev loss one more epoch must agree, since equal accuracies are more frequent."""

FLOAT_NOISE = 1e-5
"""Movement of the dev loss, as a share of it, that floating point alone causes."""

WEIGHT_NOISE = 1e-6
"""Movement of the weight norm, as a share of it, that is fp32's resolution."""

VANISHED_RATE = 0.01
"""A rate below this share of its peak explains a stagnating loss."""

DIVERGENCE_RATIO = 1.5
"""Final loss divided by the first one (or by the lowest, if it rose back to guessing)."""

MIN_POINTS = 3
"""Fewer losses do not show a trend."""

EXPLOSION_RATIO = 10.0
"""Weight norm divided by its start; people lower the rate from here on."""

DEAD_GRADIENT = 1e-6
"""Gradient norm of a block divided by the total norm: Adam would still move it, by rounding
errors."""

MIN_TRAINABLE_SHARE = 0.01
"""Trainable share below which little but a head is trained; a run with 0.0015 never learned."""

SLIGHT, MODERATE, SEVERE = 0.15, 0.30, 0.50
"""Gaps of train and dev accuracy by the words of people: they called 0.14 no overfitting, 0.16 and
0.28 slight, 0.37 a sign of it, 0.58 and more severe."""

UNDERFIT = 0.5
"""Train accuracy's share of the way from chance to 1: people called 0.41 a slight underfit, 0.60
none."""

SEVERE_UNDERFIT = 0.25
"""The share of that way below which more epochs alone do not help."""

MIN_GAIN = 0.01
"""Gain in accuracy that counts if dev's size, and so its standard error, is unknown."""

GAIN_EPOCHS = 2
"""Epochs at the end in which the gain must have happened."""

PEAK_MARGIN = 0.01
"""A peak that differs more from the requested rate was not requested."""

LOGGED_PEAK_SHARE = 0.5
"""Share of the peak that some logged step must reach: the peak may be between two of them."""

OBSERVED_PEAK_SHARE = 0.95
"""As above if every step was observed: some schedules step just past their peak."""

MIN_EVEN_POINTS = 20
"""With as many evenly logged steps the others are not needed to find a swing."""

CONSTANT_RATE = 0.001
"""Movement of a rate, as a share of it, below which it is constant."""

FLOOR_MARGIN = 0.05
"""Share of peak minus floor within which a rate has reached its floor."""

MIN_TURNS = 2
"""Rises after a fall that make a rate a swinging one."""

LOSS_RATIO = 1.5
"""Dev loss divided by train loss at equal accuracies; averaging over batches instead of sentences
gave 1.99."""

LOSS_RATIO_SPREAD = 0.1
"""Range of the ratio as a share of it: normalisation causes the same ratio in every epoch."""

ACCURACY_AGREEMENT = 0.05
"""Train and dev accuracies that differ less show the same fit."""

MIN_LOSS = 0.05
"""Ratios of smaller losses are meaningless."""

HIGH_DROPOUT = 0.3
"""From here on dropout alone raises the train loss far above the dev loss."""

LEAK_SHARE = 0.01
"""Share of a split's texts that may be in another split: a hundredth moves no accuracy much."""

SAME_LOSS = 1e-6
"""Relative difference of losses from the same computation."""

COMPARED_STEPS = (100, 500, 1000)
"""Steps at which people compare the losses of two rates."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds that a sweep may set, and the findings that stop a trial."""

    window_steps: int = WINDOW_STEPS
    tolerance: float = TOLERANCE
    stopping_kinds: tuple[StoppingKind, ...] = ("no_learning",)
