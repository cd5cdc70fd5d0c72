"""What the README and the pages show is run: Python as it stands, and commands as far as is quick.

A `text` block right after a block of code is what that prints; `...` in it stands for anything. The files that a page
shows carry their names in their first lines.
"""

import doctest
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from markdown_it import MarkdownIt

from qnewton.lab._cli import main

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        page: that it is on.
        kind: first word after the fence, e.g. `python`.
        text: inside of it.
        line: of the page, from 1, on which the text starts.
        output: what the page says that it prints; None where it does not say.
    """

    page: Path
    kind: str
    text: str
    line: int
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences(page: Path) -> list[Fence]:
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    found = []
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "fence" and token.map is not None:
            told = after.content if after is not None and after.type == "fence" and after.info == "text" else None
            found.append(Fence(page, token.info.partition(" ")[0], token.content, token.map[0] + 2, told))
    return found


PAGES = {page: fences(page) for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
PYTHON = [page for page, found in PAGES.items() if any(fence.kind == "python" for fence in found)]
COMMANDS = [
    (fence, line)
    for found in PAGES.values()
    for fence in found
    if fence.kind == "console"
    for line in fence.text.splitlines()
    if line.startswith("qnewton ")
]
# What is done in a second, and not about a run; and what the page says the output of.
QUICK = [
    (fence, line)
    for fence, line in COMMANDS
    if fence.output is not None or (line.split()[1] == "plan" and "runs/" not in line)
]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`at(page)` goes to an empty folder that holds the files which the page shows."""

    def go(page: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "118")
        for fence in PAGES[page]:
            if fence.kind == "toml":
                name, _, _ = fence.text.partition("\n")
                (tmp_path / name.removeprefix("# ")).write_text(fence.text, encoding="utf-8")

    return go


def agree(printed: str, told: str) -> bool:
    return doctest.OutputChecker().check_output(told, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


def check_readme(names: dict[str, Any]) -> None:
    assert names["info"].family == "dual"
    assert float(names["objective"](names["params"], names["batch"])) < 2.0


def check_library(names: dict[str, Any]) -> None:
    check_readme(names)
    assert sorted(int(plan.size[0]) for plan in names["state"].info.systems) == [8 * 2, 4 * 8]
    # Which candidate is fastest on a system this small is for the machine to say.
    np.testing.assert_allclose(names["solution"].value, [0.2, 0.6], rtol=1e-5)


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.stem)
def test_python_runs_one_block_after_the_other(page, at, capsys) -> None:
    at(page)
    names: dict[str, Any] = {"__name__": page.stem}
    for fence in PAGES[page]:
        if fence.kind != "python":
            continue
        # A traceback then has the lines of the page.
        exec(compile("\n" * (fence.line - 1) + fence.text, str(page), "exec"), names)
        printed = capsys.readouterr().out
        assert fence.output is None or agree(printed, fence.output), f"{fence} printed\n{printed}"
        assert printed.strip() or "print(" not in fence.text, f"{fence} prints nothing"
    check = {"README.md": check_readme, "library.md": check_library}.get(page.name)
    if check is not None:
        check(names)


def test_the_front_page_is_short_and_its_figure_has_the_numbers_of_the_tables() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") < 120
    drawn = runpy.run_path(str(ROOT / "docs" / "make_figures.py"))
    for theme in ("light", "dark"):
        kept = (ROOT / "docs" / "figures" / f"time-to-target-{theme}.svg").read_text(encoding="utf-8")
        assert drawn["race"](theme) == kept, "python docs/make_figures.py draws it anew"
        # The alternative text says what the picture does, and both what the table has.
        assert all(f">{words}<" in kept for words in ("107 ms", "680 ms", "39 ms", "72 ms"))
    assert drawn["measured"]("Physics-informed network", "1e-2")["Muon"] == (6.0, True)


class Parsed(Exception):
    """The arguments of a command were understood."""


@pytest.mark.parametrize(("fence", "line"), COMMANDS, ids=str)
def test_commands_are_understood(fence: Fence, line: str, at, monkeypatch) -> None:
    def parse(*arguments: Any, **options: Any) -> None:
        parser(*arguments, **options)
        raise Parsed

    parser = tyro.cli
    monkeypatch.setattr(tyro, "cli", parse)
    at(fence.page)
    arguments = shlex.split(line, comments=True)[1:]
    if arguments == ["--help"]:
        assert main(arguments) == 0
        return
    with pytest.raises(Parsed):
        main(arguments)


@pytest.mark.parametrize(("fence", "line"), QUICK, ids=str)
def test_quick_commands_print_what_the_page_says(fence: Fence, line: str, at, capsys) -> None:
    at(fence.page)
    # Not with the calibrations of whoever runs the tests.
    assert main([*shlex.split(line, comments=True)[1:], "--calibrations", "none"]) == 0
    printed = capsys.readouterr().out
    assert fence.output is None or agree(printed, fence.output), printed


@pytest.mark.parametrize("fence", [f for found in PAGES.values() for f in found if f.output is not None], ids=str)
def test_only_code_that_is_run_has_an_output(fence: Fence) -> None:
    """Otherwise nobody would notice when it prints something else."""
    assert fence.kind == "python" or [fence, fence.text.strip()] in [list(quick) for quick in QUICK]
