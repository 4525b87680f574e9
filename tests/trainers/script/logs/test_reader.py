"""What is read of printed lines: the formats that programs have, and all that can be wrong."""

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytable.trainers.script.logs.metric_names import canonical_name
from trytable.trainers.script.logs.patterns import CustomPattern
from trytable.trainers.script.logs.reader import (
    MAX_LINE_BYTES,
    LogIssue,
    LogItem,
    LogReader,
    LogRecord,
    read_log,
)

BY_HAND = """\
args: {'train': "it's, {data}.txt", 'lr': 1e-05, 'seed': 1337, 'use_gpu': True, 'dev_out': None}
epoch 0: train loss :: 3.718, train acc :: 0.221, dev acc :: 0.220
epoch 1: train loss :: 2.450, train acc :: 0.255, dev acc :: 0.241█▌
epoch 2: train loss :: 2.299, train acc :: 0.257, dev acc :: 0.261, lr :: 0.000010
dev acc :: 0.261
test acc :: 0.259
"""


def read(text: str | bytes, own: Sequence[str] = (), names: Sequence[str] = ()) -> list[LogItem]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(read_log(BytesIO(raw), [CustomPattern(one) for one in own], names))


def records(text: str | bytes, **options: Sequence[str]) -> list[LogRecord]:
    return [one for one in read(text, **options) if isinstance(one, LogRecord)]


def oddities(text: str | bytes, **options: Sequence[str]) -> list[tuple[int, str]]:
    found = read(text, **options)
    return [(one.line, one.kind) for one in found if isinstance(one, LogIssue)]


def test_a_log_that_people_copy_by_hand() -> None:
    args, *epochs, dev, test = records(BY_HAND)
    assert args.arguments == {
        "train": "it's, {data}.txt",
        "lr": 1e-05,
        "seed": 1337,
        "use_gpu": True,
        "dev_out": None,
    }
    assert [(one.line, one.epoch) for one in epochs] == [(2, 0), (3, 1), (4, 2)]
    assert epochs[1].metrics == {
        "train_loss": 2.45,
        "train_accuracy": 0.255,
        "dev_accuracy": 0.241,
    }
    assert epochs[2].metrics["lr"] == 1e-05
    assert (dev.kind, dev.metrics) == ("final", {"dev_accuracy": 0.261})
    assert (test.kind, test.metrics) == ("final", {"test_accuracy": 0.259})
    assert oddities(BY_HAND) == []


@pytest.mark.parametrize(
    ("line", "kind", "epoch", "step", "metrics"),
    [
        ("Epoch 1: Loss=1.40, Acc=0.23", "epoch", 1, None, {"loss": 1.4, "accuracy": 0.23}),
        (
            "Epoch 2: Train Loss 105.40, Train F1 97.75%  <- a jump",
            "epoch", 2, None, {"train_loss": 105.40, "train_f1": 0.9775},
        ),
        (
            "2025-12-02 10:00:00,123 - INFO - Epoch [3/10] val_loss: 5e-1 | F1 (macro): 0.3",
            "epoch", 3, None, {"dev_loss": 0.5, "macro_f1": 0.3},
        ),
        ("Epoch 1, Batch 100/500: loss 0.71", "step", 1, 100, {"loss": 0.71}),
        ("step 400 loss nan lr 2e-5", "step", None, 400, {"lr": 2e-5}),
        (
            "{'loss': 0.69, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}",
            "step", 0.5, None, {"train_loss": 0.69, "grad_norm": 1.2, "lr": 5e-05},
        ),
        (
            "{'eval_loss': '0.6931', 'eval_accuracy': '0.5', 'eval_runtime': '0.1', 'epoch': '1'}",
            "epoch", 1, None, {"dev_loss": 0.6931, "dev_accuracy": 0.5},
        ),
        (
            " 50%|█████     | 5/10 [00:01<00:01,  4.9it/s]{'eval_f1': 0.5, 'epoch': 1.0}",
            "epoch", 1, None, {"dev_f1": 0.5},
        ),
        (
            "{'train_runtime': 2.3, 'train_total_flos': 3.0, 'train_loss': 0.5, 'epoch': 3.0}",
            "final", None, None, {"train_loss": 0.5},
        ),
        ('{"epoch": 3, "dev_acc": 0.41, "my_own": 7}', "epoch", 3, None,
         {"dev_accuracy": 0.41, "my_own": 7}),
        (
            "Epoch 4: 100%|██████| 10/10 [00:00<00:00, 99.0it/s, v_num=0, loss=0.5, val_acc=0.6]",
            "epoch", 4, None, {"loss": 0.5, "dev_accuracy": 0.6},
        ),
        (
            "train-4: 100%|███| 107/107 [00:10<00:00, 4.7it/s, loss=9]epoch 4: dev acc :: 0.383",
            "epoch", 4, None, {"dev_accuracy": 0.383},
        ),
        ("\x1b[32mepoch 4: dev acc :: 0.383\x1b[0m", "epoch", 4, None, {"dev_accuracy": 0.383}),
        ("final rmse = 0.25", "final", None, None, {"rmse": 0.25}),
    ],
)  # fmt: skip
def test_a_line(
    line: str, kind: str, epoch: float | None, step: int | None, metrics: dict[str, float]
) -> None:
    (found,) = records(f"{line}\n")
    told = {name: one for name, one in found.metrics.items() if one == one}  # noqa: PLR0124 - no NaN
    assert (found.kind, found.epoch, found.step, told) == (kind, epoch, step, metrics)


