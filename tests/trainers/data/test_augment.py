"""Training texts that are changed at random: what changes, what stays, and when."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.small import DATA, Recorder, job_for, same_tensors
from trytable.trainers.data import augment, tokens
from trytable.trainers.data.augment import Augmenter, cached_neighbours, nearest_neighbours
from trytable.trainers.data.splits import Split, TextData
from trytable.trainers.data.tokens import TokenSplit
from trytable.trainers.finetune import trainer
from trytable.trainers.models.backbone import LoadedModel
from trytable.trainers.protocol.messages import Finding, Finished, Started

SPECIAL = np.array([0, 1, 2], dtype=np.int32)
WORDS = np.arange(3, 30, dtype=np.int32)
EMBEDDINGS = torch.randn(30, 5, generator=torch.Generator().manual_seed(1))


def split_of(texts: list[list[int]], types: bool = False) -> TokenSplit:
    """Texts between two special tokens, as [CLS] and [SEP] are; types are each token's place."""
    rows = [[1, *text, 2] for text in texts]
    ids = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    places = np.concatenate([np.arange(len(row), dtype=np.int32) for row in rows])
    return TokenSplit(ids, offsets, np.arange(len(rows)), places if types else None)


def texts_of(split: TokenSplit) -> list[list[int]]:
    return [split.ids[a:b].tolist() for a, b in zip(split.offsets, split.offsets[1:], strict=False)]


def augmenter(delete: float = 0.0, swap: float = 0.0, replace: float = 0.0) -> Augmenter:
    return Augmenter(delete, swap, replace, SPECIAL, nearest_neighbours(EMBEDDINGS, WORDS, SPECIAL))


_SHARE = st.floats(0, 0.9)
_TEXTS = st.lists(st.lists(st.integers(3, 29), max_size=12), min_size=1, max_size=6)


@given(_TEXTS, _SHARE, _SHARE, _SHARE, st.integers(0, 2**40))
def test_special_tokens_labels_and_types_stay_where_they_are(
    texts: list[list[int]], delete: float, swap: float, replace: float, seed: int
) -> None:
    split = split_of(texts, types=True)
    ids, offsets = split.ids.copy(), split.offsets.copy()
    indices = np.arange(len(texts))[::-1]
    changed = augmenter(delete, swap, replace).apply(split, indices, seed)
    assert changed.labels.tolist() == indices.tolist()
    assert changed.types is not None
    for number, text, begin in zip(indices, texts_of(changed), changed.offsets, strict=False):
        assert (text[0], text[-1]) == (1, 2)
        assert set(text[1:-1]).isdisjoint(SPECIAL)
        assert bool(text[1:-1]) == bool(texts[number])  # something to read is left
        places = changed.types[begin : begin + len(text)].tolist()
        assert places == sorted(set(places))
        assert (places[0], places[-1]) == (0, len(texts[number]) + 1)
    repeated = augmenter(delete, swap, replace).apply(split, indices, seed)
    assert np.array_equal(repeated.ids, changed.ids)
    assert np.array_equal(split.ids, ids)
    assert np.array_equal(split.offsets, offsets)


TEXTS = [np.random.default_rng(i).integers(3, 30, 20).tolist() for i in range(500)]


def apply(augmenter: Augmenter, seed: int = 5) -> list[list[int]]:
    """Many texts, changed, without their special tokens."""
    changed = augmenter.apply(split_of(TEXTS), np.arange(len(TEXTS)), seed)
    return [text[1:-1] for text in texts_of(changed)]


def fits(count: int, of: int, share: float) -> bool:
    """Whether so many of so many may have been drawn with this probability: within 4 sigma."""
    return abs(count - of * share) < 4 * math.sqrt(of * share * (1 - share))


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_deletion_leaves_the_share_asked_for(share: float) -> None:
    remaining = apply(augmenter(delete=share))
    assert fits(sum(map(len, remaining)), 500 * 20, 1 - share)
    for original, changed in zip(TEXTS, remaining, strict=True):
        order = iter(original)
        assert all(token in order for token in changed)  # in their order


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_swapping_moves_tokens_and_loses_none(share: float) -> None:
    distinct = [list(range(3, 23))] * 500
    swapped = augmenter(swap=share).apply(split_of(distinct), np.arange(500), 5)
    moves = []
    for text in texts_of(swapped):
        assert sorted(text[1:-1]) == distinct[0]
        moves.append(sum(a != b for a, b in zip(text[1:-1], distinct[0], strict=True)))
    assert 1 not in moves
    # One that is drawn alone has nothing to change places with.
    alone = 20 * share * (1 - share) ** 19
    assert np.mean(moves) == pytest.approx(20 * share - alone, rel=0.1)


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_replaced_token_becomes_a_near_neighbour(share: float) -> None:
    unit = torch.nn.functional.normalize(EMBEDDINGS, dim=1)
    similar = unit @ unit.T
    replaced = []
    for original, changed in zip(TEXTS, apply(augmenter(replace=share)), strict=True):
        for old, new in zip(original, changed, strict=True):
            if old != new:
                replaced.append((old, new))
                nearer = (similar[old, 3:] > similar[old, new]).sum() - 1  # itself is nearest
                assert nearer < augment.NEIGHBOURS
    assert fits(len(replaced), 500 * 20, share)
    ranks = {new for old, new in replaced if old == 3}
    assert len(ranks) == augment.NEIGHBOURS


