"""What a mutant is: the source with one change, of the kinds below.

Texts, annotations, `dtype=`, and the `strict=` of a `zip` over lists of one length are left alone.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

COMPARISONS: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
OPERATORS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
OPPOSITES = {"maximum": "minimum", "max": "min", "any": "all", "floor": "ceil", "sqrt": "square", "argmin": "argmax"}
ALONE = ("dtype", "strict")
SWAPPED = OPPOSITES | {after: before for before, after in OPPOSITES.items()}


class Mutant(NamedTuple):
    """One change of a file.

    Attributes:
        file: of the source.
        line: of the change.
        column: of the change, counted from the line's first letter.
        source: of that line, without its indentation.
        span: the lines of which one is run where the change could be seen: of its statement; of the function, class or
            file, if it is run once, when these are made.
        what: was changed.
        way: to the node, as names of fields and places in them.
        number: of the change among those of the node.
    """

    file: Path
    line: int
    column: int
    source: str
    span: tuple[int, int]
    what: str
    way: tuple[Any, ...]
    number: int

    def text(self) -> str:
        """The whole file, changed."""
        tree = parent = at = ast.parse(self.file.read_text(encoding="utf-8"))
        for name, place in self.way:
            parent, at = at, getattr(at, name) if place is None else getattr(at, name)[place]
        changed = list(changes(at))[self.number][1](at)
        name, place = self.way[-1]
        if place is None:
            setattr(parent, name, changed)
        else:
            getattr(parent, name)[place] = changed
        return ast.unparse(ast.fix_missing_locations(tree))

    def unchanged(self) -> str:
        """The file as it is, but for comments."""
        return ast.unparse(ast.parse(self.file.read_text(encoding="utf-8")))


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """The changes of one node: what each is, and what makes the changed node of a copy."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        other = COMPARISONS[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {other.__name__}", lambda it: _with(it, ops=[other(), *it.ops[1:]])
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        swap = OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} -> {swap.__name__}", lambda it: _with(it, op=swap())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        if node.value not in (0, 1):  # twice 0 is 0, and 1 + 1 is below
            yield f"{node.value} doubled", lambda it: ast.Constant(it.value * 2)
        yield f"{node.value} + 1", lambda it: ast.Constant(it.value + 1)
    if isinstance(node, ast.Attribute) and node.attr in SWAPPED and isinstance(node.ctx, ast.Load):
        yield f"{node.attr} -> {SWAPPED[node.attr]}", lambda it: _with(it, attr=SWAPPED[it.attr])
    if isinstance(node, ast.If | ast.IfExp):
        yield "condition holds", lambda it: _with(it, test=ast.Constant(True))
        yield "condition never holds", lambda it: _with(it, test=ast.Constant(False))
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "where" and len(node.args) == 3:
            yield "where takes the first", lambda it: it.args[1]
            yield "where takes the second", lambda it: it.args[2]
        for place, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, *ALONE):
                kept = [one for k, one in enumerate(node.keywords) if k != place]
                yield f"{keyword.arg}= dropped", lambda it, kept=kept: _with(it, keywords=kept)
    if isinstance(node, ast.Raise):
        yield "raise left out", lambda it: ast.Pass()


def _with(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _span(part: ast.AST, around: tuple[int, int], called: bool) -> tuple[int, int]:
    """The lines that are run if a part is; `called` says whether what is around it is the body of a function."""
    whole = getattr(part, "lineno", 0), getattr(part, "end_lineno", 0)
    if isinstance(part, ast.FunctionDef | ast.ClassDef):
        return whole
    if not isinstance(part, ast.stmt) or not called:
        return around
    body = getattr(part, "body", [])
    return (whole[0], max(whole[0], body[0].lineno - 1)) if body else whole


def _places(
    node: ast.AST, span: tuple[int, int], called: bool = False, way: tuple[Any, ...] = ()
) -> Iterator[tuple[ast.AST, tuple[int, int], tuple[Any, ...]]]:
    """All nodes of code, with the span and the way to each; no texts, annotations or default types."""
    yield node, span, way
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        called = isinstance(node, ast.FunctionDef)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or (isinstance(node, ast.Subscript) and name == "slice"):
            continue
        parts = value if isinstance(value, list) else [value]
        for place, part in enumerate(parts):
            if isinstance(part, ast.AST):
                further = (*way, (name, place if isinstance(value, list) else None))
                yield from _places(part, _span(part, span, called), called, further)


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node, span, way in _places(ast.parse(text), (1, len(lines))):
        for number, (what, _) in enumerate(changes(node)):
            line = getattr(node, "lineno", 1)
            source = lines[line - 1].strip()
            column = getattr(node, "col_offset", 0) - lines[line - 1].index(source)
            yield Mutant(file, line, column, source, span, what, way, number)
