"""One try in full on a terminal, of a sweep that really ran."""

import io

import pytest
from rich.console import Console

from tests.orchestrator.running import run, write_sweep
from trytable.orchestrator.commands.look.show import show_trial
from trytable.orchestrator.errors import UserError
from trytable.orchestrator.paths import Folders
from trytable.results.storage.ledger import Ledger
from trytable.results.storage.reader import read_study
from trytable.results.storage.rows import FindingRow

QUICK = """
trainer: scripted
baseline: {value: 0.5, epochs: 2}
parameters:
  value: [0.5, 0.7]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folder = tmp_path_factory.mktemp("show") / "it's [b]odd[/b]\n"
    write_sweep(folder, QUICK)
    code, printed = run(folder)
    assert code == 0, printed
    return Folders(folder / "runs", "quality")


def shown(folders: Folders, number: int | None, width: int = 100) -> str:
    file = io.StringIO()
    show_trial(
        folders, number, Console(file=file, width=width, force_terminal=True, color_system=None)
    )
    return file.getvalue()


def test_a_try_from_the_command_line(folders: Folders) -> None:
    code, printed = run(folders.runs.parent, "show", TRY="2")
    assert code == 0, printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["value", "0.7", "0.7"] in lines
    assert ["epochs", "2", "2"] in lines
    assert ["1", "completed"] in [line[:2] for line in lines]
    assert ["Best", "dev", "accuracy", "0.525", "after", "epoch", "2"] in lines
    assert ["2", "0.500", "0.500", "0.525"] in [line[:4] for line in lines]


def test_where_its_files_lie(folders: Folders) -> None:
    printed = shown(folders, 1)
    assert str(folders.trial(0) / "job.json") in printed
    assert str(folders.trial(0) / "events.jsonl") in printed


def test_a_difference_is_marked(folders: Folders) -> None:
    uid = read_study(folders.url, "quality").trials[1].uid
    assert uid is not None
    evidence = {"value.requested": 0.7, "value.effective": 0.1}
    Ledger(folders.url).write(FindingRow(uid, 1, "mismatch", "error", "[red]it is 0.1", evidence))
    lines = [line.split() for line in shown(folders, 2).splitlines()]
    assert ["value", "0.7", "0.7", "differs"] in lines
    assert "[red]it is 0.1" in shown(folders, 2)


def test_a_narrow_terminal_loses_nothing(folders: Folders) -> None:
    printed = shown(folders, 1, width=70)
    table = printed.partition("\nFiles\n")[0]
    assert max(map(len, table.splitlines())) <= 70
    for word in ("requested", "effective", "epochs", "0.500", "completed"):
        assert word in printed


@pytest.mark.parametrize("number", [0, 3, 99, -1])
def test_no_try_of_that_number(folders: Folders, number: int) -> None:
    with pytest.raises(
        UserError, match=r"is not a try of quality\. Use a number from 1 to 2, such as TRY=1"
    ):
        shown(folders, number)


def test_no_number(folders: Folders) -> None:
    with pytest.raises(
        UserError, match=r"TRY is missing\. Use a number from 1 to 2, such as TRY=1"
    ):
        shown(folders, None)


def test_mistakes_end_with_one_paragraph(folders: Folders) -> None:
    code, printed = run(folders.runs.parent, "show", TRY="3")
    assert code == 2
    assert printed == (
        "trytable: TRY=3 is not a try of quality. Use a number from 1 to 2, such as TRY=1.\n"
    )
    code, printed = run(folders.runs.parent, "show", NAME="qualty", TRY="1")
    assert code == 2
    assert "Existing studies: 'quality'" in printed