def test_one_share_does_not_change_anothers_draws() -> None:
    replaced = apply(augmenter(replace=0.3))
    deleted_too = apply(augmenter(replace=0.3, delete=0.4))
    for whole, part in zip(replaced, deleted_too, strict=True):
        order = iter(whole)
        assert all(token in order for token in part)


def test_neighbours_are_worked_out_once_for_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counting(*args: Any) -> augment.Neighbours:
        calls.append(1)
        return nearest_neighbours(*args)

    monkeypatch.setattr(augment, "nearest_neighbours", counting)
    first, second = (cached_neighbours(tmp_path, EMBEDDINGS, WORDS, SPECIAL) for _ in range(2))
    assert np.array_equal(first.table, second.table)
    assert len(calls) == 1
    cached_neighbours(tmp_path, EMBEDDINGS + 1, WORDS, SPECIAL)
    cached_neighbours(tmp_path, EMBEDDINGS, WORDS[1:], SPECIAL)
    assert len(calls) == 3


def test_neighbours_do_not_depend_on_how_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = nearest_neighbours(EMBEDDINGS, WORDS, SPECIAL).table
    monkeypatch.setattr(augment, "_ROWS_AT_ONCE", 4)
    assert np.array_equal(nearest_neighbours(EMBEDDINGS, WORDS, SPECIAL).table, whole)
    assert whole.shape == (27, augment.NEIGHBOURS)
    assert not np.isin(whole, SPECIAL).any()


def test_a_vocabulary_of_few_words_has_few_neighbours() -> None:
    neighbours = nearest_neighbours(EMBEDDINGS[:6], WORDS[:3], SPECIAL)
    assert neighbours.table.shape == (3, 2)


def seen_by(
    folder: Path, loaded: LoadedModel, data: TextData = DATA, **knobs: Any
) -> tuple[dict[bool, list[int]], trainer.TrainingRun]:
    """Token ids that the model saw in training and in evaluation, end to end."""
    job, settings = job_for(folder, loaded.folder, data, epochs=1, **knobs)
    line = Recorder()
    run = trainer.TrainingRun(job, settings, line, loaded)
    tokens_seen: dict[bool, list[int]] = {True: [], False: []}

    def look(model: torch.nn.Module, args: tuple[dict[str, torch.Tensor]]) -> None:
        batch = args[0]
        tokens_seen[model.training] += batch["input_ids"][batch["attention_mask"] == 1].tolist()

    run.model.register_forward_pre_hook(look)
    run.execute()
    assert line.said(Finding) == []
    assert line.said(Finished)
    effective = line.said(Started)[0].effective
    for knob in ("augment_delete", "augment_swap", "augment_replace"):
        assert effective[knob] == knobs.get(knob, 0.0)
    return tokens_seen, run


@pytest.mark.parametrize("knob", ["augment_delete", "augment_swap", "augment_replace"])
def test_only_training_batches_are_changed(tmp_path: Path, bert: LoadedModel, knob: str) -> None:
    plain, _ = seen_by(tmp_path / "plain", bert)
    changed, _ = seen_by(tmp_path / "changed", bert, DATA, **{knob: 0.5})
    assert changed[False] == plain[False]
    assert changed[True] != plain[True]
    if knob == "augment_swap":
        assert sorted(changed[True]) == sorted(plain[True])


def test_deleted_tokens_are_missing_from_training_batches_alone(
    tmp_path: Path, bert: LoadedModel
) -> None:
    plain, _ = seen_by(tmp_path / "plain", bert)
    changed, _ = seen_by(tmp_path / "changed", bert, augment_delete=0.5)
    assert 0.4 < len(changed[True]) / len(plain[True]) < 0.7  # one token is always left
    assert len(changed[False]) == len(plain[False])


def test_pairs_keep_their_types(tmp_path: Path, bert: LoadedModel) -> None:
    pairs = {
        name: Split(split.texts, split.labels, split.texts[::-1])
        for name, split in DATA.splits.items()
    }
    knobs: dict[str, Any] = {"augment_delete": 0.3, "augment_swap": 0.3, "augment_replace": 0.3}
    seen_by(tmp_path, bert, TextData(DATA.classes, pairs), **knobs)


def test_a_drained_trial_changes_texts_as_an_undisturbed_one(
    tmp_path: Path, bert: LoadedModel
) -> None:
    knobs: dict[str, Any] = {"augment_delete": 0.2, "augment_swap": 0.2, "augment_replace": 0.2}
    whole, run = seen_by(tmp_path / "whole", bert, **knobs)
    job, settings = job_for(tmp_path / "halves", bert.folder, epochs=1, **knobs)
    trainer.train(job, settings, Recorder(stop_after=4), bert)
    rest, resumed = seen_by(tmp_path / "halves", bert, **knobs)
    assert len(rest[True]) < len(whole[True])
    assert whole[True][-len(rest[True]) :] == rest[True]
    assert same_tensors(run.model.state_dict(), resumed.model.state_dict())


def test_the_tokenizers_special_tokens_are_known(tmp_path: Path, bert: LoadedModel) -> None:
    job, settings = job_for(tmp_path, bert.folder)
    cache = Path(job.cache_folder)
    tokens.tokenise(cache, job.data_hash, bert.folder, settings.max_length)
    special = tokens.special_ids(cache, job.data_hash, bert.folder, settings.max_length)
    assert special.tolist() == [0, 1]
