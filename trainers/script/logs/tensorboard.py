"""Reads scalars from TensorBoard's event files, with TensorBoard's own messages and checksums.

TensorBoard (the extra `tensorboard`) parses the records. It does not read the file: its loader ends
silently at a damaged record and reads images and graphs completely, while a file that is followed
must be read as it grows and must report its damage.

Format: a record is its length (8 bytes, little-endian), the checksum of these bytes (4), an Event
message, and its checksum (4). Everything but scalars is skipped.
"""

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

from trytable.records import Refused
from trytable.trainers.script.logs.metric_names import canonical_name, is_evaluation_metric
from trytable.trainers.script.logs.reader import LogIssue, LogItem, LogRecord

MAX_RECORD_BYTES = 16 * 2**20
"""Larger records (images, graphs) are skipped unread."""

_CHECKED_BYTES = 1 << 16
"""Scalars are far smaller; computing the checksum of a larger record would take too long."""

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


class TensorBoardReader:
    """Reads an event file as it comes; a record's `line` is its number in the file.

    Raises Refused if TensorBoard is not installed.
    """

    def __init__(self) -> None:
        self._parse, self._checksum = _tensorboard()
        self._buffer = bytearray()
        self._number = 0
        self._bytes_to_skip = 0
        self._is_broken = False

    def feed(self, chunk: bytes) -> Iterator[LogItem]:
        """Yield the scalars of the records that these bytes complete.

        After a record with a wrong length checksum nothing more is read: the framing is lost.
        """
        if self._is_broken:
            return
        self._buffer += chunk
        while not self._is_broken and (items := self._next()) is not None:
            yield from items

    def finish(self) -> Iterator[LogItem]:
        """Yield an issue if the last record was cut."""
        if self._buffer and not self._is_broken:
            yield LogIssue(self._number + 1, "cut_line", "the last record has no end")

    def _next(self) -> list[LogItem] | None:
        """Return what the next record holds; None if it has not arrived completely."""
        if self._bytes_to_skip:
            count = min(self._bytes_to_skip, len(self._buffer))
            del self._buffer[:count]
            self._bytes_to_skip -= count
        if self._bytes_to_skip or len(self._buffer) < _HEADER.size:
            return None
        length, checksum = _HEADER.unpack_from(self._buffer)
        if self._checksum(bytes(self._buffer[:8])) != checksum:
            return self._end_with("this is not a valid event file from here on")
        if length > MAX_RECORD_BYTES:
            self._number += 1
            self._bytes_to_skip = _HEADER.size + length + _CHECKSUM.size
            return []
        end = _HEADER.size + length
        if len(self._buffer) < end + _CHECKSUM.size:
            return None
        data = bytes(self._buffer[_HEADER.size : end])
        (checksum,) = _CHECKSUM.unpack_from(self._buffer, end)
        del self._buffer[: end + _CHECKSUM.size]
        self._number += 1
        return self._scalars(data, checksum)

    def _end_with(self, problem: str) -> list[LogItem]:
        self._is_broken = True
        self._buffer.clear()
        return [LogIssue(self._number + 1, "cut_line", problem)]

    def _scalars(self, data: bytes, checksum: int) -> list[LogItem]:
        if len(data) < _CHECKED_BYTES and self._checksum(data) != checksum:
            return [LogIssue(self._number, "bad_utf8", "this record's checksum is wrong")]
        event = self._parse(data)
        if event is None:
            return [LogIssue(self._number, "bad_utf8", "this record is not an event")]
        metrics = [
            (canonical_name(value.tag), number)
            for value in event.summary.value
            if (number := _scalar(value)) is not None
        ]
        return [
            LogRecord(
                self._number,
                "epoch" if is_evaluation_metric(name) else "step",
                "tensorboard",
                step=event.step,
                metrics={name: number},
            )
            for name, number in metrics
            if name
        ]


def _tensorboard() -> tuple[Callable[[bytes], Any], Callable[[bytes], int]]:
    """Return a parser of events, None for bytes that are no event, and the checksum of a record."""
    try:
        # Not at the top of the module: TensorBoard is an optional dependency.
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - see above
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - see above
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import (  # noqa: PLC0415 - see above
            masked_crc32c,
        )
    except ImportError as error:
        raise Refused(
            f"TensorBoard's event files cannot be read without the extra tensorboard ({error}). "
            "Install it with .venv/bin/pip install tensorboard, or write the metrics to a CSV or "
            "JSON lines file."
        ) from error

    def parse(data: bytes) -> Any:
        try:
            return Event.FromString(data)
        except DecodeError:
            return None

    return parse, masked_crc32c


def _scalar(value: Any) -> float | None:
    """Return the number in a Summary.Value: simple_value, or a tensor of one float or double."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or math.prod(dim.size for dim in value.tensor.tensor_shape.dim) != 1:
        return None
    tensor = value.tensor
    forms = {1: ("<f", tensor.float_val), 2: ("<d", tensor.double_val)}  # DT_FLOAT, DT_DOUBLE
    form, numbers = forms.get(tensor.dtype, ("", ()))
    if len(numbers) == 1:
        return float(numbers[0])
    if form and len(tensor.tensor_content) == struct.calcsize(form):
        return float(struct.unpack(form, tensor.tensor_content)[0])
    return None
