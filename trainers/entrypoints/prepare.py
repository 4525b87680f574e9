"""`entrypoints.prepare`: reads and tokenises data and checks the model before any worker.

One JSON object comes in on stdin (`model`, `data`, `max_length`, `cache_folder`), one JSON line
goes out on stdout: `{"prepared": …}` or `{"refused": "why"}`.
"""

from pathlib import Path
from typing import Any

from trytable.records import UNLABELLED, DataSource
from trytable.trainers.data import docstrings, tokens
from trytable.trainers.data.dataset import SPLITS, TextData, read_data
from trytable.trainers.entrypoints.jsonl import answer_request
from trytable.trainers.models.locate import model_hash, resolve
from trytable.trainers.protocol.messages import Prepared, Refused


def prepare(model: str, data: DataSource, max_length: int, cache: Path) -> Prepared:
    """Check the model, read the data, tokenise them into the cache. Raises Refused."""
    folder = resolve(model)
    read = _read(data, cache)
    tokens.cache_data(cache, read)
    try:
        tokens.tokenise(cache, read.hash, folder, max_length)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's word; transformers' own come without a number
        local = Path(folder).is_dir()
        what = "its tokenizer" if local else "there is no such folder, and as a name on the hub it"
        raise Refused(f"MODEL={model}: {what} cannot be read: {error}") from error
    return Prepared(
        classes=read.classes,
        sizes={name: len(read.splits[name].texts) for name in SPLITS if name in read.splits},
        gold=_gold(read),
        data_hash=read.hash,
        model_hash=model_hash(folder),
        notes=read.notes,
    )


def _read(source: DataSource, cache: Path) -> TextData:
    """Read the data; those that come from pinned packages only where no run has done so yet."""
    if source.name != docstrings.NAME:
        return read_data(source)
    remembered = cache / f"docstrings-{docstrings.fingerprint()}"
    try:
        return tokens.load_cached_data(cache, remembered.read_text())
    except OSError:
        read = read_data(source)
        tokens.cache_data(cache, read)
        remembered.write_text(read.hash)
        return read


def _gold(data: TextData) -> dict[str, tuple[int, ...]]:
    return {
        name: split.labels
        for name, split in data.splits.items()
        if name != "train" and split.labelled and UNLABELLED not in split.labels
    }


def answer(request: dict[str, Any]) -> list[Prepared]:
    """Prepare what a request names."""
    data = DataSource(**request["data"])
    cache = Path(request["cache_folder"])
    return [prepare(request["model"], data, request["max_length"], cache)]


if __name__ == "__main__":
    answer_request(answer)
