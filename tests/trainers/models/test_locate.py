"""What a model's folder may name: only safetensors in the folder itself, all of them hashed."""

import json
import pickle
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import hub

from trytable.records import Refused
from trytable.trainers.models.backbone import load_model
from trytable.trainers.models.locate import INDEX, model_hash, resolve


def shard(whole: Path, folder: Path) -> Path:
    """A copy of a model whose weights are in two files with an index."""
    shutil.copytree(whole, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2])):
        name = f"part-{number}.safetensors"
        save_file({key: tensors[key] for key in part}, folder / name, {"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def read_index(folder: Path) -> dict[str, str]:
    weight_map: dict[str, str] = json.loads((folder / INDEX).read_text())["weight_map"]
    return weight_map


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_shards_are_loaded_and_all_are_in_the_hash(bert_folder: Path, odd: Path) -> None:
    folder = shard(bert_folder, odd / "model")
    whole, parts = load_model(str(bert_folder)), load_model(str(folder))
    assert all(torch.equal(whole.state[name], parts.state[name]) for name in whole.state)
    before = model_hash(str(folder))
    tensors = load_file(folder / "part-1.safetensors")
    tensors[max(tensors)] += 1
    save_file(tensors, folder / "part-1.safetensors", {"format": "pt"})
    assert model_hash(str(folder)) != before


@pytest.mark.parametrize(
    "name", ["weights.bin", "../other/part-1.safetensors", "sub/x.safetensors", "/x.safetensors", 3]
)
def test_an_index_that_names_pickles_or_other_folders_is_refused(
    bert_folder: Path, odd: Path, name: object
) -> None:
    folder = shard(bert_folder, odd / "model")
    (folder / "weights.bin").write_bytes(pickle.dumps(Bomb(odd / "exploded")))
    weight_map = read_index(folder)
    write_index(folder, {**weight_map, max(weight_map): name})
    for call in (resolve, load_model):
        with pytest.raises(Refused, match=r"expected only files ending in \.safetensors"):
            call(str(folder))
    assert not (odd / "exploded").exists()


def test_an_index_must_fit_its_shards(bert_folder: Path, odd: Path) -> None:
    folder = shard(bert_folder, odd / "model")
    weight_map = read_index(folder)
    first = min(weight_map)
    for change, message in (
        ({key: name for key, name in weight_map.items() if key != first}, f"such as {first}"),
        ({**weight_map, first: "part-9.safetensors"}, r"part-9\.safetensors, which the folder"),
        (["part-0.safetensors"], "is not an index of weights"),
    ):
        write_index(folder, change)
        with pytest.raises(Refused, match=message):
            resolve(str(folder))
    write_index(folder, weight_map)
    (folder / "part-0.safetensors").write_bytes(pickle.dumps(Bomb(odd / "exploded")))
    with pytest.raises(Refused, match=r"part-0\.safetensors cannot be read as safetensors"):
        resolve(str(folder))
    (folder / INDEX).write_text("[" * 100_000)
    with pytest.raises(Refused, match="is not an index of weights"):
        resolve(str(folder))


def test_a_config_that_names_other_weights_is_refused(bert_folder: Path, odd: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, odd / "model"))
    config = json.loads((folder / "config.json").read_text())
    for name in ("adapter_model.bin", "x.safetensors.index.json"):
        (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": name}))
        with pytest.raises(Refused, match=r"config\.json names other weights"):
            resolve(str(folder))


def test_an_adapter_is_refused(bert_folder: Path, odd: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, odd / "model"))
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(Refused, match="holds an adapter"):
        resolve(str(folder))


def test_a_hub_model_is_checked_alike(
    bert_folder: Path, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = odd / "cache" / "models--some--model"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    folder = shard(bert_folder, repository / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(odd / "cache"), raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(odd / "cache"))
    assert load_model("some/model").state
    (folder / "weights.bin").write_bytes(pickle.dumps(Bomb(odd / "exploded")))
    weight_map = read_index(folder)
    write_index(folder, {**weight_map, max(weight_map): "weights.bin"})
    with pytest.raises(Refused, match=r"expected only files ending in \.safetensors"):
        load_model("some/model")
    assert not (odd / "exploded").exists()
