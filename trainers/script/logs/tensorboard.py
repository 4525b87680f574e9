"""Reads scalars from TensorBoard's event files, without TensorBoard and without protobuf.

Format: TFRecord framing (tensorflow/core/lib/io/record_writer.h) around Event messages
(tensorflow/core/util/event.proto, summary.proto). Everything but scalars is skipped.
"""

import struct
from collections.abc import Iterator

from trytable.trainers.script.logs.metric_names import canonical_name, is_evaluation_metric
from trytable.trainers.script.logs.reader import LogIssue, LogItem, LogRecord

MAX_RECORD_BYTES = 16 * 2**20
"""Larger records (images, graphs) are skipped unread."""

_CHECKED_BYTES = 1 << 16
"""Scalars are far smaller; computing the checksum of a larger record would take too long."""

_HEADER = struct.Struct("<QI")
_FLOATS = {1: struct.Struct("<d"), 5: struct.Struct("<f")}
"""Protobuf's wire types of 64 and 32 bits. In these messages they hold floats only."""

_MASK = 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C as TFRecord masks it: rotated right by 15 bits, plus a constant."""
    crc = _MASK
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= _MASK
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & _MASK


class TensorBoardReader:
    """Reads an event file as it comes; a record's `line` is its number in the file."""

    def __init__(self) -> None:
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
        while not self._is_broken and (event := self._next()) is not None:
            yield from event

    def finish(self) -> Iterator[LogItem]:
        """Yield an issue if the last record was cut."""
        if self._buffer and not self._is_broken:
            yield LogIssue(self._number + 1, "cut_line", "the last record has no end")

    def _next(self) -> list[LogItem] | None:
        if self._bytes_to_skip:
            count = min(self._bytes_to_skip, len(self._buffer))
            del self._buffer[:count]
            self._bytes_to_skip -= count
        if self._bytes_to_skip or len(self._buffer) < _HEADER.size:
            return None
        length, crc = _HEADER.unpack_from(self._buffer)
        if masked_crc(bytes(self._buffer[:8])) != crc:
            self._is_broken = True
            self._buffer.clear()
            return [
                LogIssue(
                    self._number + 1, "cut_line", "this is not a valid event file from here on"
                )
            ]
        if length > MAX_RECORD_BYTES:
            self._number += 1
            self._bytes_to_skip = _HEADER.size + length + 4
            return []
        end = _HEADER.size + length
        if len(self._buffer) < end + 4:
            return None
        data = bytes(self._buffer[_HEADER.size : end])
        (crc,) = struct.unpack_from("<I", self._buffer, end)
        del self._buffer[: end + 4]
        self._number += 1
        return self._scalars(data, crc)

    def _scalars(self, data: bytes, crc: int) -> list[LogItem]:
        if len(data) < _CHECKED_BYTES and masked_crc(data) != crc:
            return [LogIssue(self._number, "bad_utf8", "this record's checksum is wrong")]
        try:
            step, values = _event(data)
        except (ValueError, struct.error, IndexError):
            return [LogIssue(self._number, "bad_utf8", "this record is not an event")]
        return [
            LogRecord(
                self._number,
                "epoch" if is_evaluation_metric(name) else "step",
                "tensorboard",
                step=step,
                metrics={name: value},
            )
            for name, value in values
        ]


def _event(data: bytes) -> tuple[int, list[tuple[str, float]]]:
    step, values = 0, []
    for number, value in _fields(data):
        if number == 2 and isinstance(value, int):  # noqa: PLR2004 - Event.step
            step = value
        elif number == 5 and isinstance(value, bytes):  # noqa: PLR2004 - Event.summary
            for _, summary in _fields(value):
                if isinstance(summary, bytes) and (scalar := _scalar(summary)) is not None:
                    values.append(scalar)
    return step, values


def _scalar(data: bytes) -> tuple[str, float] | None:
    """Return a Summary.Value's tag and number: simple_value, or a tensor of one float."""
    tag, number = "", None
    for field, value in _fields(data):
        match field, value:
            case 1, bytes():
                tag = canonical_name(value.decode("utf-8", "replace"))
            case 2, float():
                number = value
            case 8, bytes():
                number = _tensor(value)
    return (tag, number) if tag and number is not None else None


def _tensor(data: bytes) -> float | None:
    """Return the number in a TensorProto of type float (1) or double (2)."""
    kind, raw, number = 0, b"", None
    for field, value in _fields(data):
        match field, value:
            case 1, int():
                kind = value
            case 4, bytes():
                raw = value
            case ((5 | 6), float()):
                number = value
            case ((5 | 6), bytes()) if len(value) in (4, 8):
                raw = value
    form = {1: "<f", 2: "<d"}.get(kind)
    if number is None and form is not None and len(raw) == struct.calcsize(form):
        number = float(struct.unpack(form, raw)[0])
    return number


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield a protobuf message's fields.

    Raises ValueError, IndexError or struct.error if it is no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire in _FLOATS:
            yield number, float(_FLOATS[wire].unpack_from(data, at)[0])
            at += _FLOATS[wire].size
        elif wire == 2:  # noqa: PLR2004 - the wire type of bytes with a length
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field is longer than its message")
            yield number, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift >= 70:  # noqa: PLR2004 - ten bytes of seven bits
            raise ValueError("a number has no end")
