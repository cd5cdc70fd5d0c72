"""How the source is built: its size, its imports, its functions, and its public names.

Everything is read from the text with `ast` and `tokenize`, and nothing is imported, so that the source of another
commit can be measured beside this one:

    .venv/bin/python benchmarks/structure.py [PATH]

PATH is a checkout, by default the one that this script lies in. The last line of the output is one JSON object; where a
figure has a limit, what breaks it is printed before. `tests/test_imports.py` keeps the figures about imports at nought,
with the functions of this file.
"""

import argparse
import ast
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

PACKAGE = "qnewton"
LONGEST_FUNCTION = 60

STAGES = {"core", "curvature", "conditioning", "estimation", "solvers", "hardware"}
PRICING = {"core", "solvers", "hardware", "pricing"}
SCHEDULING = STAGES | {"devices", "pricing", "scheduling"}
WORKERS = SCHEDULING | {"workers"}
OPTIM = WORKERS | {"optim"}
EXPERIMENTS = OPTIM | {"experiments", "runfile"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": {"core"},
    **{stage: {"core", stage} for stage in STAGES},
    "devices": {"core", "devices"},
    "pricing": PRICING,
    "scheduling": SCHEDULING,
    "workers": WORKERS,
    "optim": OPTIM,
    "experiments": EXPERIMENTS,
    "report": {"core", "pricing", "report", "runfile"},
    "runfile": {"runfile"},
    "explore": PRICING | {"report", "explore"},
    "cli": EXPERIMENTS | {"report", "explore", "cli"},
    "testing": STAGES | {"testing"},
    # What the user gets by `import qnewton`.
    PACKAGE: OPTIM | {PACKAGE, "testing"},
    "lab": {"core", "lab", "runfile", "experiments"},
}
"""The import rule of CONTRIBUTING.md: which folders the files of a folder may import."""

LINEAX_METHODS = {"init", "compute", "transpose", "conj", "assume_full_rank", "allow_dependent_columns"}
"""Methods of `lineax.AbstractLinearSolver`: `Any` in their signatures is lineax's own."""

_NOT_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file.

    Attributes:
        name: dotted, as it is imported; of a folder without `.__init__`.
        text: of the file.
        is_folder: whether the file is an `__init__.py`.
    """

    name: str
    text: str
    is_folder: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        """The text, parsed once."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every part of it, listed once."""
        return list(ast.walk(self.tree))

    @cached_property
    def imported(self) -> tuple[tuple[str, str], ...]:
        """What `imports` lists."""
        return tuple(_imports(self))

    @property
    def folder(self) -> str:
        """The name of the folder below the package that the module is in; that of the package for its own files.

        The file that runs the command line belongs to it.
        """
        if self.name == f"{PACKAGE}.__main__":
            return "cli"
        parts = _places(self.name)
        return parts[0] if len(parts) > 1 or (parts and self.is_folder) else PACKAGE


def _places(name: str) -> list[str]:
    """Where a module lies below the package: without the underscore of private folders, and without `lab`."""
    parts = name.split(".")[1:]
    parts = parts[1:] if parts[:1] == ["lab"] and len(parts) > 1 else parts
    return [parts[0].removeprefix("_"), *parts[1:]] if parts else []


def read(checkout: Path) -> dict[str, Module]:
    """All modules of a checkout by name."""
    root = checkout / "src"
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_folder = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_folder else parts)
        found[name] = Module(name, path.read_text(encoding="utf-8"), is_folder)
    return found


# Size


def statements(module: Module) -> int:
    """Number of statements, docstrings left out."""
    return sum(isinstance(node, ast.stmt) and not _is_docstring(node) for node in module.nodes)


def tokens(module: Module) -> int:
    """Number of tokens, without comments, docstrings and what only lays the text out."""
    docstrings = {node.lineno for node in module.nodes if _is_docstring(node)}
    found = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return sum(
        token.type not in _NOT_TOKENS and not (token.type == tokenize.STRING and token.start[0] in docstrings)
        for token in found
    )