@pytest.mark.parametrize(
    "line",
    [
        "train-3:  45%|████▌     | 48/107 [00:10<00:12,  4.7it/s, loss=0.5]",
        "107it [00:10,  4.7it/s, loss=0.5]",
        "Epoch 0:  50%|█████     | 5/10 [00:00<00:00, 99.0it/s, loss=0.5]",
        "100 sentences, 5 classes, dropout 0.1",
        "loading data/sst-train.txt in 3.2 s",
        "{'a': 1, 'b': 2}",
        "loss",
        "version 1.2.3.4 epoch 3x",
        "loss0.5",
    ],
)
def test_a_line_that_holds_no_metric(line: str) -> None:
    assert records(f"{line}\n") == []


def test_keras_draws_its_bar_again_and_again() -> None:
    log = (
        "Epoch 1/2\n"
        " 1/10 ━━━━ 1s 5ms/step - accuracy: 0.1 - loss: 9.0\r"
        "10/10 ━━━━ 0s 5ms/step - accuracy: 0.7 - loss: 0.6 - val_accuracy: 0.8 - val_loss: 0.5\n"
        "Epoch 2/2\n"
        "10/10 ━━━━ 0s 5ms/step - accuracy: 0.8 - loss: 0.5 - val_accuracy: 0.9 - val_loss: 0.4\n"
    )
    first, second = records(log)
    assert (first.epoch, first.line, first.metrics["dev_accuracy"]) == (1, 2, 0.8)
    assert (second.epoch, second.metrics["train_loss"]) == (2, 0.5)


def test_lines_without_an_epoch_belong_to_the_one_before() -> None:
    log = "Epoch 1/2\ntrain loss: 0.7\nVal F1: 97.81%\nEpoch 2/2\nVal F1: 98%\nVal F1: 98%\n"
    assert [(one.epoch, one.kind) for one in records(log)] == [
        (1, "epoch"),
        (1, "epoch"),
        (2, "epoch"),
        (None, "final"),  # it came again: the run's closing word
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("epoch 3: dev acc :: 0.383\nepoch 3: dev acc :: 0.390\n", [(2, "doubled_epoch")]),
        ("epoch 3: dev acc :: 0.383\nepoch 1: dev acc :: 0.390\n", [(2, "doubled_epoch")]),
        ("epoch 3: dev acc :: 0.383", [(1, "cut_line")]),
        ("epoch 3: dev acc :: 0.\n", [(1, "cut_number")]),
        ("".join(f"epoch {n}: dev acc :: {v}\n" for n, v in
                 enumerate(["0.311", "0.322", "0.333", "0.39", "0.355"])), [(4, "cut_number")]),
        ("".join(f"epoch {n}: dev acc :: {v}\n" for n, v in
                 enumerate(["0.311", "0.32", "0.333", "0.39", "0.355"])), []),
        (b"epoch 3: dev acc :: 0.383 \xff\xfe\n", [(1, "bad_utf8")]),
        (b"a" * (MAX_LINE_BYTES + 1) + b"\n", [(1, "long_line")]),
    ],
)  # fmt: skip
def test_what_is_odd_is_named(text: str | bytes, found: list[tuple[int, str]]) -> None:
    assert oddities(text) == found


