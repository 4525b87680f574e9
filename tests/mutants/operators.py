"""What a mutant is: one small change of a source text, found by `ast` and made in the text itself.

Lines keep their numbers unless the change itself needs one more, and comments stay, so that a
traceback of a mutant reads like one of the product.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}


@dataclass(frozen=True)
class Mutant:
    """Replace the bytes `start` to `end` of a file (a path from the checkout's top)."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    text: str

    @property
    def key(self) -> str:
        """What names this mutant among all of one commit."""
        return f"{self.path}:{self.line}:{self.kind}:{self.start}-{self.end}"

    def apply(self, source: bytes) -> bytes:
        """The file's text with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """All mutants of one file that still compile."""
    starts = [0, *accumulate(len(line) for line in source.splitlines(keepends=True))]

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + column

    mutants = []
    for node, kind, text in _changes(ast.parse(source)):
        start = offset(node.lineno, node.col_offset)
        end = offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        if kind == "return early":  # goes before the statement, which stays
            end = start
        mutant = Mutant(path, node.lineno, kind, start, end, text)
        if _compiles(mutant.apply(source)):
            mutants.append(mutant)
    return mutants


def choose(mutants: Iterable[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many mutants, each kind about equally often. The same seed chooses the same ones."""
    draw = random.Random(seed)
    by_kind: defaultdict[str, list[Mutant]] = defaultdict(list)
    for mutant in sorted(mutants, key=lambda mutant: mutant.key):
        by_kind[mutant.kind].append(mutant)
    for kind in sorted(by_kind):
        draw.shuffle(by_kind[kind])
    chosen: list[Mutant] = []
    while len(chosen) < count and any(by_kind.values()):
        chosen += [by_kind[kind].pop() for kind in sorted(by_kind) if by_kind[kind]]
    return chosen[:count]


def product_files(files: Iterable[str]) -> list[Path]:
    """The product's modules among the paths of a checkout."""
    rooms = ("trytable", "sweeps", "orchestrator", "trainers", "results")
    paths = map(Path, files)
    return sorted(p for p in paths if p.suffix == ".py" and p.parts[0] in rooms)


Change = tuple[ast.expr | ast.stmt, str, str]
"""The node to change, the kind of the mutant, and the node's new text."""


def _changes(tree: ast.AST) -> Iterator[Change]:
    for node in _reachable(tree):
        match node:
            case ast.Compare():
                yield from _flipped(node)
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                new = ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
                yield node, "change arithmetic", f"({ast.unparse(new)})"
            case ast.BoolOp():
                swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield node, "swap and/or", f"({ast.unparse(ast.BoolOp(swapped, node.values))})"
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                yield test, "negate a condition", f"(not ({ast.unparse(test)}))"
            case ast.Constant(value=bool() | int() | float()):
                yield from _other_number(node)
            case ast.Expr(value=ast.Call()):
                yield node, "drop a call", "pass"
            case ast.FunctionDef(body=body):
                yield from _early_return(body)


def _flipped(node: ast.Compare) -> Iterator[Change]:
    for i, operator in enumerate(node.ops):
        operators: list[ast.cmpop] = list(node.ops)
        operators[i] = COMPARISONS[type(operator)]()
        new = ast.Compare(node.left, operators, node.comparators)
        yield node, "flip a comparison", f"({ast.unparse(new)})"


def _other_number(node: ast.Constant) -> Iterator[Change]:
    match node.value:
        case bool():
            yield node, "change a constant", str(not node.value)
        case int():
            yield node, "add one", f"({node.value} + 1)"
        case float():
            yield node, "change a constant", f"({node.value!r} * 2 + 1)"


def _early_return(body: Sequence[ast.stmt]) -> Iterator[Change]:
    statements = body[1:] if _is_docstring(body[0]) else body
    if statements and not isinstance(statements[0], ast.Pass):
        yield statements[0], "return early", "return\n" + " " * statements[0].col_offset


def _reachable(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, imports for the type checker, and what is inside f-strings, where
    Python 3.11 gives wrong positions."""
    if isinstance(tree, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _for_types_only(child):
                yield child
                yield from _reachable(child)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "__name__ == '__main__'",
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True