def _is_docstring(node: ast.AST) -> bool:
    """Whether the node is a statement that is nothing but a string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# Imports


def imports(module: Module) -> tuple[tuple[str, str], ...]:
    """All imports of ours, anywhere in the text, as pairs of a module and a name inside it (empty for the module).

    Those inside functions and under `if TYPE_CHECKING` count, and a string given to `importlib.import_module`.
    """
    return module.imported


def _imports(module: Module) -> Iterator[tuple[str, str]]:
    parents = [*module.name.split("."), *([""] if module.is_folder else [])]
    for node in module.nodes:
        if isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = parents[: -node.level] if node.level else []
            start = ".".join([*base, *(node.module.split(".") if node.module else [])])
            found = [(start, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            found = [(node.args[0].value, "")] if isinstance(node.args[0], ast.Constant) else []
        else:
            continue
        yield from (pair for pair in found if pair[0].split(".")[0] == PACKAGE)


def uphill(module: Module, folders: Iterable[str]) -> list[str]:
    """Imports that go against the import rule, by absolute name.

    Args:
        module: that imports.
        folders: of the package, since `from qnewton import curvature` names one and `from qnewton import newton` none.
    """
    allowed, folders = MAY_IMPORT[module.folder], set(folders)

    def target(name: str) -> str:
        parts = _places(name)
        return parts[0] if parts and parts[0] in folders else PACKAGE

    absolute = (f"{base}.{name}" if name else base for base, name in imports(module))
    return [name for name in absolute if target(name) not in allowed]


def definition(modules: Mapping[str, Module], base: str, name: str) -> str:
    """The module in which a name that is imported from `base` is defined, through what folders pass on."""
    if f"{base}.{name}" in modules:
        return f"{base}.{name}"
    if base in modules and modules[base].is_folder:
        for further, passed_on in imports(modules[base]):
            if passed_on == name and further != base:
                return definition(modules, further, name)
    return base


def cycles(modules: Mapping[str, Module]) -> list[list[str]]:
    """Groups of modules each of which imports, through others, all of its group."""
    edges = {
        name: {definition(modules, base, passed_on) for base, passed_on in imports(module)} - {name}
        for name, module in modules.items()
    }
    reach = {name: _reachable(edges, name) for name in modules}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in modules}
    return sorted(sorted(group) for group in groups if group)


def _reachable(edges: Mapping[str, set[str]], start: str) -> set[str]:
    """Everything that imports lead to; `start` itself only around a cycle."""
    seen: set[str] = set()
    ahead = list(edges[start])
    while ahead:
        name = ahead.pop()
        if name in edges and name not in seen:
            seen.add(name)
            ahead.extend(edges[name])
    return seen


# Functions


def long_functions(module: Module, limit: int = LONGEST_FUNCTION) -> list[str]:
    """Functions of more lines than `limit`, docstring included, as `module:name lines`."""
    return [
        f"{module.name}:{node.name} {lines}"
        for node in module.nodes
        if isinstance(node, FunctionNode) and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > limit
    ]


def any_annotations(module: Module) -> int:
    """How often the text says `Any`, the signatures of lineax's own methods left out."""
    said = [node for node in module.nodes if isinstance(node, ast.Name) and node.id == "Any"]
    lineax = {
        id(inner)
        for node in module.nodes
        if isinstance(node, FunctionNode) and node.name in LINEAX_METHODS
        for part in [node.args, *([node.returns] if node.returns else [])]
        for inner in ast.walk(part)
    }
    return sum(id(node) not in lineax for node in said)


# Public names


