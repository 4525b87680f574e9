"""What the documents name is there."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`((?:test_|Test)\w+)`")
DEFINED = re.compile(r"^ *(?:def |class )?((?:test_|Test)\w+)(?:\(| = )", re.MULTILINE)


def test_every_test_that_the_documents_name_exists() -> None:
    sources = [path.read_text() for path in (TOP / "tests").rglob("*.py")]
    defined = {name for source in sources for name in DEFINED.findall(source)}
    named = set(NAMED.findall((TOP / "docs" / "reliability.md").read_text()))
    assert len(named) > 40
    assert named <= defined, named - defined
