"""The log file: bounded, shared by processes, and silent after one warning if it fails."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orchestrator.log.reading import records
from trytable.orchestrator.log.file import MAX_BYTES, OLD_FILES, LogFile

WRITER = """
import logging, sys
from pathlib import Path
from trytable.orchestrator.log.file import LogFile
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = LogFile(path, print)
file.maxBytes, file.backupCount = 20_000, 500
for number in range(count):
    file.handle(logging.LogRecord(name, 20, "", 1, "%s %d end", (name, number), None))
file.close()
"""

LIMITED = """
import logging, resource, signal, sys
from pathlib import Path
from trytable.orchestrator.log.file import LogFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = LogFile(Path(sys.argv[1]), print)
def log(text):
    file.handle(logging.LogRecord("x", 20, "", 1, text, (), None))
log("first")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for _ in range(3):
    log("cut " * 50)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log("after")
"""


class Warnings(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def warned() -> Warnings:
    return Warnings()


def write(handler: logging.Handler, *messages: str) -> None:
    for message in messages:
        handler.handle(logging.LogRecord("x", logging.INFO, "x.py", 1, message, (), None))


@pytest.fixture
def log(tmp_path: Path, warned: Warnings) -> Iterator[LogFile]:
    handler = LogFile(tmp_path / "deep" / "orchestrator.log", warned)
    yield handler
    handler.close()
    assert warned == []


def test_a_log_has_a_limit_and_keeps_the_newest(log: LogFile, tmp_path: Path) -> None:
    count = 20_000
    write(log, *(f"{number} {'x' * 1000}" for number in range(count)))
    parts = sorted((tmp_path / "deep").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    names = ["orchestrator.log", *(f"orchestrator.log.{n}" for n in range(1, OLD_FILES + 1))]
    assert sorted(path.name for path in parts) == names
    assert all(path.stat().st_size <= MAX_BYTES for path in parts)
    kept = [
        int(message.split()[0])
        for name in reversed(names)
        for _, message in records(tmp_path / "deep" / name)
    ]
    assert kept == list(range(count - len(kept), count))
    assert len(kept) * 1000 > OLD_FILES * MAX_BYTES * 0.99


def test_processes_that_share_a_log_lose_and_mix_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "orchestrator.log", 1500
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(count)])
        for name in ("one", "two", "three")
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    parts = list(tmp_path.glob("orchestrator.log*"))
    assert len(parts) > 10
    # Another process may write between a look at the size and a write.
    assert all(part.stat().st_size <= 20_000 + 3 * 100 for part in parts)
    found = [message for part in parts for _, message in records(part)]
    assert sorted(found) == sorted(
        f"{name} {number} end" for name in ("one", "two", "three") for number in range(count)
    )


def test_a_log_that_is_deleted_or_moved_is_started_again(log: LogFile) -> None:
    path = Path(log.baseFilename)
    write(log, "before")
    path.rename(path.with_name("moved"))
    write(log, "after")
    assert [message for _, message in records(path)] == ["after"]
    assert [message for _, message in records(path.with_name("moved"))] == ["before"]


def test_a_folder_that_is_deleted_does_not_come_back(tmp_path: Path, warned: Warnings) -> None:
    path = tmp_path / "quality" / "orchestrator.log"
    handler = LogFile(path, warned)
    write(handler, "before")
    shutil.rmtree(path.parent)
    write(handler, "after")
    handler.close()
    assert not path.parent.exists()
    assert len(warned) == 1


def test_a_full_disk_is_one_warning(warned: Warnings) -> None:
    full = LogFile(Path("/dev/full"), warned)
    write(full, *"abc")
    full.close()
    (text,) = warned
    assert "/dev/full cannot be written (No space left on device)" in text


def test_a_log_that_cannot_be_opened_is_one_warning(tmp_path: Path, warned: Warnings) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "orchestrator.log", tmp_path):
        handler = LogFile(path, warned)
        write(handler, "a", "b")
        handler.close()
    assert ["cannot be written" in text for text in warned] == [True, True]


def test_a_warning_that_fails_harms_nothing() -> None:
    def broken(text: str) -> None:
        raise OSError(text)

    full = LogFile(Path("/dev/full"), broken)
    write(full, "a")
    full.close()


def test_a_record_that_cannot_be_formatted_harms_nothing(tmp_path: Path, warned: Warnings) -> None:
    handler = LogFile(tmp_path / "orchestrator.log", warned)
    handler.handle(logging.LogRecord("x", 20, "", 1, "%d", ("no number",), None))
    write(handler, "after")
    handler.close()
    assert len(warned) == 1
    assert [message for _, message in records(tmp_path / "orchestrator.log")] == ["after"]


def test_a_record_after_one_that_was_cut_has_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.log"
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("cannot be written") == 1
    lines = path.read_text().splitlines()
    assert lines[0].endswith("x: first")
    assert lines[-1].endswith("x: after")
    assert os.path.getsize(path) < 300  # noqa: PTH202 - as an operating system sees it