def public_names(modules: Mapping[str, Module]) -> dict[str, tuple[str, str]]:
    """Each public name as users write it, with the module and the name under which it is defined.

    What a namespace shares with the package itself is listed once.
    """
    spaces = [
        name.removeprefix(f"{PACKAGE}.")
        for name in modules
        if name.count(".") == 1 and not name.startswith(f"{PACKAGE}._") and not name.endswith((".api", ".lab"))
    ]
    flat = next((name for name in (f"{PACKAGE}._api", f"{PACKAGE}.api") if name in modules), PACKAGE)
    found: dict[str, tuple[str, str]] = {}
    for prefix, module in ((PACKAGE, flat), *((f"{PACKAGE}.{name}", f"{PACKAGE}.{name}") for name in spaces)):
        for name, home in _offered(modules, modules[module]).items():
            if home not in found.values():
                found[f"{prefix}.{name}"] = home
    return found


def _offered(modules: Mapping[str, Module], module: Module) -> dict[str, tuple[str, str]]:
    """What a module defines or passes on (`from .base import X as X`)."""
    found = {
        name: (module.name, name) for node in module.tree.body for name in _defined(node) if not name.startswith("_")
    }
    again = {
        alias.name
        for node in module.nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    for base, name in imports(module):
        if name in again and base != PACKAGE:  # `from . import hardware` passes on a namespace
            found[name] = (_origin(modules, definition(modules, base, name), name), name)
    return found


def _origin(modules: Mapping[str, Module], home: str, name: str) -> str:
    """Where a name is defined that a file, and not only a folder, may have imported itself."""
    if any(name in _defined(node) for node in modules[home].tree.body):
        return home
    further = [definition(modules, base, name) for base, passed_on in imports(modules[home]) if passed_on == name]
    return _origin(modules, further[0], name) if further else home


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(node, FunctionNode | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def has_docstring(module: Module, name: str) -> bool:
    """Whether the definition of a name is documented: a class or function inside, a value by a string after it."""
    body = module.tree.body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if name in _defined(node):
            if isinstance(node, FunctionNode | ast.ClassDef):
                return ast.get_docstring(node) is not None
            return after is not None and _is_docstring(after)
    return False


def guide(checkout: Path) -> set[str]:
    """Words that stand as code on the README or a page of docs/; reference (docs/api) and changelog are no guide."""
    pages = [checkout / "README.md", *(checkout / "docs").glob("*.md")]
    found: set[str] = set()
    for page in pages:
        if page.name != "changelog.md":
            code = re.findall(r"```.*?```|`[^`]+`", page.read_text(encoding="utf-8"), flags=re.DOTALL)
            found.update(word for piece in code for word in re.findall(r"\w+", piece))
    return found


# All of it


def measure(checkout: Path) -> dict[str, object]:
    """The figures of a checkout."""
    modules = read(checkout)
    folders = {module.folder for module in modules.values()}
    lines = Counter({name: module.text.count("\n") for name, module in modules.items()})
    said_any = sum(map(any_annotations, modules.values()))
    names = public_names(modules)
    words = guide(checkout)
    long = [entry for module in modules.values() for entry in long_functions(module)]
    return {
        "files": len(modules),
        "lines": lines.total(),
        "statements": sum(map(statements, modules.values())),
        "tokens": sum(map(tokens, modules.values())),
        "cycles": cycles(modules),
        "uphill": [f"{name}: {found}" for name, module in modules.items() for found in uphill(module, folders)],
        "long_functions": sorted(long),
        "any_per_100_lines": round(100 * said_any / lines.total(), 3),
        "public_names": len(names),
        "without_docstring": sorted(
            name for name, (home, inside) in names.items() if not has_docstring(modules[home], inside)
        ),
        "without_guide": sorted(name for name in names if name.rpartition(".")[2] not in words),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).resolve().parents[1], help="a checkout")
    figures = measure(parser.parse_args().path)
    for name, found in figures.items():
        if isinstance(found, list):
            print(f"{name}: {len(found)}", *found, sep="\n  ")
    print(json.dumps({name: len(found) if isinstance(found, list) else found for name, found in figures.items()}))


if __name__ == "__main__":
    main()
