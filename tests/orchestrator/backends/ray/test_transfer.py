"""A transferred folder arrives whole, in its place, and nothing is written elsewhere."""

import io
import tarfile
from pathlib import Path

import fsspec
import pytest

from trytable.orchestrator.backends.ray.transfer import (
    CheckpointStore,
    append_events,
    file_sizes,
    pack,
    pack_checkpoints,
    unpack,
    unpack_over,
)
from trytable.trainers.protocol.messages import Checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a 'folder'"
    (made / "checkpoints" / "last").mkdir(parents=True)
    (made / "checkpoints" / "last" / "model.bin").write_bytes(b"weights")
    (made / "checkpoints" / ".half.1234").mkdir()
    (made / "worker.log").write_text("a line\n")
    (made / "events.jsonl").write_text("{}\n")
    return made


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_folder_arrives_without_what_stays_and_what_is_half_written(
    folder: Path, tmp_path: Path
) -> None:
    unpack(pack(folder, ["events*"]), tmp_path / "b" / "there")
    assert files(tmp_path / "b" / "there") == {
        "checkpoints/last/model.bin": b"weights",
        "worker.log": b"a line\n",
    }
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["there"]


def test_what_is_brought_takes_the_place_of_what_had_its_name(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "checkpoints" / "older").mkdir(parents=True)
    (home / "events.jsonl").write_text("ours\n")
    unpack_over(pack(folder, ["events.jsonl"]), home)
    assert files(home) == {
        "checkpoints/last/model.bin": b"weights",
        "events.jsonl": b"ours\n",
        "worker.log": b"a line\n",
    }
    assert not (home / "checkpoints" / "older").exists()


def test_links_are_transferred_as_their_targets(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "model.bin").symlink_to(folder / "checkpoints" / "last" / "model.bin")
    unpack(pack(linked), tmp_path / "there")
    assert not (tmp_path / "there" / "model.bin").is_symlink()
    assert file_sizes(tmp_path / "there") == file_sizes(linked) == (("model.bin", 7),)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_nothing_lands_outside(tmp_path: Path, name: str) -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        found = tarfile.TarInfo(f"{tmp_path}{name}" if name.startswith("/") else name)
        found.size = 3
        tar.addfile(found, io.BytesIO(b"bad"))
    for land in (unpack_over, unpack):
        place = tmp_path / "in" / land.__name__
        if not name.startswith("/"):
            with pytest.raises(tarfile.TarError):
                land(held.getvalue(), place)
        else:  # it is taken for a relative one
            land(held.getvalue(), place)
    assert {path.name for path in tmp_path.iterdir()} <= {"in"}


def test_half_a_folder_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(tarfile.TarError):
        unpack(pack(folder)[:700], tmp_path / "in" / "there")
    assert not any((tmp_path / "in").iterdir())


def test_a_snapshot_is_of_one_moment(folder: Path) -> None:
    checkpoints = folder / "checkpoints"
    taken = pack_checkpoints(checkpoints)
    (checkpoints / "last").rename(checkpoints / "previous")
    unpack(taken, folder / "there")
    assert files(folder / "there") == {"last/model.bin": b"weights"}
    assert {one.name for one in folder.iterdir()} == {
        "checkpoints",
        "events.jsonl",
        "there",
        "worker.log",
    }


def test_events_start_on_a_new_line_after_one_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "trial" / "events.jsonl"
    first = Checkpoint(attempt=1, step=1, epoch=1)
    append_events(path, [first])
    with path.open("a") as file:
        file.write('{"event":')
    append_events(path, [first, first])
    line = first.model_dump_json()
    assert path.read_text().splitlines() == [line, '{"event":', line, line]


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_a_store_returns_what_was_pushed_last(tmp_path: Path, scheme: str) -> None:
    root = f"{scheme}{tmp_path}/deep/below"
    store = CheckpointStore(root)
    assert store.pull("a") is None
    store.push("a", b"one")
    store.push("a", b"two")
    store.push("b", b"three")
    assert (store.pull("a"), store.pull("b")) == (b"two", b"three")
    store.delete("a")
    store.delete("a")
    assert store.pull("a") is None
    kept, path = fsspec.core.url_to_fs(root)
    assert [one.rpartition("/")[2] for one in kept.ls(path, detail=False)] == ["b.tar"]
