"""What share of small mistakes in the source the tests find: a seeded sample of mutants, each against its tests.

    .venv/bin/python benchmarks/mutants.py [--sample 24] [--seed 1] [--packages estimation solvers scheduling pricing]

A mutant is the source with one change: a comparison or an arithmetic operator is another one, a number is doubled or
larger by 1, a function is swapped for its opposite (`maximum` and `minimum`, `any` and `all`), a `where` always takes
one branch, a condition always holds or never, a keyword is dropped, a `raise` is left out. Texts, annotations and
`dtype=` are left alone. It runs against the tests by day that name what its file defines, and those of its package,
until one fails or `--seconds` of processor time are used up, so that the score is a lower bound.

Mutants that change nothing (a bound that is checked later, the order of a search) are not told from others: survivors
are printed, with their lines. The last line of the output is one JSON object.
"""

import argparse
import ast
import copy
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = ("estimation", "solvers", "scheduling", "pricing")

COMPARISONS: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
OPERATORS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
OPPOSITES = {"maximum": "minimum", "max": "min", "any": "all", "floor": "ceil", "sqrt": "square", "argmin": "argmax"}
SWAPPED = OPPOSITES | {after: before for before, after in OPPOSITES.items()}


class Mutant(NamedTuple):
    """One change of a file.

    Attributes:
        file: of the source.
        line: of the change.
        what: was changed.
        way: to the node, as names of fields and places in them.
        number: of the change among those of the node.
    """

    file: Path
    line: int
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


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """The changes of one node: what each is, and what makes the changed node of a copy."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        other = COMPARISONS[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {other.__name__}", lambda it: _with(it, ops=[other(), *it.ops[1:]])
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        swap = OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} -> {swap.__name__}", lambda it: _with(it, op=swap())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
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
            if keyword.arg not in (None, "dtype"):
                kept = [one for k, one in enumerate(node.keywords) if k != place]
                yield f"{keyword.arg}= dropped", lambda it, kept=kept: _with(it, keywords=kept)
    if isinstance(node, ast.Raise):
        yield "raise left out", lambda it: ast.Pass()


def _with(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _places(node: ast.AST, way: tuple[Any, ...] = ()) -> Iterator[tuple[ast.AST, tuple[Any, ...]]]:
    """All nodes of code, with the way to each; no texts, annotations or default types."""
    yield node, way
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or (isinstance(node, ast.Subscript) and name == "slice"):
            continue
        parts = value if isinstance(value, list) else [value]
        for place, part in enumerate(parts):
            if isinstance(part, ast.AST):
                yield from _places(part, (*way, (name, place if isinstance(value, list) else None)))


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    for node, way in _places(ast.parse(file.read_text(encoding="utf-8"))):
        for number, (what, _) in enumerate(changes(node)):
            yield Mutant(file, getattr(node, "lineno", 0), what, way, number)


def tests_of(file: Path) -> list[str]:
    """Files of tests that name what the file defines, most often first, and the rest of its package."""
    package = file.relative_to(ROOT / "src" / "qnewton").parts[0].lstrip("_")
    names = {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if hasattr(node, "name")}

    def count(test: Path) -> int:
        text = test.read_text(encoding="utf-8")
        return sum(len(re.findall(rf"\b{name}\b", text)) for name in names) + 5 * (file.stem.lstrip("_") in test.stem)

    counts = {test: count(test) for test in (ROOT / "tests").rglob("test_*.py")}
    own = ROOT / "tests" / package
    found = [test for test, number in counts.items() if number or test.is_relative_to(own)]
    found.sort(key=lambda test: (-counts[test], not test.is_relative_to(own), test))
    return [str(test.relative_to(ROOT)) for test in found]


def killed_by(mutant: Mutant, seconds: int) -> str | None:
    """The first test that fails, or None where all passed, or the time was used up."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))

    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder)
        for name in ("src", "tests", "docs", "benchmarks", "examples"):
            shutil.copytree(ROOT / name, copied / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copied)
        (copied / mutant.file.relative_to(ROOT)).write_text(mutant.text(), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_of(mutant.file)]
        environment = os.environ | {"PYTHONPATH": str(copied / "src"), "CI": "true", "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            command, cwd=copied, env=environment, capture_output=True, text=True, preexec_fn=limit, check=False
        )
    lines = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0] if lines else ("collection" if ran.returncode in (1, 2, 4) else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=50, help="processor time for the tests of one mutant")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, choices=PACKAGES)
    options = parser.parse_args()
    files = [
        file for package in options.packages for file in sorted((ROOT / "src/qnewton" / f"_{package}").rglob("*.py"))
    ]
    everything = [mutant for file in files for mutant in mutants_of(file)]
    drawn = random.Random(options.seed).sample(everything, min(options.sample, len(everything)))
    killed, survivors = 0, []
    for number, mutant in enumerate(drawn):
        test = killed_by(mutant, options.seconds)
        killed += test is not None
        place = f"{mutant.file.relative_to(ROOT)}:{mutant.line} {mutant.what}"
        survivors += [] if test else [place]
        print(f"{number + 1}/{len(drawn)} {'killed' if test else 'SURVIVED'} {place} {test or ''}"[:200], flush=True)
    print(
        json.dumps(
            {
                "benchmark": "mutants",
                "seed": options.seed,
                "mutants": len(everything),
                "sample": len(drawn),
                "killed": killed,
                "score": killed / len(drawn),
                "survivors": survivors,
            }
        )
    )


if __name__ == "__main__":
    main()
