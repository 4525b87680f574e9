"""Tokenised data: written to the cache once, mapped into memory and shared by all trials."""

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trytable.records import Refused
from trytable.trainers.data.folders import write_folder, write_folder_once
from trytable.trainers.data.splits import Split, TextData, from_json, to_json

Indices = NDArray[np.int64]

_FORMAT_VERSION = 2
"""Part of the folder's name; goes up when the files in it change."""

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf")


@dataclass(frozen=True)
class TokenSplit:
    """One split: the token ids of all sentences in one array, and the labels.

    `ids` has shape (tokens,); sentence i is `ids[offsets[i]:offsets[i + 1]]`. `offsets` has shape
    (sentences + 1,), `labels` (sentences,). `types` has the shape of `ids` if token types separate
    the texts of a pair, else it is None. `states`, shape (tokens, width), are the cached outputs
    of a model's frozen layers, or None.
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
        """Return a copy of these sentences, in memory."""
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
    """Write data to the cache, so that no worker reads their sources again."""
    folder = _data_folder(cache, data.hash)
    if not folder.exists():
        text = to_json(data).encode()
        write_folder(folder, lambda path: (path / "data.json").write_bytes(text))


def load_cached_data(cache: Path, data_hash: str) -> TextData:
    """Read data from the cache. Raises OSError if they are not there."""
    return from_json((_data_folder(cache, data_hash) / "data.json").read_text(encoding="utf-8"))


def tokenise(
    cache: Path, data_hash: str, tokenizer_folder: str, max_length: int
) -> dict[str, TokenSplit]:
    """Return the tokenised splits of cached data, mapped into memory.

    Each combination of data, tokenizer and length is tokenised once. Raises Refused for a text
    without tokens, OSError and ValueError if there is no tokenizer.
    """
    folder = tokens_folder(cache, data_hash, tokenizer_folder, max_length)

    def write(path: Path) -> None:
        _tokenise(path, load_cached_data(cache, data_hash), tokenizer_folder, max_length)

    write_folder_once(folder, write)
    names = json.loads((folder / "splits.json").read_text())
    return {name: _map(folder, name) for name in names}


def special_ids(
    cache: Path, data_hash: str, tokenizer_folder: str, max_length: int
) -> NDArray[np.int32]:
    """Return the ids of the tokenizer's special tokens, such as [CLS]. Call `tokenise` before."""
    path = tokens_folder(cache, data_hash, tokenizer_folder, max_length) / "special.json"
    return np.asarray(json.loads(path.read_text()), dtype=np.int32)


def tokens_folder(cache: Path, data_hash: str, tokenizer_folder: str, max_length: int) -> Path:
    """Return the folder of the tokens of these data with this tokenizer and length."""
    name = f"{_tokenizer_hash(tokenizer_folder)}-{max_length}-{_FORMAT_VERSION}"
    return _data_folder(cache, data_hash) / name


def _data_folder(cache: Path, data_hash: str) -> Path:
    return cache / f"data-{data_hash[:32]}"


def _tokenizer_hash(folder: str) -> str:
    """Hash all that decides how a model's folder, or a name on the hub, tokenises.

    These are the versions of the libraries and all files except the weights: the vocabulary has
    another file name in each model family.
    """
    digest = hashlib.sha256(b"" if Path(folder).is_dir() else folder.encode())
    for library in ("transformers", "tokenizers"):
        digest.update(importlib.metadata.version(library).encode())
    for path in sorted(Path(folder).glob("*")):
        if path.is_file() and path.suffix not in _WEIGHTS:
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _tokenise(folder: Path, data: TextData, tokenizer_folder: str, max_length: int) -> None:
    # Imported here: a worker whose data are in the cache needs no tokenizer.
    from transformers import AutoTokenizer  # noqa: PLC0415 - see above

    tokenizer = AutoTokenizer.from_pretrained(
        tokenizer_folder,
        local_files_only=Path(tokenizer_folder).is_dir(),
        trust_remote_code=False,  # the default asks whether to run the folder's code
    )
    for name, split in data.splits.items():
        encoding = encode(tokenizer, split, max_length)
        lengths = [len(ids) for ids in encoding["input_ids"]]
        if 0 in lengths:
            text = split.texts[lengths.index(0)]
            raise Refused(
                f"The tokenizer finds no token in the {name} text {text[:60]!r} (number "
                f"{lengths.index(0) + 1}); expected at least one."
            )
        np.save(folder / f"{name}.offsets.npy", np.cumsum([0, *lengths], dtype=np.int64))
        np.save(folder / f"{name}.labels.npy", np.asarray(split.labels, dtype=np.int64))
        np.save(folder / f"{name}.ids.npy", _flat(encoding["input_ids"]))
        if split.pairs and "token_type_ids" in encoding:
            np.save(folder / f"{name}.types.npy", _flat(encoding["token_type_ids"]))
    (folder / "special.json").write_text(json.dumps(sorted(set(tokenizer.all_special_ids))))
    (folder / "splits.json").write_text(json.dumps(sorted(data.splits)))


def encode(tokenizer: Any, split: Split, max_length: int) -> Any:
    """Tokenise the texts of a split, or its pairs; returns transformers' BatchEncoding."""
    pairs = list(split.pairs) if split.pairs else None
    return tokenizer(list(split.texts), pairs, truncation=True, max_length=max_length)


def _flat(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])


def _map(folder: Path, name: str) -> TokenSplit:
    def load(part: str) -> Any:
        return np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False)

    types = load("types") if (folder / f"{name}.types.npy").exists() else None
    return TokenSplit(load("ids"), np.asarray(load("offsets")), np.asarray(load("labels")), types)
