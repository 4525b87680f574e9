"""docs/python.md: its tables are the schema's, and its snippets run in the order of the page."""

import re
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from tests.results.studies import Maker, Planned
from trytable.orchestrator.paths import Folders
from trytable.results.frames.docs import PATH, page

SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a study named as in the page."""
    folders = Folders(tmp_path / "runs", "dropout")
    folders.database.parent.mkdir()
    gold = tuple(number % 2 for number in range(40))
    maker = Maker(folders.database, facts={"classes": ["a", "b"]}, gold=gold)
    for dropout, right, train in ((0.1, 20, 0.55), (0.3, 34, 0.88), (0.5, 30, 1.0)):
        predicted = tuple(g if i < right else 1 - g for i, g in enumerate(gold))
        curve = (0.5, right / 40, right / 40 - 0.05)
        source = "sampler" if dropout > 0.1 else "baseline"
        maker.add(
            Planned(
                {"dropout": dropout}, curve, (0.5, train, train), source=source, predicted=predicted
            )
        )
    maker.add(Planned({"dropout": 0.9}, (0.9,), status="pruned"))
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    return tmp_path


def test_the_tables_of_columns_are_those_of_the_schema() -> None:
    text = PATH.read_text(encoding="utf-8")
    assert text == page(text), "python -m trytable.results.frames.docs writes them"


def test_every_snippet_runs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snippets = SNIPPET.findall(PATH.read_text(encoding="utf-8"))
    assert len(snippets) == 7
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, str(PATH), "exec"), names)  # noqa: S102 - the page's own code
    printed = capsys.readouterr().out
    assert "<Study 'dropout': 4 tries, 3 completed>" in printed
    assert "no study named 'dropuot'. Existing studies: 'dropout'." in printed
    assert "Try 2: 0.850 with dropout 0.3" in printed
    assert "more_accurate" in printed
    assert (study / "curves.png").stat().st_size > 1000
    assert pd.read_parquet(study / "tries.parquet")["state"].tolist()[-1] == "pruned"
    assert len(pd.read_csv(study / "epochs.csv")) == 10
