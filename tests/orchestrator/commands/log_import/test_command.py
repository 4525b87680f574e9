"""`make import` as a person meets it: two steps, rows like any other, a sweep that goes on."""

import contextlib
import io
import os
import signal
from functools import partial
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from tests.orchestrator.commands.log_import.reading import LOGS, run_of
from tests.orchestrator.running import run, start, trials, url, wait_for, write_sweep
from trytable.orchestrator.commands.log_import.command import import_log, read_log
from trytable.orchestrator.commands.log_import.trials import Origin, make_imported_trial, trial_rows
from trytable.orchestrator.commands.look.report import report_study
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.orchestrator.study.database import open_storage
from trytable.orchestrator.study.sampling.kinds import KINDS
from trytable.orchestrator.study.study import OptunaStudy
from trytable.records import Objective
from trytable.results.analysis.analysis import analyze
from trytable.results.frames.frames import StudyFrames
from trytable.results.storage.ledger import STUDY_UID, Ledger
from trytable.results.storage.reader import read_study
from trytable.results.storage.study import StudyResult
from trytable.results.tables.trials import try_table
from trytable.sweeps.config.loader import read_sweep

SWEEP = """
trainer: scripted
baseline: {value: 0.5, epochs: 2, epoch_seconds: 0.01}
parameters:
  value: {low: 0.0, high: 1.0}
sampler: {name: SAMPLER, startup_trials: 2}
trials: 2
"""


def write_log(folder: Path, *values: float | None) -> Path:
    """A log of one run a value; None: nothing says with which."""
    path = folder / "a.log"
    parts = (
        f"{'Some text.' if value is None else f'python a.py --value {value}'}\n\n"
        + run_of(0.3, 0.31 + index / 100)
        for index, value in enumerate(values)
    )
    path.write_text("".join(parts))
    return path


def mapping_of(folder: Path, name: str = "quality") -> Path:
    (found,) = (folder / "runs" / name / "imports").iterdir()
    return found


def once(folder: Path, log: str = "a.log", pattern: str = "", name: str = "quality") -> str:
    """Take one step of the import, standing in the folder; what was printed."""
    told = io.StringIO()
    with contextlib.chdir(folder):
        folders = Folders(folder / "runs", name)
        console = Console(file=told, width=200)
        import_log(
            Path(log), folders, pattern, console, report=partial(report_study, console=console)
        )
    return told.getvalue()


def imported(folder: Path, pattern: str = "") -> str:
    """Import what a.log holds, in both steps; what the second printed."""
    once(folder, pattern=pattern)
    return once(folder, pattern=pattern)


def study_of(folder: Path, name: str = "quality") -> StudyResult:
    return read_study(url(folder), name)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's $(a) {study}")
    (folder / "a.log").write_bytes((LOGS / "by_hand.log").read_bytes())
    code, printed = run(folder, "import", NAME="mine", LOG="a.log")
    assert code == 0, printed
    assert "a.log: 15 blocks, 293 epoch lines" in printed
    assert "doubled_epoch (line 286): epoch 28 is repeated with the same numbers" in printed
    assert "Nothing is imported yet" in printed
    assert not (folder / "runs" / "studies.db").exists()
    mapping = mapping_of(folder, "mine")
    text = mapping.read_text()
    assert "    lr: 1e-07  # heading, line 6; command line of line 3 says 0.001\n" in text
    assert "    dropout:  # not found\n" in text
    # What the person knows of Try8, which its log does not say; Try10 is left out.
    before, eighth, after = text.partition("- lines: 295-326\n")
    after = after.replace("dropout:  # not found", "dropout: 0.6", 1)
    ninth, tenth, last = after.partition("- lines: 375-404\n")
    last = last.replace("import: true", "import: false")
    mapping.write_text(before + eighth + ninth + tenth + last)
    code, printed = run(folder, "import", NAME="mine", LOG="a.log")
    assert code == 0, printed
    assert "14 imported: study mine" in printed
    return folder


