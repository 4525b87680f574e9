"""Tokens on disk and batches by length."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import DATA, save_model
from trytable.records import Refused
from trytable.trainers.data import tokens
from trytable.trainers.data.batches import batches_by_length, batches_in_order, pad_batch
from trytable.trainers.data.splits import Split, TextData
from trytable.trainers.data.tokens import tokenise

TOP = Path(__file__).resolve().parents[3]

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=300).map(np.array)


@given(LENGTHS, st.integers(1, 64), st.integers(0, 2**62))
def test_every_sentence_stands_in_one_batch(
    lengths: tokens.Indices, batch_size: int, seed: int
) -> None:
    batches = batches_by_length(lengths, batch_size, seed)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [batch_size] * (len(sizes) - 1)
    repeated = batches_by_length(lengths, batch_size, seed)
    assert all(
        np.array_equal(first, second) for first, second in zip(batches, repeated, strict=True)
    )


@given(LENGTHS, st.integers(1, 64))
def test_evaluation_sees_every_sentence_once(lengths: tokens.Indices, batch_size: int) -> None:
    batches = list(batches_in_order(lengths, batch_size))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))


def test_padding_stays_under_five_percent_and_order_varies() -> None:
    lengths = np.clip(np.random.default_rng(1).lognormal(3, 0.5, 8544), 4, 70).astype(int)
    first, second = (batches_by_length(lengths, 80, seed) for seed in (1, 2))
    area = sum(len(batch) * lengths[batch].max() for batch in first)
    assert 1 - lengths.sum() / area < 0.05
    sets = {frozenset(batch.tolist()) for batch in first}
    assert len(sets & {frozenset(batch.tolist()) for batch in second}) < len(first) / 10


def test_tokens_are_written_once_and_mapped(odd: Path, bert_folder: Path) -> None:
    tokens.cache_data(odd, DATA)
    splits = tokenise(odd, DATA.hash, str(bert_folder), 32)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 70,
        "dev": 40,
        "test": 30,
    }
    assert isinstance(splits["train"].ids, np.memmap)
    times = {path: path.stat().st_mtime_ns for path in odd.rglob("*.npy")}
    tokenise(odd, DATA.hash, str(bert_folder), 32)
    assert times == {path: path.stat().st_mtime_ns for path in odd.rglob("*.npy")}
    tokenise(odd, DATA.hash, str(bert_folder), 16)
    assert len(list(odd.rglob("*.npy"))) == 2 * len(times)


def test_a_batch_is_padded_and_cut_to_the_length(odd: Path, bert_folder: Path) -> None:
    texts = ("good", "good bad film plot very not a the dull fine")
    data = TextData(("0", "1"), {"train": Split(texts, (0, 1)), "dev": Split(texts, (0, 1))})
    tokens.cache_data(odd, data)
    split = tokenise(odd, data.hash, str(bert_folder), 8)["train"]
    batch, labels = pad_batch(split, np.array([1, 0]), pad_id=0)
    assert batch["input_ids"].shape == (2, 8)
    assert batch["attention_mask"].sum(1).tolist() == [8, 1]
    assert batch["input_ids"][1].tolist() == [2, *[0] * 7]
    assert labels.tolist() == [1, 0]
    part = split.take(np.array([1]))
    assert part.ids.tolist() == split.ids[split.offsets[1] :].tolist()


def test_every_file_of_a_tokenizer_counts(odd: Path) -> None:
    model = save_model(odd / "model")
    tokens.cache_data(odd, DATA)
    for merges in ("one", "two"):
        (model / "merges.txt").write_text(merges)
        tokenise(odd, DATA.hash, str(model), 16)
    assert len(list(odd.glob("data-*/*-16-*[0-9]"))) == 2


def test_a_text_without_any_token_is_refused(odd: Path) -> None:
    model = save_model(odd / "model")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "\u200b"}, "content": ""}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    split = Split(("good", "\u200b"), (0, 1))
    data = TextData(("0", "1"), {"dev": split, "train": split})
    tokens.cache_data(odd, data)
    with pytest.raises(Refused, match=r"no token in the dev text .* \(number 2\)"):
        tokenise(odd, data.hash, str(model), 16)
    assert not list(odd.glob("data-*/*-16-*[0-9]"))


def test_whoever_keeps_data_second_finds_the_firsts(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.cache_data(odd / "first", DATA)
    rename = Path.rename

    def too_late(self: Path, target: Path) -> Path:
        shutil.copytree(odd / "first" / target.name, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", too_late)
    tokens.cache_data(odd / "second", DATA)
    assert tokens.load_cached_data(odd / "second", DATA.hash).splits == DATA.splits
    assert len(list((odd / "second").iterdir())) == 1


def test_other_characters_than_the_locales_are_kept(odd: Path, bert_folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from trytable.trainers.data import tokens; "
        "from trytable.trainers.data.splits import Split, TextData; "
        "split = Split(('\\u0142\\u20ac', '\\U0001f600'), (0, 1)); "
        "data = TextData(('0', '1'), {'train': split}); "
        "tokens.cache_data(Path(sys.argv[1]), data); "
        "assert tokens.load_cached_data(Path(sys.argv[1]), data.hash).splits == data.splits"
    )
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", program, str(odd)], check=True, cwd=TOP, env=environment)


def test_data_that_were_never_prepared_are_an_error(odd: Path, bert_folder: Path) -> None:
    with pytest.raises(OSError, match="data"):
        tokenise(odd, "0" * 64, str(bert_folder), 8)
