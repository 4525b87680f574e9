"""What is minimised, against the formulas and against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight  # type: ignore[import-untyped]

from trytable.records import Refused
from trytable.trainers.finetune.losses import Criterion, class_weights, make_criterion
from trytable.trainers.protocol.messages import FinetuneSettings

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-2.0, 3.0, 0.1], [0.0, 0.0, 4.0]])
LABELS = torch.tensor([0, 1, 2, 2])
CPU = torch.device("cpu")


def log_p() -> torch.Tensor:
    return LOGITS - LOGITS.exp().sum(1, keepdim=True).log()


def gold() -> torch.Tensor:
    return log_p()[torch.arange(4), LABELS]


def minimised(**knobs: object) -> torch.Tensor:
    settings = FinetuneSettings.model_validate(knobs)
    return make_criterion(settings, np.array([0, 1, 2, 2]), 3, CPU)(LOGITS, LABELS)[0]


def test_plain_cross_entropy_is_what_is_minimised_unless_told_otherwise() -> None:
    torch.testing.assert_close(minimised(), -gold())


def test_focal_gamma_scales_by_what_is_missing() -> None:
    expected = -((1 - gold().exp()) ** 2) * gold()
    torch.testing.assert_close(minimised(focal_gamma=2.0), expected)


def test_label_smoothing_gives_every_class_its_share() -> None:
    expected = -(0.9 * gold() + 0.1 * log_p().mean(1))
    torch.testing.assert_close(minimised(label_smoothing=0.1), expected)


def test_given_class_weights_scale_each_sentences_loss() -> None:
    expected = -gold() * torch.tensor([3.0, 1.0, 0.5, 0.5])
    torch.testing.assert_close(minimised(class_weights=[3.0, 1.0, 0.5]), expected)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_balanced_weights_are_scikit_learns_and_average_to_one(labels: list[int]) -> None:
    weights = class_weights("balanced", np.array(labels), 5)
    assert weights is not None
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    # scikit-learn counts the classes that it meets; ours are the data's.
    assert [weights[label] for label in present] == pytest.approx(expected * len(present) / 5)
    assert np.mean([weights[label] for label in labels]) * 5 / len(present) == pytest.approx(1)


def test_the_reported_loss_is_plain_whatever_is_minimised() -> None:
    criterion = Criterion(torch.tensor([3.0, 1.0, 0.5]), 0.1, 2.0)
    torch.testing.assert_close(criterion(LOGITS, LABELS)[1], -gold())


def test_weights_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(Refused, match="has 2 numbers, but the data have 3 classes"):
        minimised(class_weights=[1.0, 2.0])
