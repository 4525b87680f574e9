"""Tokenised data on disk, mapped into memory and shared by all trials; and batches by length."""

import hashlib
import importlib.metadata
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from trytable.files import flush_to_disk
from trytable.trainers.data.dataset import Split, TextData, from_json, to_json
from trytable.trainers.protocol.messages import Refused

Indices = NDArray[np.int64]

JITTER = 0.02
"""Lengths are blurred by so much before sorting: batches vary from epoch to epoch, and the
padding stays well under 5 % of the tokens."""

_FORM = 2
"""Counts the changes of what is kept on disk."""

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf")


@dataclass(frozen=True)
class TokenSplit:
    """One split: token ids end to end, where each sentence begins, and the labels.

    `ids` has shape (tokens,), `offsets` (sentences + 1,), `labels` (sentences,). `types` has the
    shape of `ids` where text pairs are told apart by token types, else None; `states`, shape
    (tokens, width), are what comes out of a model's frozen layers, where that is kept.
    """

    ids: NDArray[np.int32]
    offsets: Indices
    labels: Indices
    types: NDArray[np.int32] | None
    states: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Indices:
        """Tokens of each sentence."""
        return np.diff(self.offsets)

    def take(self, indices: Indices) -> "TokenSplit":
        """A part of the sentences, in memory."""
        spans = [slice(self.offsets[i], self.offsets[i + 1]) for i in indices]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[indices])]).astype(np.int64)
        ids = np.concatenate([self.ids[span] for span in spans])
        types = states = None
        if self.types is not None:
            types = np.concatenate([self.types[span] for span in spans])
        if self.states is not None:
            states = np.concatenate([self.states[span] for span in spans])
        return TokenSplit(ids, offsets, self.labels[indices], types, states)


def cache_data(cache: Path, data: TextData) -> None:
    """Keep data in the cache, so that no worker reads their sources again."""
    folder = _data_folder(cache, data.hash)
    if not folder.exists():
        text = to_json(data).encode()
        write_folder(folder, lambda path: (path / "data.json").write_bytes(text))


def load_cached_data(cache: Path, data_hash: str) -> TextData:
    """Data from the cache. Raises OSError where they are not there."""
    return from_json((_data_folder(cache, data_hash) / "data.json").read_text(encoding="utf-8"))


def tokenise(
    cache: Path, data_hash: str, tokenizer_folder: str, max_length: int
) -> dict[str, TokenSplit]:
    """The splits, tokenised at most once for each data, model and length, mapped into memory.

    Raises Refused for a text without tokens, OSError and ValueError where there's no tokenizer.
    """
    folder = tokens_folder(cache, data_hash, tokenizer_folder, max_length)
    if not folder.exists():
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                data = load_cached_data(cache, data_hash)
                write_folder(
                    folder, lambda path: _tokenise(path, data, tokenizer_folder, max_length)
                )
    names = json.loads((folder / "splits.json").read_text())
    return {name: _map(folder, name) for name in names}


def special_ids(
    cache: Path, data_hash: str, tokenizer_folder: str, max_length: int
) -> NDArray[np.int32]:
    """The tokenizer's special tokens, such as [CLS], of data that were tokenised before."""
    path = tokens_folder(cache, data_hash, tokenizer_folder, max_length) / "special.json"
    return np.asarray(json.loads(path.read_text()), dtype=np.int32)


def tokens_folder(cache: Path, data_hash: str, tokenizer_folder: str, max_length: int) -> Path:
    """Where the tokens of these data are kept, for this tokenizer and length."""
    name = f"{_tokenizer_hash(tokenizer_folder)}-{max_length}-{_FORM}"
    return _data_folder(cache, data_hash) / name


def _data_folder(cache: Path, data_hash: str) -> Path:
    return cache / f"data-{data_hash[:32]}"


