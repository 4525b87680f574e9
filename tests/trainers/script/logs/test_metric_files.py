"""Files that programs write their metrics to, followed while they grow."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboardX import SummaryWriter
from tensorboardX.crc32c import crc32c

from trytable.trainers.script.logs.metric_files import CsvReader, FileTails
from trytable.trainers.script.logs.reader import LogIssue, LogItem, LogRecord
from trytable.trainers.script.logs.tensorboard import TensorBoardReader, masked_crc


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


@given(st.binary(max_size=60))
def test_the_checksum_is_tensorflows(data: bytes) -> None:
    crc = crc32c(data)
    assert masked_crc(data) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


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
