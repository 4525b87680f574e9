"""How records become epochs that are counted from 1, each told as soon as its value is known."""

from io import BytesIO

from tests.trainers.script.logs.test_reader import BY_HAND
from trytable.trainers.script.logs.reader import LogRecord, read_log
from trytable.trainers.script.output import CollectedEpoch, EpochCollector


def epochs(text: str, objective: str = "dev_accuracy") -> list[CollectedEpoch]:
    curve = EpochCollector(objective)
    found = []
    for one in read_log(BytesIO(text.encode()), names=[objective]):
        if isinstance(one, LogRecord):
            found += list(curve.feed(one))
    return [*found, *curve.finish()]


def values(text: str, objective: str = "dev_accuracy") -> list[tuple[int, float | None]]:
    return [(one.epoch, one.value) for one in epochs(text, objective)]


def test_epochs_from_0_are_counted_from_1() -> None:
    assert values(BY_HAND) == [(1, 0.220), (2, 0.241), (3, 0.261)]


def test_epochs_from_1_and_later_ones_keep_their_number() -> None:
    assert values("epoch 1: dev acc 0.1\nepoch 3: dev acc 0.2\n") == [(1, 0.1), (3, 0.2)]


def test_evaluations_between_epochs_are_counted_one_by_one() -> None:
    log = "".join(f"{{'eval_accuracy': 0.{n}, 'epoch': {n * 0.5}}}\n" for n in range(1, 5))
    assert values(log) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


def test_an_epoch_is_told_again_when_more_of_it_is_known() -> None:
    first, again = epochs("Epoch 1\nval acc 0.5\nval loss 0.7\n")
    assert (first.metrics, again.metrics) == (
        {"dev_accuracy": 0.5},
        {"dev_accuracy": 0.5, "dev_loss": 0.7},
    )


def test_what_a_bar_draws_last_counts() -> None:
    bar = "Epoch 0: 100%|█| 9/9 [00:00<00:00, 9it/s, val_acc={}]\r"
    log = bar.format("0.1") + bar.format("0.2") + bar.replace("h 0", "h 1").format("0.3")
    assert values(log) == [(1, 0.2), (2, 0.3)]


def test_a_second_word_on_an_epoch_does_not_replace_the_first() -> None:
    log = "epoch 1: dev acc 0.5\nepoch 1: dev acc 0.9\nepoch 2: dev acc 0.6\nepoch 1: dev acc 0.9\n"
    assert values(log) == [(1, 0.5), (2, 0.6)]


def test_a_value_that_only_comes_at_the_end_is_the_last_epochs() -> None:
    assert values("rmse = 0.25\n", "rmse") == [(1, 0.25)]
    assert values("epoch 4: train loss 0.4\nrmse = 0.25\n", "rmse")[-1] == (4, 0.25)


def test_a_value_that_never_comes_stays_missing() -> None:
    assert values("epoch 1: train loss 0.4\n") == [(1, None)]
    assert values("nothing\n") == []
