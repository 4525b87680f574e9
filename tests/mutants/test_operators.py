"""Mutants change one thing, compile, and are the same ones for the same seed."""

from textwrap import dedent

import pytest

from tests.mutants.operators import choose, mutants_of, product_files


def changed(source: str, kind: str) -> list[str]:
    """The texts with each mutant of a kind in them."""
    text = dedent(source).encode()
    return [m.apply(text).decode() for m in mutants_of("a.py", text) if m.kind == kind]


@pytest.mark.parametrize(
    ("kind", "source", "texts"),
    [
        ("flip a comparison", "a = b < c", ["a = (b <= c)"]),
        ("flip a comparison", "a = b in c", ["a = (b not in c)"]),
        ("flip a comparison", "1 < b <= c", ["(1 <= b <= c)", "(1 < b < c)"]),
        ("change arithmetic", "a = b * -c", ["a = (b / -c)"]),
        ("swap and/or", "a = b and (c or d)", ["a = (b or (c or d))", "a = b and ((c and d))"]),
        ("negate a condition", "if a:\n    b()", ["if (not (a)):\n    b()"]),
        ("negate a condition", "a = b if c else d", ["a = b if (not (c)) else d"]),
        ("add one", "é = f(2)  # 'ü'", ["é = f((2 + 1))  # 'ü'"]),
        ("change a constant", "a = True", ["a = False"]),
        ("change a constant", "a = 0.5", ["a = (0.5 * 2 + 1)"]),
        ("drop a call", "with a:\n    b(\n        c)", ["with a:\n    pass"]),
        ("return early", "def a():\n    b()", ["def a():\n    return\n    b()"]),
        (
            "return early",
            'def a():\n    """Do."""\n    for b in c:\n        d()',
            ['def a():\n    """Do."""\n    return\n    for b in c:\n        d()'],
        ),
    ],
)
def test_each_kind_makes_its_one_change(kind: str, source: str, texts: list[str]) -> None:
    assert changed(source, kind) == texts


@pytest.mark.parametrize(
    "source",
    [
        '"""What 1 < 2 says."""',
        "def a(b: f[1]) -> f[2]: pass",
        "if TYPE_CHECKING:\n    import b",
        "if __name__ == '__main__':\n    main()",
        "match a:\n    case 3: pass",
        "a = f'{1}'",
    ],
)
def test_what_decides_nothing_is_left_alone(source: str) -> None:
    assert mutants_of("a.py", source.encode()) == []


def test_a_seed_chooses_the_same_mutants_of_all_kinds() -> None:
    source = b"def a(b, c):\n    d(c + 1)\n    return b and c < 2 or d(True)\n" * 9
    every = mutants_of("a.py", source)
    chosen = choose(every, 14, seed=1)
    assert chosen == choose(reversed(every), 14, seed=1) != choose(every, 14, seed=2)
    assert len({mutant.key for mutant in chosen}) == 14
    assert {mutant.kind for mutant in chosen} == {mutant.kind for mutant in every}


def test_only_modules_of_the_product_get_mutants() -> None:
    files = ["tests/a.py", "sweeps/a.yaml", "results/text/en.py", "trytable/records.py", "b.py"]
    assert [str(path) for path in product_files(files)] == [
        "results/text/en.py",
        "trytable/records.py",
    ]
