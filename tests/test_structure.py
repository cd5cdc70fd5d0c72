"""`benchmarks/structure.py` counts what it says: on texts small enough to be counted by hand."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "structure.py"


@pytest.fixture(scope="module")
def structure() -> Any:
    spec = importlib.util.spec_from_file_location("structure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["structure"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TEXT = '''"""What the file is for."""

import os  # a comment


def f(x: int) -> int:
    """Return more."""
    if x:
        x = (x +
             1)
    return x
'''


def write(checkout: Path, **files: str) -> Path:
    """A checkout with a package; `__` in a name stands for a folder."""
    for name, text in {"__init__": "", **files}.items():
        parts = name.split("__") if not name.startswith("__") else [name]
        path = checkout.joinpath("src", "qnewton", *parts[:-1], f"{parts[-1] or '__init__'}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (checkout / "docs").mkdir(exist_ok=True)
    (checkout / "README.md").touch()
    return checkout


def test_statements_and_tokens_leave_docstrings_comments_and_layout_out(structure: Any) -> None:
    module = structure.Module("qnewton.a", TEXT)
    assert structure.statements(module) == 5  # import, def, if, assignment, return
    # import os; def f(x: int) -> int: ; if x: ; x = (x + 1); return x
    assert structure.tokens(module) == 2 + 10 + 3 + 7 + 2


def test_the_way_a_text_is_laid_out_changes_no_count(structure: Any) -> None:
    again = ast.unparse(ast.parse(TEXT)).replace("x + 1", "(x + 1)")
    module, other = (structure.Module("qnewton.a", text) for text in (TEXT, again))
    assert structure.tokens(module) == structure.tokens(other)
    assert structure.statements(module) == structure.statements(other)


def test_cycles_are_found_through_folders_and_functions(structure: Any, tmp_path: Path) -> None:
    checkout = write(
        tmp_path,
        core__="from .a import A as A",
        core__a="class A:\n    def f(self):\n        from .b import B",
        core__b="from .c import C",
        core__c="from ..core import A",
        core__d="from .a import A",
    )
    assert structure.cycles(structure.read(checkout)) == [["qnewton.core.a", "qnewton.core.b", "qnewton.core.c"]]


def test_a_function_is_long_from_61_lines_on(structure: Any) -> None:
    text = "".join(f"def f{lines}():\n" + "    x = 1\n" * (lines - 1) for lines in (60, 61))
    assert structure.long_functions(structure.Module("qnewton.a", text)) == ["qnewton.a:f61 61"]


def test_any_of_lineax_signatures_is_not_counted(structure: Any) -> None:
    text = "class S:\n    def init(self, operator: Any, options: dict[str, Any]) -> Any:\n        x: Any = 1\n"
    assert structure.any_annotations(structure.Module("qnewton.a", text)) == 1


def test_public_names_need_a_docstring_and_a_guide(structure: Any, tmp_path: Path) -> None:
    checkout = write(
        tmp_path,
        _api="from ._core import VALUE as VALUE, told as told\nfrom ._core.silent import silent as silent",
        _core__='from .told import told as told\nVALUE = 1\n"""Half of two."""\n',
        _core__told='def told():\n    """Return nothing."""',
        _core__silent="def silent(): ...",
        qsp="",
        readouts="from ._core.told import told as told",
    )
    (checkout / "docs" / "a.md").write_text("Call `told(x)`, and not silent.", encoding="utf-8")
    found = structure.measure(checkout)
    assert found["public_names"] == 3
    assert found["without_docstring"] == ["qnewton.silent"]
    assert found["without_guide"] == ["qnewton.VALUE", "qnewton.silent"]


def test_the_script_prints_one_object_for_this_checkout() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["files"] > 300
    assert figures["public_names"] > 200
    assert {figures[name] for name in ("cycles", "uphill", "without_docstring", "without_guide")} == {0}
    assert figures["long_functions"] <= 12


def test_every_test_that_is_left_to_the_night_is_there() -> None:
    tests = Path(__file__).parent
    for line in (tests / "nightly.txt").read_text(encoding="utf-8").splitlines():
        name = line.split("#")[0].partition("[")[0].strip()
        if name:
            file, _, inside = name.partition("::")
            function = inside.rpartition("::")[2]
            found = function == "*" or f"def {function}(" in (tests / file).read_text(encoding="utf-8")
            assert found, f"nightly.txt has {line}"
