"""Blocks of epochs: where one ends, what is odd about it, and the formats that programs print."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.orchestrator.commands.log_import.reading import LOGS, blocks_of, kinds, run_of, values


@pytest.mark.parametrize(
    ("name", "dev", "train_loss", "given_settings"),
    [
        ("trainer_state.json", [0.31, 0.38, 0.41], [1.61, 1.4, 1.12],
         {"epochs": 3, "batch_size": 8}),
        ("hf.log", [0.31, 0.38, 0.41], [1.61, 1.4, 1.12],
         {"epochs": 3, "batch_size": 8, "lr": 2e-5}),
        ("epochs.csv", [0.312, 0.383, None], [1.612345, 1.402, 1.1201], {}),
        ("keras.log", [0.28, 0.36, 0.35], [1.629, 1.4212, 1.3011],
         {"lr": 0.001, "dropout": 0.5, "epochs": 3}),
        ("lightning.log", [0.31, 0.36], [1.5, 1.2], {"lr": 0.0003, "dropout": 0.2, "epochs": 2}),
    ],
)  # fmt: skip
def test_what_programs_print(
    name: str, dev: list[float], train_loss: list[float], given_settings: dict[str, float]
) -> None:
    (block,) = blocks_of((LOGS / name).read_bytes(), name)
    assert [one.epoch for one in block.epochs] == [*range(1, len(dev) + 1)]
    assert [one.metrics.get("dev_accuracy") for one in block.epochs] == dev
    assert [one.metrics["train_loss"] for one in block.epochs] == train_loss
    assert values(block) == given_settings
    assert set(kinds(block)) <= {"debris"}
    assert all(one.is_running == (name in ("keras.log", "lightning.log")) for one in block.epochs)


def test_epochs_that_begin_again_begin_a_block() -> None:
    first, second = blocks_of(run_of(0.3, 0.4) + run_of(0.2, 0.3, 0.5))
    assert (len(first.epochs), len(second.epochs)) == (2, 3)
    assert (first.lines, second.lines) == ((1, 2), (3, 5))


def test_epochs_counted_from_one_stay_so() -> None:
    (block,) = blocks_of(run_of(0.3, 0.4, first=1))
    assert [one.epoch for one in block.epochs] == [1, 2]


@pytest.mark.parametrize(
    ("text", "odd", "line"),
    [
        (run_of(0.3, 0.4) + run_of(0.4, first=1), "doubled_epoch", 3),
        (run_of(0.3, 0.4) + run_of(0.45, first=1), "doubled_epoch", 3),
        (run_of(0.3) + run_of(0.4, first=2), "missing_epochs", 2),
        (run_of(0.3, first=3), "missing_epochs", 1),
        ("$ python a.py --epochs 4\n" + run_of(0.3, 0.4), "missing_epochs", 3),
        (run_of(0.3, 0.4) + "dev acc :: 0.500\n", "closing_differs", 3),
        (run_of(0.3) + "\xff", "cut_line", 0),
        (run_of(0.3, 0.4)[:-3], "cut_line", 2),
        ("12%|#2   | 3/25 [00:01<00:09]\r" + run_of(0.3), "debris", 1),
        (run_of(0.1, 0.2, 0.3, 0.4).replace("0.400\n", "0.40\n"), "cut_number", 4),
        (run_of(0.1, 0.2, 0.3, 0.4).replace("0.400\n", "0.4000\n"), "long_number", 4),
    ],
)
def test_an_oddity_is_named_with_its_line(text: str, odd: str, line: int) -> None:
    found = kinds(blocks_of(text)[0])
    if line:
        assert found[odd] == (line,)
    else:
        assert found == {}  # a last word that says nothing is nothing


def test_bytes_that_are_no_text_are_named() -> None:
    (block,) = blocks_of(run_of(0.3).encode() + b"\xff\xfe epoch\n" + run_of(0.4, first=1).encode())
    assert kinds(block)["bad_utf8"] == (2,)
    assert len(block.epochs) == 2


def test_an_epoch_told_twice_counts_as_it_came_first() -> None:
    (block,) = blocks_of(run_of(0.3, 0.4) + run_of(0.9, first=1) + run_of(0.5, first=2))
    assert [one.metrics["dev_accuracy"] for one in block.epochs] == [0.3, 0.4, 0.5]


def test_prose_and_code_are_no_results() -> None:
    notes = """