def _tokenizer_hash(folder: str) -> str:
    """Of all that decides how a model's folder tokenises; or of its name on the hub.

    That's every file beside the weights: a vocabulary has a name of its own in each family.
    """
    digest = hashlib.sha256(b"" if Path(folder).is_dir() else folder.encode())
    for library in ("transformers", "tokenizers"):
        digest.update(importlib.metadata.version(library).encode())
    for path in sorted(Path(folder).glob("*")):
        if path.is_file() and path.suffix not in _WEIGHTS:
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def write_folder(folder: Path, write: Any) -> None:
    """Write a folder whole or not at all; whoever comes second keeps the first one's."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        write(temporary)
        for path in temporary.iterdir():
            flush_to_disk(path)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tokenise(folder: Path, data: TextData, tokenizer_folder: str, max_length: int) -> None:
    # Here, not at the top: a worker whose data are in the cache needs no tokenizer.
    from transformers import AutoTokenizer  # noqa: PLC0415 - see above

    tokenizer = AutoTokenizer.from_pretrained(
        tokenizer_folder,
        local_files_only=Path(tokenizer_folder).is_dir(),
        trust_remote_code=False,  # else it asks whether to run what the folder holds
    )
    for name, split in data.splits.items():
        found = encode(tokenizer, split, max_length)
        lengths = [len(one) for one in found["input_ids"]]
        if 0 in lengths:
            text = split.texts[lengths.index(0)]
            raise Refused(
                f"The tokenizer finds no token in the {name} text {text[:60]!r} (number "
                f"{lengths.index(0) + 1}); expected one at least."
            )
        np.save(folder / f"{name}.offsets.npy", np.cumsum([0, *lengths], dtype=np.int64))
        np.save(folder / f"{name}.labels.npy", np.asarray(split.labels, dtype=np.int64))
        np.save(folder / f"{name}.ids.npy", _flat(found["input_ids"]))
        if split.pairs and "token_type_ids" in found:
            np.save(folder / f"{name}.types.npy", _flat(found["token_type_ids"]))
    (folder / "special.json").write_text(json.dumps(sorted(set(tokenizer.all_special_ids))))
    (folder / "splits.json").write_text(json.dumps(sorted(data.splits)))


def encode(tokenizer: Any, split: Split, max_length: int) -> Any:
    """What a tokenizer makes of a split: `input_ids` and the like, a list of each text's."""
    pairs = list(split.pairs) if split.pairs else None
    return tokenizer(list(split.texts), pairs, truncation=True, max_length=max_length)


def _flat(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])


def _map(folder: Path, name: str) -> TokenSplit:
    def load(part: str) -> Any:
        return np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False)

    types = load("types") if (folder / f"{name}.types.npy").exists() else None
    return TokenSplit(load("ids"), np.asarray(load("offsets")), np.asarray(load("labels")), types)


def batches_by_length(lengths: Indices, batch_size: int, seed: int) -> list[Indices]:
    """Every sentence once, in batches of like lengths, in random order.

    All batches have `batch_size` sentences but one, which takes the rest and stands anywhere
    among the lengths, so that the longest sentences are not always the ones in it.
    """
    generator = np.random.default_rng(seed)
    blurred = lengths * (1 + JITTER * generator.uniform(-1, 1, len(lengths)))
    order = np.lexsort((generator.random(len(lengths)), blurred))
    full, rest = divmod(len(lengths), batch_size)
    sizes = [batch_size] * full
    if rest:
        sizes.insert(int(generator.integers(full + 1)), rest)
    batches = np.split(order, np.cumsum(sizes)[:-1])
    return [batches[i] for i in generator.permutation(len(batches))]


def batches_in_order(lengths: Indices, batch_size: int) -> Iterator[Indices]:
    """Every sentence once, shortest first: for evaluation, where order changes nothing."""
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]


def pad_batch(
    split: TokenSplit, indices: Indices, pad_id: int
) -> tuple[dict[str, NDArray[np.int64]], Indices]:
    """Token ids, mask (and types) of shape (sentences, longest), and the labels."""
    spans = [(split.offsets[i], split.offsets[i + 1]) for i in indices]
    longest = max(end - begin for begin, end in spans)
    shape = (len(indices), int(longest))
    batch = {
        "input_ids": np.full(shape, pad_id, dtype=np.int64),
        "attention_mask": np.zeros(shape, dtype=np.int64),
    }
    if split.types is not None:
        batch["token_type_ids"] = np.zeros(shape, dtype=np.int64)
    for row, (begin, end) in enumerate(spans):
        batch["input_ids"][row, : end - begin] = split.ids[begin:end]
        batch["attention_mask"][row, : end - begin] = 1
        if split.types is not None:
            batch["token_type_ids"][row, : end - begin] = split.types[begin:end]
    return batch, split.labels[indices]
