"""Files that programs write their metrics to, followed while they grow."""

import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX import SummaryWriter
from tensorboardX.crc32c import crc32c
from torch.utils.tensorboard import SummaryWriter as TorchWriter

from trytable.records import Refused
from trytable.trainers.script.logs.metric_files import CsvReader, FileTails
from trytable.trainers.script.logs.reader import LogIssue, LogItem, LogRecord
from trytable.trainers.script.logs.tensorboard import TensorBoardReader


def told(found: list[LogItem]) -> list[tuple[Any, ...]]:
    assert all(isinstance(one, LogRecord) for one in found), found
    return [
        (one.kind, one.epoch, one.step, dict(one.metrics))
        for one in found
        if isinstance(one, LogRecord)
    ]


def test_json_lines_come_as_they_are_written(tmp_path: Path) -> None:
    tails = FileTails((str(tmp_path / "*.jsonl"),))
    assert list(tails.poll()) == []
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1, "val_loss": 0.5}\n{"epoch": 2, "val')
    assert told(list(tails.poll())) == [("epoch", 1, None, {"dev_loss": 0.5})]
    with path.open("a") as file:
        file.write('_loss": 0.25}\n')
    assert told(list(tails.poll())) == [("epoch", 2, None, {"dev_loss": 0.25})]
    assert list(tails.finish()) == []


def test_a_csv_file_with_holes() -> None:
    raw = b"epoch,step,train_loss,val_acc,note\n0,10,0.5,,a\n0,20,,40%,b\n,,,,\n"
    assert told(list(CsvReader().feed(raw))) == [
        ("step", 0, 10, {"train_loss": 0.5}),
        ("epoch", 0, 20, {"dev_accuracy": 0.4}),
    ]


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    tails = FileTails((str(path),))
    path.write_text("epoch,val_acc\n1,0.1\n")
    assert len(list(tails.poll())) == 1
    path.write_text("epoch,val_acc,val_loss\n1,0.1,0.2\n2,0.3,0.4\n")
    assert [one[1] for one in told(list(tails.poll()))] == [1, 2]


def test_event_files_of_another_program(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "deep" / "runs")) as writer:
        for step in (1, 2, 300):
            writer.add_scalar("train/loss", 1 / step, step)
            writer.add_scalar("val/acc", step / 1000, step)
        writer.add_text("note", "no scalar", 1)
        writer.add_histogram("weights", [1.0, 2.0, 3.0], 1)
    found = told(list(FileTails((str(tmp_path),)).finish()))
    assert [one for one in found if one[0] == "epoch"] == [
        ("epoch", None, step, {"dev_accuracy": pytest.approx(step / 1000)}) for step in (1, 2, 300)
    ]
    assert sum("train_loss" in one[3] for one in found) == 3


def masked_crc(data: bytes) -> int:
    """The checksum as the format defines it: rotated by 15 bits, plus a constant."""
    crc = crc32c(data)
    return int((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def test_a_tensor_of_one_number_is_a_scalar() -> None:
    tensor = b"\x08\x01\x22\x04" + struct.pack("<f", 0.5)  # dtype float, tensor_content
    value = b"\x0a\x07val_acc\x42" + bytes([len(tensor)]) + tensor
    summary = b"\x0a" + bytes([len(value)]) + value
    event = b"\x10\x07\x2a" + bytes([len(summary)]) + summary
    assert told(list(TensorBoardReader().feed(framed(event)))) == [
        ("epoch", None, 7, {"dev_accuracy": 0.5})
    ]


def event_of(value: Summary.Value, step: int = 7) -> bytes:
    return bytes(framed(Event(step=step, summary=Summary(value=[value])).SerializeToString()))


def tensor(shape: tuple[int, ...], **content: Any) -> Summary.Value:
    sizes = [TensorShapeProto.Dim(size=size) for size in shape]
    whole = TensorProto(tensor_shape=TensorShapeProto(dim=sizes), **content)
    return Summary.Value(tag="val_acc", tensor=whole)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (Summary.Value(tag="val_acc", simple_value=0.5), 0.5),
        (tensor((), dtype=1, float_val=[0.5]), 0.5),
        (tensor((1, 1), dtype=1, float_val=[0.5]), 0.5),
        (tensor((), dtype=2, double_val=[0.1]), 0.1),
        (tensor((), dtype=2, tensor_content=struct.pack("<d", 0.1)), 0.1),
        # A large tensor of equal numbers is stored as one of them.
        (tensor((100,), dtype=1, float_val=[0.5]), None),
        (tensor((2,), dtype=1, float_val=[0.5, 0.25]), None),
        (tensor((), dtype=7, string_val=[b"text"]), None),
        (Summary.Value(tag="", simple_value=0.5), None),
        (Summary.Value(tag="val_acc", image=Summary.Image(height=1)), None),
    ],
)
def test_a_value_is_a_scalar_or_is_skipped(value: Summary.Value, number: float | None) -> None:
    expected = [] if number is None else [("epoch", None, 7, {"dev_accuracy": number})]
    assert told(list(TensorBoardReader().feed(event_of(value)))) == expected


def test_a_damaged_record_is_reported_and_the_next_is_read() -> None:
    good = event_of(Summary.Value(tag="val_acc", simple_value=0.5))
    damaged = good[:-6] + b"\xff" + good[-5:]
    reader = TensorBoardReader()
    items = [*reader.feed(good + damaged + good + framed(b"no event") + good), *reader.finish()]
    kinds = [item.kind if isinstance(item, LogIssue) else "record" for item in items]
    assert kinds == ["record", "bad_utf8", "record", "bad_utf8", "record"]
    assert [item.line for item in items] == [1, 2, 3, 4, 5]
    lost = damaged[:3] + b"\x01" + damaged[4:]
    assert [item.kind for item in TensorBoardReader().feed(lost + good)] == ["cut_line"]


def test_a_file_of_pytorch_is_read_as_it_grows(tmp_path: Path) -> None:
    tails = FileTails((str(tmp_path),))
    with TorchWriter(str(tmp_path)) as writer:
        for step in (1, 2):
            writer.add_scalar("val/acc", step / 4, step)
            writer.flush()
            assert told(list(tails.poll())) == [("epoch", None, step, {"dev_accuracy": step / 4})]
    assert list(tails.finish()) == []


def test_without_tensorboard_an_event_file_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(Refused, match="the extra tensorboard"):
        list(FileTails((str(tmp_path),)).poll())


@given(st.binary(max_size=200), st.integers(0, 200))
def test_broken_event_files_are_named(data: bytes, cut: int) -> None:
    good = framed(b"\x10\x07")
    reader = TensorBoardReader()
    raw = good + framed(data)[:cut] + data
    found = [*reader.feed(raw[:10]), *reader.feed(raw[10:]), *reader.finish()]
    assert all(isinstance(one, LogIssue | LogRecord) for one in found)


def test_a_huge_record_is_passed_over() -> None:
    size = 20 * 2**20
    head = struct.pack("<Q", size)
    reader = TensorBoardReader()
    parts = [head + struct.pack("<I", masked_crc(head)), *[b"x" * 2**20] * 20, b"crc."]
    assert [one for part in parts for one in reader.feed(part)] == []
    value = b"\x0a\x03acc\x15" + struct.pack("<f", 0.5)
    summary = b"\x0a" + bytes([len(value)]) + value
    (found,) = reader.feed(framed(b"\x2a" + bytes([len(summary)]) + summary))
    assert isinstance(found, LogRecord)
    assert found.metrics == {"accuracy": 0.5}