- epoch 3 gave dev acc 0.900, the best
| epoch 3 | 0.900 |
best_dev_acc = 0
def train(epoch=5, lr=0.1):
    scheduler = Cosine(optimizer, epoch=10, eta_min=0.001)
I think epoch 2: train loss :: 1.0 is odd
"""
    (block,) = blocks_of(run_of(0.3, 0.4) + "\n### Notes\n" + notes)
    assert (len(block.epochs), block.closing, block.lines) == (2, {}, (1, 2))


def test_a_command_line_serves_the_blocks_below_until_text_comes() -> None:
    log = "python a.py --lr 1e-3\n" + run_of(0.3) + "\n### 1e-4\n" + run_of(0.4)
    first, second, third = blocks_of(log + "\nNow with more dropout.\n\n### next\n" + run_of(0.5))
    assert [values(one) for one in (first, second, third)] == [{"lr": 1e-3}, {"lr": 1e-4}, {}]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python a.py --lr 1e-3 --use_gpu --out x.txt", {"lr": 1e-3}),
        ("$ CUDA_VISIBLE_DEVICES=0 python3 a.py --learning-rate=2e-5", {"lr": 2e-5}),
        ("torchrun --nproc_per_node 2 train.py optimizer.lr=0.1", {"nproc_per_node": 2, "lr": 0.1}),
        ("python a.py --hidden_dropout_prob 0.5 --bs -1", {"dropout": 0.5, "batch_size": -1}),
        ("python a.py --flag true --lr nan --wd inf", {"flag": True}),
        ("python a.py --lr 'unclosed 1e-3", {}),
        ("python a.py --lr $(touch x) --wd `id`", {}),
    ],
)
def test_a_command_line_is_looked_at_and_never_run(line: str, found: dict[str, object]) -> None:
    (block,) = blocks_of(f"{line}\n{run_of(0.3)}")
    assert values(block) == found


BY_HAND = (LOGS / "by_hand.log").read_bytes()
WHOLE = {name: (LOGS / name).read_bytes() for name in (
    "by_hand.log", "trainer_state.json", "hf.log", "epochs.csv", "keras.log", "lightning.log",
)}  # fmt: skip


def numbers(raw: bytes, name: str) -> set[tuple[int, str, float]]:
    """Every number that is read, with its block's first line, its epoch and metric."""
    found: set[tuple[int, str, float]] = set()
    for block in blocks_of(raw, name):
        at = block.lines[0]
        for one in block.epochs:
            found |= {(at, f"{one.printed} {key}", value) for key, value in one.metrics.items()}
        found |= {(at, key, value) for key, value in block.closing.items()}
        found |= {
            (at, f"given {key}", float(one.value))
            for key, one in block.settings.items()
            if isinstance(one.value, int | float)
        }
    return found


FULL = {name: numbers(raw, name) for name, raw in WHOLE.items()}


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_a_cut_log_gives_less_and_never_another_number(name: str, data: st.DataObject) -> None:
    raw = WHOLE[name]
    end = data.draw(st.integers(0, len(raw)))
    read = numbers(raw[:end], name)
    # One number of this log has a digit more than all others: cut there, it looks whole.
    assert {one for one in read - FULL[name] if one[1] != "14.0 dev_accuracy"} == set()


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(("a.log", "a.csv", "a.json", "a.tsv")))
def test_no_bytes_break_the_reader(raw: bytes, name: str) -> None:
    blocks_of(raw, name)
    blocks_of(BY_HAND[:700] + raw + BY_HAND[700:1400], name)
