"""Whoever reads while a sweep writes sees one state, whole files, and disturbs nobody."""

import json
import multiprocessing
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from openpyxl import load_workbook

from tests.orchestrator.faults.aftermath import check_complete
from tests.orchestrator.running import GRID, family, run, said, start, url, wait_for, write_sweep
from trytable.orchestrator.paths import Folders
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import AttemptRow, EpochRow, StudyRow, TrialRow

ROUNDS = 150


def grow(address: str) -> None:
    """Write a trial, its attempt and its epoch in one transaction, again and again."""
    ledger = Ledger(address)
    for number in range(ROUNDS):
        uid = f"t{number}"
        ledger.write(
            TrialRow(uid, "s", number, {}, "sampler", "running"),
            AttemptRow(uid, 1, "1", "cpu", 1, started_at=float(number)),
            EpochRow(uid, 1, 1, 10, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
        )
        time.sleep(0.005)  # without a pause between writes SQLite lets no reader in


def test_a_reader_sees_one_state_of_the_ledger(tmp_path: Path) -> None:
    address = Folders(tmp_path, "").url
    ledger = Ledger(address)
    ledger.create_tables()
    ledger.write(StudyRow("s", "s", {}, {}))
    writer = multiprocessing.get_context("spawn").Process(target=grow, args=(address,))
    writer.start()
    sizes = set()
    while writer.is_alive():
        read = ledger.read("s")
        assert len(read.trials) == len(read.attempts) == len(read.epochs)
        sizes.add(len(read.trials))
    writer.join()
    assert writer.exitcode == 0
    assert len(sizes) > 5, "it was read while it grew"


def test_reports_and_exports_made_during_a_sweep(folder: Path) -> None:
    """Every file is whole whenever it is looked at, and no report holds the sweep up."""
    sweep = start(folder, SET="epoch_seconds=0.4")
    wait_for(sweep, lambda: said(folder, "epoch") >= 2)
    processes = family(sweep)
    home = folder / "runs" / "quality"
    torn: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for path in (home / "tables").glob("try_table.*"):
                with suppress(FileNotFoundError):
                    _check_whole(path, torn)
            time.sleep(0.01)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        while sweep.poll() is None:
            code, printed = run(folder, "export", FORMAT="json,csv,xlsx")
            assert code == 0, printed
        printed, _ = sweep.communicate(timeout=240)
    finally:
        done.set()
        looker.join()
    assert sweep.returncode == 0, printed
    assert torn == []
    check_complete(folder, processes)


def _check_whole(path: Path, torn: list[str]) -> None:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".xlsx":
            load_workbook(path)
        elif path.suffix == ".csv" and not path.read_text().endswith("\n"):
            torn.append(str(path))
    except (ValueError, KeyError, EOFError) as error:
        torn.append(f"{path}: {error}")


def read_page(port: int, page: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as answer:
        return str(answer.read().decode())


def is_served(port: int, page: str) -> bool:
    with suppress(urllib.error.URLError, ConnectionError):
        return bool(read_page(port, page))
    return False


def test_a_dashboard_that_reloads_during_a_sweep(folder: Path) -> None:
    """The sweep does not notice: the same trials, and the journal stays the rollback one."""
    write_sweep(folder, GRID.replace("0.15", "0.3"))
    assert run(folder, TRIALS="1")[0] == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    dashboard = start(folder, "dashboard", PORT=str(port), NAME="")
    wait_for(dashboard, lambda: is_served(port, "api/studies"))
    sweep = start(folder)
    reloads = 0
    try:
        wait_for(sweep, lambda: said(folder, "epoch") >= 5)
        processes = family(sweep)
        while sweep.poll() is None:
            for page in ("api/studies", "api/studies/1?after=0"):
                with suppress(urllib.error.URLError, ConnectionError):
                    reloads += "trials" in read_page(port, page)
    finally:
        dashboard.terminate()
        dashboard.communicate(timeout=60)
    printed, _ = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, printed
    assert reloads > 10
    check_complete(folder, processes)
    with sqlite3.connect(folder / "runs" / "studies.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert len(read_study(url(folder), "quality").trials) == 6
