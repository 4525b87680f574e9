"""Names are nouns and verbs of the field: no participle or pronoun stands alone as a name."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
ROOMS = ("sweeps", "orchestrator", "trainers", "results")

BANNED = """
one others another each both few most least more much many same such
what who whom whose which why how when where here there
again anew before after already still once twice
mine ours theirs nobody somebody nothing something anything everything
found told known given asked said kept taken wanted heard seen held made done drawn written
shown named listed judged counted measured ended begun chosen placed handed moved carried
adopted meant gone lost put got has had left tried reached spent varied advised risked broken
noted searched halted arrived unseen missed won avoided settled diagnosed confirmed guarded
heeded packed repacked worked answered joined rested remembered stepped
"""
WORDS = frozenset(BANNED.split())
"""What nothing may be called: it says how a thing came about, not what it is."""

IN_CHECKPOINTS = "checkpoints store TrainingProgress by its fields' names"
EXCEPTIONS: Mapping[str, str] = {
    "trainers/finetune/progress.py::seen": IN_CHECKPOINTS,
    "trainers/finetune/trainer.py::seen": IN_CHECKPOINTS,
}
"""`file::name` and the reason; this gets shorter, never longer."""


def bound_names(source: str) -> Iterator[tuple[str, int]]:
    """Every name that a source binds, with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)):
                yield name, node.lineno


def banned_names(source: str) -> list[tuple[str, int]]:
    return [(name, line) for name, line in bound_names(source) if name.strip("_").lower() in WORDS]


def files() -> list[Path]:
    paths = [*(TOP / "trytable").glob("*.py"), *(TOP / room for room in ROOMS)]
    return sorted(
        file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])
    )


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(TOP)))
def test_a_name_says_what_a_thing_is(path: Path) -> None:
    place = path.relative_to(TOP).as_posix()
    problems = [
        f"{place}:{line} {name}"
        for name, line in banned_names(path.read_text())
        if f"{place}::{name}" not in EXCEPTIONS
    ]
    assert not problems, "\n".join(problems)


def test_the_exceptions_are_few_and_all_in_use() -> None:
    used = {
        f"{path.relative_to(TOP).as_posix()}::{name}"
        for path in files()
        for name, _ in banned_names(path.read_text())
    }
    assert EXCEPTIONS.keys() <= used, EXCEPTIONS.keys() - used
    assert len(EXCEPTIONS) < 40


@pytest.mark.parametrize(
    "source",
    [
        "def told(): ...",
        "class Asked: ...",
        "def f(given): ...",
        "def f(*, _known=1): ...",
        "for one in rows: ...",
        "[one for one in rows]",
        "self.kept = 1",
        "with a as found: ...",
        "import a as said",
        "try: ...\nexcept E as why: ...",
        "(found := 1)",
        "SEEN = 1",
        "told: int = 1",
    ],
)
def test_a_banned_name_is_seen_wherever_it_is_bound(source: str) -> None:
    assert len(banned_names(source)) == 1


def test_a_word_within_a_name_is_no_matter() -> None:
    assert banned_names("is_known = last_seen = known_points = first = rest = row.told") == []
