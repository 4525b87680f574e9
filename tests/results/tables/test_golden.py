"""Exported files keep their bytes: every format of both tables, against files in `golden/`.

`python -m tests.results.tables.test_golden` writes the files again, after a change that is meant.
"""

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from optuna.distributions import CategoricalDistribution

from tests.results.studies import Maker, Planned, report_content
from trytable.records import Language
from trytable.results.analysis.confirmation import read_confirmation
from trytable.results.storage.reader import read_study
from trytable.results.tables.formats import FORMATS
from trytable.results.text.catalog import Words

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = ("=1+1", "-2", "a|b_c & 50% <i>", "", "学习率 é", "true", 'two\nlines, "quoted"')
CASES: tuple[tuple[str, Language, bool], ...] = (
    ("plain", "en", False),
    ("plain", "zh", False),
    ("plain", "en", True),
    ("awkward", "en", False),
    ("awkward", "zh", True),
    ("empty", "en", False),
)
"""Study, language, and whether every test accuracy is shown."""


def plain(folder: Path) -> Maker:
    """A try of each status, with tests against the best one and a confirmation."""
    gold = tuple(number % 3 for number in range(60))
    facts = {"sizes": {"dev": 60}, "classes": ["a", "b", "c"]}
    maker = Maker(folder / "plain.db", "plain", sweep={"seed": 7}, facts=facts, gold=gold)
    maker.add(
        Planned(
            {"lr": 1e-4, "epochs": 2}, (0.5, 0.55), (0.5, 0.6), source="baseline", test=0.5,
            predicted=_predictions(gold, 33),
        ),
        Planned(
            {"lr": 2e-4, "epochs": 3}, (0.5, 0.9, 0.85), (0.6, 0.9, 1.0), test=0.8125, attempts=2,
            predicted=_predictions(gold, 54), findings=(("oom_retry", "warning", "micro-batch"),),
        ),
        Planned({"lr": 0.1, "epochs": 3}, (0.9, 0.2), (0.3, 0.4), status="pruned", reason="a | b"),
        Planned({"lr": 1.0, "epochs": 3}, (0.2,), status="stopped", reason="loss stuck at ln(3)"),
        Planned({"lr": 3e-4, "epochs": 3}, status="failed", reason="=cmd | 50%", attempts=3),
        Planned({"lr": 3e-5, "epochs": 3}, (0.7, 0.6), test=0.6, predicted=_predictions(gold, 42)),
        Planned({"lr": 1e-5, "epochs": 3}, (0.4,), status="running", seconds=None),
        Planned({"lr": 1e-6, "epochs": 3}, status="waiting", attempts=0),
    )  # fmt: skip
    again = Maker(folder / "plain.db", "plain@confirm", sweep={"seed": 7}, facts=facts)
    for lr, epochs, values in ((1e-4, 2, (0.5, 0.55)), (2e-4, 3, (0.81, 0.84))):
        for seed, value in enumerate(values):
            params = {"lr": lr, "epochs": epochs, "seed": seed}
            again.add(Planned(params, (value,), test=value - 0.01))
    return maker


def awkward(folder: Path) -> Maker:
    """Parameters of every type, mixed, missing and hostile; large numbers; no dev labels."""
    names = {"text|<b>=": HOSTILE, "flag": (True, False), "mixed": (1, "auto", True, None)}
    space = {name: CategoricalDistribution(values) for name, values in names.items()}
    maker = Maker(folder / "awkward.db", "awkward", space=space)
    for number, text in enumerate(HOSTILE):
        params: dict[str, Any] = {
            "text|<b>=": text,
            "flag": number % 2 == 0,
            "mixed": names["mixed"][number % 4],
            "gap": number * 10**8,
        }
        requested = {"layers": [number, "b"], "scale": 1 / (number + 1), "size": 2**60 + number}
        requested["ratio"] = number if number % 2 else number / 8
        findings = (("<b>|", "error", "x"), ("b_c", "warning", "y")) if number == 1 else ()
        accuracies = (0.1 + number / 7,) if number != 3 else ()
        maker.add(
            Planned(
                params,
                accuracies,
                status="completed" if accuracies else "failed",
                requested=requested,
                findings=findings,
                seconds=number * 123.456,
            )
        )
    return maker


def empty(folder: Path) -> Maker:
    """A study without trials."""
    return Maker(folder / "empty.db", "empty")


STUDIES = {"plain": plain, "awkward": awkward, "empty": empty}


def _predictions(gold: tuple[int, ...], right: int) -> tuple[int, ...]:
    return tuple(g if index < right else (g + 1) % 3 for index, g in enumerate(gold))


def exports(name: str, language: Language, all_tests: bool, folder: Path) -> dict[str, bytes]:
    """The content of every exported file, by its name in `golden/`."""
    maker = STUDIES[name](folder)
    study = read_study(maker.url, maker.name)
    confirmation = read_confirmation(maker.url, study)
    content = report_content(study, Words(language), confirmation, all_tests=all_tests)
    stem = f"{name}-{language}{'-all_tests' if all_tests else ''}"
    return {
        f"{stem}-{kind}.{ending}": _bytes(ending, write(table))
        for kind, table in (("try_table", content.table), ("comparison", content.pairs))
        for ending, write in FORMATS.items()
    }


def _bytes(ending: str, content: str | bytes) -> bytes:
    """A workbook as JSON of all that a person sees in it: its bytes hold the time of writing."""
    if ending == "xlsx":
        assert isinstance(content, bytes)
        return json.dumps(_workbook(content), indent=1, ensure_ascii=False).encode()
    return content.encode() if isinstance(content, str) else content


def _workbook(content: bytes) -> Mapping[str, Any]:
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    return {
        "title": sheet.title,
        "panes": str(sheet.freeze_panes),
        "widths": _widths(sheet),
        "cells": [
            [cell.coordinate, cell.value, cell.data_type, cell.number_format, cell.font.bold]
            for row in sheet.iter_rows()
            for cell in row
            if cell.value is not None
        ],
    }


def _widths(sheet: Any) -> dict[int, float]:
    """The width of every column that has one; a dimension spans several columns."""
    return {
        index: dimension.width
        for dimension in sheet.column_dimensions.values()
        for index in range(dimension.min, dimension.max + 1)
    }


@pytest.mark.parametrize(("name", "language", "all_tests"), CASES)
def test_an_exported_file_keeps_its_bytes(
    name: str, language: Language, all_tests: bool, tmp_path: Path
) -> None:
    for file, content in exports(name, language, all_tests, tmp_path).items():
        assert content.decode() == (GOLDEN / file).read_bytes().decode(), file


def main() -> None:
    """Write the golden files again."""
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            for file, content in exports(*case, Path(folder)).items():
                (GOLDEN / file).write_bytes(content)


if __name__ == "__main__":
    main()
