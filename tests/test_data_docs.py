"""Every example of docs/data.md is read as the page says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from trytable.records import DataSource
from trytable.trainers.data.dataset import read_data
from trytable.trainers.data.shapes import ENDINGS

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
SECTIONS = re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)
EXAMPLES = [section for section in SECTIONS if re.search(r"^\d+ rows, ", section, re.MULTILINE)]
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("section", EXAMPLES, ids=lambda text: text.partition("\n")[0])
def test_an_example_is_read_as_the_page_says(section: str, tmp_path: Path) -> None:
    options: dict[str, object] = {}
    for language, name, content in BLOCK.findall(section):
        if language == "text":
            (tmp_path / name).write_text(content)
        elif language == "python":
            subprocess.run([sys.executable, "-c", content], cwd=tmp_path, check=True)
        else:
            options = dict(YAML(typ="safe").load(content)["data"])
        assert content.count("\n") <= 6, "an example is short"
    for name in ("text", "label", "text_pair"):
        if name in options:
            options[name] = str(options[name])
    options |= add_dev(tmp_path)
    data = read_data(DataSource(name=str(tmp_path), **options))  # type: ignore[arg-type] # as in YAML
    expected = re.search(r"^(\d+) rows, classes (.*)\.$", section, re.MULTILINE)
    assert expected is not None
    size = len(data.splits["train"].texts)
    if "dev" in options:
        size += len(data.splits["dev"].texts)
    assert size == int(expected[1])
    assert list(data.classes) == re.findall("`(.*?)`", expected[2])


def add_dev(folder: Path) -> dict[str, object]:
    """A dev set that is a copy of train; without a train file, half of the data."""
    for path in folder.glob("train*"):
        copy = folder / path.name.replace("train", "dev")
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy(path, copy)
        return {}
    return {"dev": 0.5}


def test_the_page_has_every_ending() -> None:
    assert len(EXAMPLES) == 17
    for ending in ENDINGS:
        assert ending in PAGE.read_text() or ending == ".sst"
