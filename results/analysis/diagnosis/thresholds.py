"""Every threshold of the diagnoses, with its reason."""

from dataclasses import dataclass

from trytable.records import StoppingKind

WINDOW_STEPS = 300
"""Go or no-go: people who fine-tune by hand look at 200 to 500 steps, and stop at 300."""

TOLERANCE = 0.05
"""Share of ln C within which a loss is that of guessing: a loss that begins to learn passes 5.7 of
5.99 (400 classes) or 1.32 of 1.386 (4 classes)."""

LEAST_FALL = 0.02
"""A fall by this share of ln C from the window's first to its second half is learning, though slow;
a run that never learnt fell by 0.012 in five epochs."""

AT_CHANCE = 0.03
"""Accuracy so far above chance is still chance where the sample's size is unknown: two standard
errors of 1,000 sentences."""

RISING = 1.01
"""A rate that grows by more over the window is still warming up: no verdict yet."""

COLLAPSED = 0.99
"""Share of predictions in one class: a handful of others among hundreds changes nothing."""

COINCIDENCE_SIZE = 500
"""Below so many dev sentences an accuracy equals a class's share by accident."""

ROUNDING = 0.0005
"""Half of the last digit of an accuracy that was read from a log."""

STILL = 0.001
"""Movement of the train loss, as a share of it, below which it stands still."""

STILL_EPOCHS = 3
"""Epochs that must agree: two may by accident."""

FROZEN = 1e-5
"""Movement of the dev loss, as a share of it, that floating point alone makes."""

FROZEN_EPOCHS_BY_ACCURACY = 4
"""Where no dev loss is known, equal accuracies are commoner, so one epoch more must agree."""

WEIGHTS_MOVED = 1e-6
"""Change of the weight norm, as a share of it, above fp32's resolution."""

RATE_GONE = 0.01
"""A rate below this share of its peak explains by itself that nothing moves."""

DIVERGED = 1.5
"""Loss at the end by loss at the start (or at its lowest, where it fell back to guessing)."""

LEAST_POINTS = 3
"""Fewer losses say nothing of a course."""

EXPLODED = 10.0
"""Weight norm by its start, from which people lower the rate by rule."""

DEAD = 1e-6
"""Gradient norm of a block by the whole one's: Adam would still move it, by rounding errors."""

TOO_FROZEN = 0.01
"""Trainable share below which little but a head is trained; a run with 0.0015 never learnt."""

SLIGHT, MODERATE, SEVERE = 0.15, 0.30, 0.50
"""Gaps of train and dev accuracy where people call the overfitting so: they called 0.14 none, 0.16
and 0.28 slight, 0.37 a sign of it, 0.58 and more severe."""

UNDERFIT = 0.5
"""Train accuracy's share of the way from chance to 1: at 0.41 people called it a slight underfit,
at 0.60 not."""

BADLY_UNDERFIT = 0.25
"""Of that way, where more epochs alone will not do."""

LEAST_GAIN = 0.01
"""Gain in accuracy that counts where dev's size, and so its standard error, is unknown."""

GAIN_EPOCHS = 2
"""The epochs at the end that must have brought the gain."""

RATE_OFF = 0.01
"""A peak that is further from the rate asked for was not asked for."""

RATE_SEEN = 0.5
"""A peak may fall between two logged steps; below this share of it it was never there."""

OBSERVED_PEAK = 0.95
"""As above, where every step was seen: some schedules step just past their peak."""

EVEN_POINTS = 20
"""So many steps that were logged evenly show a swing by themselves."""

CONSTANT = 0.001
"""Movement of a rate, as a share of it, that is none."""

AT_FLOOR = 0.05
"""Share of peak minus floor within which a rate has come down."""

LEAST_TURNS = 2
"""Times that a rate must rise again after a fall before it is called swinging."""

LOSS_RATIO = 1.5
"""Dev loss by train loss at equal accuracies; counting batches instead of sentences gave 1.99."""

LOSS_RATIO_SPREAD = 0.1
"""A ratio made by normalisation stays the same over the epochs."""

ALIKE = 0.05
"""Train and dev accuracies that are so near tell of the same fit."""

LEAST_LOSS = 0.05
"""Ratios of losses nearer to 0 tell of nothing."""

HIGH_DROPOUT = 0.3
"""From here dropout alone lifts the train loss far above the dev loss."""

SAME_LOSS = 1e-6
"""Difference, as a share, of losses that were computed alike."""

COMPARED_STEPS = (100, 500, 1000)
"""Where people hold the losses of two rates against each other."""


@dataclass(frozen=True)
class Thresholds:
    """What a sweep may set of the diagnoses, and which of them stop a trial."""

    window_steps: int = WINDOW_STEPS
    tolerance: float = TOLERANCE
    stopping_kinds: tuple[StoppingKind, ...] = ("no_learning",)
