"""A curve is parted where it differs by more than its standard error, and nothing of it is lost."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trytable.results.analysis.phases import find_phases
from trytable.results.storage.study import EpochResult


def _curve(dev: list[float | None], train: list[float | None] | None = None) -> list[EpochResult]:
    probes = train or [None] * len(dev)
    return [
        EpochResult(number, dev_accuracy=value, probe_accuracy=probe)
        for number, (value, probe) in enumerate(zip(dev, probes, strict=True), start=1)
    ]


def _told(curve: list[EpochResult], error: float) -> list[tuple[str, int, int]]:
    return [(one.kind, one.first, one.last) for one in find_phases(curve, error)]


def test_a_start_a_rise_and_overfitting() -> None:
    dev = [0.20, 0.21, 0.20, 0.30, 0.40, 0.38, 0.35]
    curve = _curve(list(dev), [0.2, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9])
    assert _told(curve, 0.015) == [("start", 1, 3), ("rise", 4, 5), ("overfit", 6, 7)]
    start, rise, overfit = find_phases(curve, 0.015)
    assert (start.dev_from, start.dev_to) == (0.20, 0.20)
    assert (rise.dev_from, rise.dev_to) == (0.20, 0.40)
    assert (overfit.dev_from, overfit.dev_to) == (0.40, 0.35)
    assert (overfit.train_from, overfit.train_to) == (0.5, 0.9)


def test_what_falls_while_train_accuracy_does_not_rise_is_a_decline() -> None:
    assert _told(_curve([0.2, 0.4, 0.3]), 0.01)[-1] == ("decline", 3, 3)
    assert _told(_curve([0.2, 0.4, 0.3], [0.5, 0.5, 0.4]), 0.01)[-1] == ("decline", 3, 3)


def test_an_end_within_an_error_of_the_peak_is_a_plateau() -> None:
    assert _told(_curve([0.2, 0.4, 0.37, 0.391]), 0.01) == [("rise", 1, 2), ("plateau", 3, 4)]


def test_the_peak_first_has_no_rise() -> None:
    assert _told(_curve([0.4, 0.3, 0.2]), 0.01) == [("decline", 2, 3)]


def test_epochs_that_were_not_measured_are_no_part_of_it() -> None:
    assert _told(_curve([0.2, None, 0.4, None, 0.399]), 0.01) == [("rise", 1, 3), ("plateau", 5, 5)]


def test_one_epoch_has_no_phases() -> None:
    assert find_phases(_curve([0.4]), 0.01) == ()
    assert find_phases(_curve([None, 0.4]), 0.01) == ()
    assert find_phases([], 0.01) == ()


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30),
    st.floats(0, 0.1),
)
def test_phases_follow_each_other_from_the_first_epoch_to_the_last(
    dev: list[float | None], error: float
) -> None:
    known = [number for number, value in enumerate(dev, start=1) if value is not None]
    found = find_phases(_curve(dev), error)
    assert bool(found) == (len(known) > 1)
    for one, following in pairwise(found):
        assert one.last < following.first
        assert one.dev_to == following.dev_from
    if found:
        assert found[-1].last == known[-1]
        assert found[0].dev_from == dev[known[0] - 1]
        assert all(one.first <= one.last for one in found)