def test_the_imported_are_rows_like_any_other(by_hand: Path) -> None:
    study = study_of(by_hand, "mine")
    assert len(study.trials) == 14
    assert {one.status for one in study.trials} == {"completed"}
    assert sum(len(one.curve) for one in study.trials) == 293 - 1 - 30
    sixth = study.trials[10]
    assert (sixth.settings["dropout"], sixth.best_dev_accuracy, sixth.test_accuracy) == (
        0.9, 0.411, 0.408,
    )  # fmt: skip
    assert (sixth.best_epoch, sixth.train_accuracy) == (25, 0.568)
    assert sixth.origin["lines"] == "225-251"
    assert sixth.origin["file"].endswith("a.log")
    assert len(sixth.origin["sha256"]) == 64
    eighth = study.trials[12]
    assert eighth.settings == {"dropout": 0.6}
    assert eighth.origin["places"] == {"dropout": "the mapping file"}
    assert [one.kind for one in study.trials[11].findings] == ["doubled_epoch", "missing_epochs"]


def test_the_table_shows_their_test_accuracies_and_where_they_came_from(by_hand: Path) -> None:
    study = study_of(by_hand, "mine")
    table = try_table(StudyFrames(study, analyze(study)))
    keys = [column.key for column in table.columns]
    cells = {row.number: dict(zip(keys, row.cells, strict=True)) for row in table.rows}
    assert cells[11]["test_accuracy"] == 0.408
    assert cells[11]["best_dev_accuracy"] == 0.411
    assert table.parameters == ("lr", "batch_size", "epochs", "dropout", "weight_decay")
    assert cells[14]["parameter:weight_decay"] == 0.001
    assert cells[7]["parameter:dropout"] is None  # not known, and no default takes its place
    assert "imported: Try6" in str(cells[11]["state"])
    assert "doubled_epoch" in str(cells[12]["findings"])
    assert (by_hand / "runs" / "mine" / "report.html").exists()


def test_optuna_reads_them(by_hand: Path) -> None:
    found = trials(by_hand, "mine")
    assert all(trial.state.name == "COMPLETE" for trial in found)
    assert found[7].value == 0.435
    assert found[7].params["dropout"] == 0.8
    assert found[7].intermediate_values[17] == 0.435
    assert "dropout" not in found[6].params


def test_importing_again_doubles_nothing(by_hand: Path) -> None:
    before = study_of(by_hand, "mine")
    printed = once(by_hand, name="mine")
    assert "0 imported, 14 imported before" in printed
    assert study_of(by_hand, "mine") == before
    mapping = mapping_of(by_hand, "mine")
    text = mapping.read_text()
    mapping.write_text(text.replace("dropout: 0.6", "dropout: 0.65"))
    printed = once(by_hand, name="mine")
    mapping.write_text(text)
    assert "Try 13: lines 295-326 were imported with other settings (dropout 0.6)" in printed
    assert study_of(by_hand, "mine") == before


def test_a_try_is_shown_with_the_place_of_each_setting(by_hand: Path) -> None:
    code, printed = run(by_hand, "show", NAME="mine", TRY="1")
    assert code == 0
    assert "lr: heading, line 6; command line of line 3 says 0.001" in " ".join(printed.split())
    assert "minilm" not in printed  # the model of a sweep says nothing of what was run by hand
    code, printed = run(by_hand, "rerun", NAME="mine", TRY="1")
    assert (code, "never trained here" in printed) == (2, True)