def test_a_number_that_was_cut_off_is_no_number() -> None:
    assert records("epoch 3: dev acc :: 0.\n") == []


def test_bad_bytes_spoil_nothing_beside_them() -> None:
    (found,) = records(b"\xff\xfeepoch 3: dev acc :: 0.383 \xff\n")
    assert found.metrics == {"dev_accuracy": 0.383}


def test_own_patterns_come_first() -> None:
    own = [r"score> (?P<epoch>\d+) @ (?P<my_score>[\d.]+)"]
    (found,) = records("score> 3 @ 0.7 dev acc :: 0.1\n", own=own)
    assert (found.epoch, found.metrics) == (3, {"my_score": 0.7})


def test_an_own_pattern_that_explodes_is_taken_out_of_use() -> None:
    line = "a" * 40 + "b dev acc :: 0.5\n"
    own = [r"(?P<x>(?:a|a)*(?:a|a)*(?:a|a)*)c"]
    assert oddities(line * 3, own=own) == [(1, "slow_pattern")]
    assert len(records(line * 3, own=own)) == 3


@pytest.mark.parametrize(("text", "word"), [("(", "missing"), ("epoch (?P<epoch>.)", "metric")])
def test_an_own_pattern_of_no_use(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        CustomPattern(text)


def test_an_objective_of_any_name_is_found() -> None:
    assert records("epoch 1: glory 3.5\n") == []
    (found,) = records("epoch 1: Glory: 3.5\n", names=["glory"])
    assert found.metrics == {"glory": 3.5}


@pytest.mark.parametrize(
    ("names", "one"),
    [
        (("dev acc", "val_acc", "eval_accuracy", "valid/acc", "Validation Acc"), "dev_accuracy"),
        (("dev_f1", "val F1", "eval_f1_score", "F1 val"), "dev_f1"),
        (("dev_macro_f1", "val F1 (macro)", "eval_macro_f1"), "dev_macro_f1"),
        (("learning_rate", "lr", "Learning Rate"), "lr"),
        (("valLoss", "val_loss", "eval/loss", "Validation Loss"), "dev_loss"),
        (("rouge1", "Rouge1"), "rouge1"),
    ],
)  # fmt: skip
def test_names_in_one_spelling(names: tuple[str, ...], one: str) -> None:
    assert {canonical_name(name) for name in names} == {one}


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_where_the_chunks_are_cut_changes_nothing(raw: bytes, cuts: list[int]) -> None:
    raw = BY_HAND.encode()[:200] + raw
    whole = read(raw)
    reader, parts = LogReader(), []
    edges = [0, *sorted(cuts), len(raw)]
    for begin, end in pairwise(edges):
        parts += list(reader.feed(raw[begin:end]))
    assert [*parts, *reader.finish()] == whole


def test_a_line_without_end_takes_no_memory() -> None:
    reader = LogReader()
    chunk = b"x" * (1 << 20)
    for _ in range(1024):  # 1 GiB
        assert list(reader.feed(chunk)) == []
    found = list(reader.feed(b"\nepoch 1: dev acc :: 0.5\n"))
    assert [type(one).__name__ for one in found] == ["LogIssue", "LogRecord"]
    assert isinstance(found[1], LogRecord)
    assert found[1].line == 2
