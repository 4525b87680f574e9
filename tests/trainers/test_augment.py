"""Texts changed at random: what may change, what may not, and that it is the same again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import Recorder, job_for
from trainers import finetune
from trainers.augment import Augmenter, augmenter_of, nearest
from trainers.backbone import LoadedModel
from trainers.protocol import Epoch, FinetuneSettings, Step
from trainers.tokens import TokenSplit

SPECIAL = np.array([0, 1, 2], dtype=np.int32)
EMBEDDINGS = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))


def split_of(sentences: list[list[int]]) -> TokenSplit:
    """Sentences between a 1 and a 2, as between [CLS] and [SEP]."""
    rows = [[1, *words, 2] for words in sentences]
    offsets = np.cumsum([0, *map(len, rows)])
    ids = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
    types = np.concatenate([np.arange(len(row), dtype=np.int32) for row in rows])
    return TokenSplit(ids, offsets, np.arange(len(rows)), types)


def rows_of(split: TokenSplit) -> list[list[int]]:
    ends = zip(split.offsets[:-1], split.offsets[1:], strict=True)
    return [split.ids[begin:end].tolist() for begin, end in ends]


def augmenter(split: TokenSplit, **knobs: object) -> Augmenter:
    found = augmenter_of(FinetuneSettings.model_validate(knobs), split, SPECIAL, EMBEDDINGS)
    assert found is not None
    return found


SENTENCES = st.lists(st.lists(st.integers(3, 39), min_size=1, max_size=9), min_size=1, max_size=6)
SHARES = st.floats(0.1, 0.9)


@given(SENTENCES, SHARES, st.integers(0, 2**31))
def test_deletion_leaves_order_specials_and_at_least_one_word(
    sentences: list[list[int]], share: float, seed: int
) -> None:
    split = split_of(sentences)
    changed = augmenter(split, augment_delete=share).apply(split, np.arange(len(split)), seed)
    for row, before in zip(rows_of(changed), rows_of(split), strict=True):
        assert (row[0], row[-1]) == (1, 2)
        assert len(row) > 2
        rest = iter(before)
        assert all(token in rest for token in row)  # a subsequence
    assert changed.labels.tolist() == split.labels.tolist()
    assert changed.types is not None
    assert len(changed.types) == len(changed.ids)


@given(SENTENCES, SHARES, st.integers(0, 2**31))
def test_swapping_moves_words_and_nothing_else(
    sentences: list[list[int]], share: float, seed: int
) -> None:
    split = split_of(sentences)
    changed = augmenter(split, augment_swap=share).apply(split, np.arange(len(split)), seed)
    for row, before in zip(rows_of(changed), rows_of(split), strict=True):
        assert (row[0], row[-1]) == (1, 2)
        assert sorted(row) == sorted(before)
    assert changed.offsets.tolist() == split.offsets.tolist()


@given(SENTENCES, SHARES, st.integers(0, 2**31))
def test_a_replacement_is_a_near_neighbour_by_cosine(
    sentences: list[list[int]], share: float, seed: int
) -> None:
    split = split_of(sentences)
    changed = augmenter(split, augment_replace=share).apply(split, np.arange(len(split)), seed)
    unit = torch.nn.functional.normalize(EMBEDDINGS, dim=1)
    for row, before in zip(rows_of(changed), rows_of(split), strict=True):
        for new, old in zip(row, before, strict=True):
            if new != old:
                similar = unit @ unit[old]
                similar[[0, 1, 2, old]] = -2
                assert new in similar.topk(10).indices.tolist()


def test_shares_are_what_they_say() -> None:
    split = split_of([list(range(3, 40))] * 300)
    words = 37 * 300
    gone = augmenter(split, augment_delete=0.2).apply(split, np.arange(300), 1)
    assert (len(split.ids) - len(gone.ids)) / words == pytest.approx(0.2, abs=0.02)
    new = augmenter(split, augment_replace=0.3).apply(split, np.arange(300), 1)
    assert (new.ids != split.ids).sum() / words == pytest.approx(0.3, abs=0.02)
    moved = augmenter(split, augment_swap=0.4).apply(split, np.arange(300), 1)
    assert (moved.ids != split.ids).sum() / words == pytest.approx(0.4, abs=0.02)


def test_the_same_seed_changes_texts_in_the_same_way() -> None:
    split = split_of([list(range(3, 30))] * 5)
    one = augmenter(split, augment_delete=0.3, augment_swap=0.3, augment_replace=0.3)
    first, again, other = (one.apply(split, np.arange(5), seed) for seed in (1, 1, 2))
    assert rows_of(first) == rows_of(again) != rows_of(other)


def test_neighbours_are_the_same_whatever_is_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = np.arange(3, 40, dtype=np.int32)
    whole = nearest(EMBEDDINGS, ids, SPECIAL).table
    monkeypatch.setattr("trainers.augment._ROWS_AT_ONCE", 5)
    assert (nearest(EMBEDDINGS, ids, SPECIAL).table == whole).all()
    assert not np.isin(whole, SPECIAL).any()
    assert not (whole == ids[:, None]).any()


def test_training_sees_other_texts_and_evaluation_the_same(
    tmp_path: Path, bert: LoadedModel
) -> None:
    def run(folder: str, **knobs: Any) -> tuple[list[float], list[float]]:
        job, settings = job_for(tmp_path / folder, bert.folder, epochs=2, lr=1e-12, **knobs)
        line = Recorder()
        finetune.train(job, settings, line, bert)
        train = [step.loss for step in line.said(Step)]
        return train, [epoch.dev_loss for epoch in line.said(Epoch)]

    plain, changed = run("plain"), run("changed", augment_delete=0.5, augment_replace=0.5)
    assert plain[0] != changed[0]
    assert plain[1] == pytest.approx(changed[1], rel=1e-6)
    assert run("again", augment_delete=0.5, augment_replace=0.5) == changed