def test_a_sweep_starts_from_what_lies_in_its_space(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP.replace("SAMPLER", "tpe"))
    write_log(tmp_path, 0.2, 0.9, 1.5, None)
    printed = imported(tmp_path)
    assert "Try 3: lines 11-12, 0.330; the sampler does not start from it: value 1.5" in printed
    assert "Try 4: lines 15-16, 0.340; the sampler does not start from it: value is not" in printed
    code, printed = run(tmp_path, "sweep", SLOTS="1")
    assert code == 0, printed
    assert "2 imported tries to start from" in printed
    assert "not from Try 3: value not known or outside the space" in printed
    found = trials(tmp_path)
    assert [trial.params.get("value") for trial in found[:5]] == [0.2, 0.9, None, None, 0.5]
    assert len(found) == 6  # two of its own: the imported do not count
    study = study_of(tmp_path)
    assert [one.is_imported for one in study.trials] == [True] * 4 + [False] * 2
    assert study.baseline is not None
    assert study.baseline.number == 4
    code, printed = run(tmp_path, "sweep", SLOTS="1")  # and it is the same study again
    assert code == 0, printed
    assert len(trials(tmp_path)) == 6


def test_tpe_learns_from_them(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP.replace("SAMPLER", "tpe").replace("trials: 2", "trials: 12"))
    good = (0.70, 0.71, 0.72, 0.73)
    lines = "".join(f"python a.py --value {value}\n" + run_of(0.9) for value in good)
    lines += "".join(f"python a.py --value {value / 20}\n" + run_of(0.1) for value in range(12))
    (tmp_path / "a.log").write_text(lines)
    imported(tmp_path)
    sweep = read_sweep(tmp_path / "sweeps" / "quality.yaml", KINDS)
    study = OptunaStudy(open_storage(url(tmp_path)), sweep, "quality")
    assert study.imported_start().count == 16
    asked = []
    for _ in range(24):
        trial = study.ask()
        assert trial is not None
        study.tell(trial.number, "completed", 0.1)
        asked.append(trial.params["value"])
    # Its baseline comes first. A fifth of the space lies there: random draws would put 5 in it.
    assert sum(0.62 < value < 0.82 for value in asked[1:]) >= 10


def test_why_a_sweep_cannot_start_from_them(tmp_path: Path) -> None:
    write_sweep(tmp_path, SWEEP.replace("SAMPLER", "qmc").replace(", startup_trials: 2", ""))
    write_log(tmp_path, 0.2, 1.5)
    imported(tmp_path)
    code, printed = run(tmp_path, "sweep")
    assert code == 2
    assert "The sampler qmc cannot start from imported tries that lack a parameter" in printed
    assert "Try 2: value not known or outside the space" in printed
    code, printed = run(tmp_path, "sweep", AS_NEW="1")
    assert code == 0, printed
    assert len(trials(tmp_path, "quality@2")) == 2


def test_a_sweep_written_later_may_not_fit(tmp_path: Path) -> None:
    write_log(tmp_path, 0.2, 0.9)
    imported(tmp_path)
    text = SWEEP.replace("SAMPLER", "random").replace(", startup_trials: 2", "")
    write_sweep(tmp_path, text.replace("{low: 0.0, high: 1.0}", "[0.2, 0.5, 0.9]"))
    code, printed = run(tmp_path, "sweep")
    assert code == 2
    assert "value: imported as numbers, swept as one of a list" in printed
    write_sweep(tmp_path, text)
    code, printed = run(tmp_path, "sweep")
    assert code == 0, printed
    assert "2 imported tries to start from" in printed


def test_what_a_crash_left_half_written_is_finished(tmp_path: Path) -> None:
    log = write_log(tmp_path, 0.2, 0.9)
    once(tmp_path)
    mapping = mapping_of(tmp_path)
    text = mapping.read_text()
    mapping.write_text(text.replace("import: true", "import: false"))
    once(tmp_path)
    storage = url(tmp_path, for_optuna=True)
    uid = optuna.load_study(study_name="quality", storage=storage).user_attrs[STUDY_UID]
    block, _ = read_log(log).blocks
    origin = Origin(str(log), "0" * 64, block.span, "", {})
    half = make_imported_trial(uid, block, origin, {"value": 0.2}, objective=Objective())
    assert half is not None
    ledger = Ledger(url(tmp_path))
    # The ledger is written first; then it died, and Optuna never heard of the try.
    ledger.write(*trial_rows(half, uid, 0, "dev_accuracy"))
    mapping.write_text(text)
    assert "2 imported" in once(tmp_path)
    found = ledger.read(uid)
    assert [row.number for row in found.trials] == [0, 1]
    assert [row.trial_uid for row in found.epochs].count(half.uid) == 2
    assert [trial.value for trial in trials(tmp_path)] == [0.31, 0.32]


