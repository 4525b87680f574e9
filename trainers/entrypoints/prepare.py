"""`entrypoints.prepare`: checks the model and tokenizes the data, before any worker.

The request (see `jsonl`) has the keys `model`, `data`, `max_length` and `cache_folder`; the result
is a PreparedData.
"""

from pathlib import Path
from typing import Any

from trytable.records import UNLABELLED, DataSource, Refused
from trytable.trainers.data import docstrings, tokens
from trytable.trainers.data.dataset import SPLITS, read_data
from trytable.trainers.data.splits import TextData
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.models.locate import model_hash, resolve
from trytable.trainers.protocol.messages import PreparedData


def prepare(model: str, data: DataSource, max_length: int, cache: Path) -> PreparedData:
    """Check the model, read the data and tokenize them into the cache. Raises Refused."""
    folder = resolve(model)
    text_data = _read(data, cache)
    tokens.cache_data(cache, text_data)
    try:
        tokens.tokenise(cache, text_data.hash, folder, max_length)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; transformers raises OSError without a number
        is_folder = Path(folder).is_dir()
        subject = "its tokenizer" if is_folder else "there is no such folder, and the hub's model"
        raise Refused(f"MODEL={model}: {subject} cannot be read: {error}") from error
    return PreparedData(
        classes=text_data.classes,
        sizes={
            name: len(text_data.splits[name].texts) for name in SPLITS if name in text_data.splits
        },
        gold=_gold(text_data),
        data_hash=text_data.hash,
        model_hash=model_hash(folder),
        notes=text_data.notes,
        leaks=text_data.leaks,
    )


def _read(source: DataSource, cache: Path) -> TextData:
    """Read the data. The docstrings of installed packages are read once and then cached."""
    if source.name != docstrings.NAME:
        return read_data(source)
    cached_hash = cache / f"docstrings-{docstrings.fingerprint()}"
    try:
        return tokens.load_cached_data(cache, cached_hash.read_text())
    except OSError:
        text_data = read_data(source)
        tokens.cache_data(cache, text_data)
        cached_hash.write_text(text_data.hash)
        return text_data


def _gold(data: TextData) -> dict[str, tuple[int, ...]]:
    return {
        name: split.labels
        for name, split in data.splits.items()
        if name != "train" and split.labelled and UNLABELLED not in split.labels
    }


def answer(request: dict[str, Any]) -> list[PreparedData]:
    """Prepare what a request names."""
    data = DataSource(**request["data"])
    cache = Path(request["cache_folder"])
    return [prepare(request["model"], data, request["max_length"], cache)]


if __name__ == "__main__":
    answer_request(answer)