def test_an_own_pattern(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("E1 quality=0.25 done\nE2 quality=0.75 done\n")
    pattern = r"E(?P<epoch>\d+) quality=(?P<dev_accuracy>[0-9.]+)"
    imported(tmp_path, pattern)
    (one,) = study_of(tmp_path).trials
    assert [epoch.dev_accuracy for epoch in one.curve] == [0.25, 0.75]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = (
        "### $(touch x) `touch x` [bold]{{7*7}}</script><script>alert(1)</script>: !!x #\x1b[2J"
    )
    (tmp_path / "a.log").write_text(
        f"python a.py --lr $(touch x) --wd `touch x`; touch x\n{hostile}\n{run_of(0.3, 0.4)}"
        "args: {'a: b #': 3, '&x *y !!z': 2}\n" + run_of(0.35)
    )
    imported(tmp_path)
    assert not (tmp_path / "x").exists()
    first, second = study_of(tmp_path).trials
    assert first.origin["heading"].startswith("$(touch x) `touch x` [bold]{{7*7}}")
    assert first.settings == {}
    assert second.settings == {"a: b #": 3, "&x *y !!z": 2}
    html = (tmp_path / "runs" / "quality" / "report.html").read_text()
    assert "<script>alert(1)" not in html


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.log", None, "there is no such file"),
        ("a.log", b"", "is empty"),
        ("a.log", b" \n\n", "is empty"),
        ("a.log", bytes(range(256)), "is a binary file"),
        ("a.log", b"hello\n", "no line has an epoch's loss or accuracy"),
        ("a.json", b"{", "no line has an epoch's loss or accuracy"),
        ("a.csv", b"a;b\n", "no line has an epoch's loss or accuracy"),
    ],
)
def test_what_is_no_log_is_refused(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        once(tmp_path, name)
    assert not (tmp_path / "runs").exists()


def test_no_folder_and_no_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe"):
        with pytest.raises(UserError, match="is not a file"):
            once(tmp_path, name)
    with pytest.raises(UserError, match="LOG is missing"):
        read_log(None)
    write_log(tmp_path, 0.2)
    with pytest.raises(UserError, match="PATTERN='\\('"):
        once(tmp_path, pattern="(")


def test_all_mistakes_of_a_mapping_file_are_told_at_once(tmp_path: Path) -> None:
    write_log(tmp_path, 0.2, 0.9)
    once(tmp_path)
    mapping = mapping_of(tmp_path)
    text = mapping.read_text()
    text = text.replace("lines: 3-4", "lines: 3-5").replace("value: 0.9", "value: [0.9]")
    mapping.write_text(text.replace("import: true", "import: perhaps", 1) + "extra: 1\n")
    code, printed = run(tmp_path, "import", LOG="a.log")
    assert code == 2
    assert "blocks[0].lines: '3-5' is not a block of the log. Use 3-4, 7-8." in printed
    assert "blocks[0].import: 'perhaps' is not allowed." in printed
    assert "blocks[1].parameters.value: a list is not allowed." in printed
    assert "extra: 'extra' is not a key of this file." in printed
    assert not (tmp_path / "runs" / "studies.db").exists()


def test_ctrl_c_while_reading_leaves_nothing_half_written(tmp_path: Path) -> None:
    with (tmp_path / "a.log").open("w") as file:
        for _ in range(20_000):
            file.write(run_of(*[0.3] * 10))
    process = start(tmp_path, "import", LOG="a.log")
    wait_for(process, lambda: _reads(process.pid, tmp_path / "a.log"))
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in printed
    assert not (tmp_path / "runs").exists()


def _reads(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(str(one.readlink()) == str(path) for one in folder.iterdir())
    except OSError:
        return False
