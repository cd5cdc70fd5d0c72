"""Output anywhere: markup, escapes and marks of direction in names; narrow terminals; few characters; no reader."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table
from rich.text import Text

from qnewton.lab._cli import main
from qnewton.lab._cli.answers import ListedLater, print_json, print_table
from qnewton.lab._cli.help import show_help
from qnewton.lab._cli.streams import OBEYED, Harmless, harmless
from qnewton.lab._experiments.options import TrainOptions

HOSTILE = "a<script>[bold]$x_1$[/]`\x1b[31m\x9b2J\x07\u202e\u2066\u200f\r\n|*"


class Terminal(io.StringIO):
    """A stream that is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["train", HOSTILE],
        ["train", "--resume", HOSTILE],
        ["report", HOSTILE],
        ["explain", HOSTILE, "--block", HOSTILE],
        ["plan", HOSTILE],
        ["plan", "--n", HOSTILE],
        ["spectrum", f"{HOSTILE}.npy"],
        ["parts", HOSTILE],
        ["train", "tiny", "--solvers", HOSTILE],
        ["train", "tiny", f"--{HOSTILE}"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(HOSTILE, "NAME"),
)
def test_no_argument_does_anything_to_a_terminal(arguments):
    shown = Terminal()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
    assert status == 2
    assert not re.search(f"[{OBEYED}]", shown.getvalue())
    assert "[bold]" in re.sub(r"[\s│]", "", shown.getvalue()), "markup is text"


def test_our_own_colours_reach_a_terminal_and_nothing_else_does():
    shown = Terminal()
    assert Harmless(shown, colored=True).write("\x1b[1mbold\x1b[0m\r\x1b]0;title\x07\u202e") > 0
    assert shown.getvalue() == "\x1b[1mbold\x1b[0m\r\N{REPLACEMENT CHARACTER}]0;title" + 2 * "\N{REPLACEMENT CHARACTER}"
    assert harmless("a\tb\r\nc\rd") == "a\tb\nc\nd"


def test_json_keeps_every_name_and_a_terminal_obeys_none(capsys):
    print_json({"name": HOSTILE, HOSTILE: [HOSTILE]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": HOSTILE, HOSTILE: [HOSTILE]}
    assert not re.search(f"[{OBEYED}]", printed)


def test_a_name_that_is_no_text_is_written_with_escapes(capsys, monkeypatch, tmp_path):
    name = "a\udcc3\udca4\udcff"  # as Python has the bytes of "aä" and one that is no UTF-8, where it runs with ASCII
    print_json({"name": name, name: [Path(name)], "other": "\ud800"})
    told = json.loads(capsys.readouterr().out)
    assert told == {"name": r"aä\xff", r"aä\xff": [r"aä\xff"], "other": "\N{REPLACEMENT CHARACTER}"}
    monkeypatch.chdir(tmp_path)
    np.save(f"{name}.npy", np.diag([1.0, 2.0]))
    with contextlib.redirect_stdout(io.StringIO()):  # what the program itself writes to takes all characters
        assert main(["spectrum", f"{name}.npy", "--out", name]) == 0
    assert json.loads(Path(name, "spectrum.json").read_text("utf-8"))["source"]["path"] == r"aä\xff.npy"


def test_lists_that_are_made_as_they_are_printed_are_printed_like_others(capsys):
    items = [[{"name": HOSTILE, "of": [1, {"a": []}]}, None], [], ["x"]]
    print_json({"first": 1, "sets": [{"all": own, "more": {}} for own in items]})
    wanted = capsys.readouterr().out
    lists = [ListedLater(item for item in own) for own in items]
    print_json({"first": 1, "sets": [{"all": one.mark, "more": {}} for one in lists]}, lists)
    assert capsys.readouterr().out == wanted


def table() -> Table:
    made = Table("machine", "a long heading", "seconds", title="[red]title[/red] of the table")
    made.add_row(Text("heading of a section", "bold"))
    made.add_row("[bold]machine[/bold] of many words", "some words [/] and more of them", "1.2345678901234e-12")
    made.add_row("superconducting", "-", "3.2e+100")
    return made


def words(text: str) -> Counter[str]:
    return Counter(word for word in re.split(r"[\s:─│━┏┓┃┡┩└┘┴┬├┤┼╇┳]+", text) if word)


def test_a_narrow_terminal_loses_no_word_of_a_table_and_needs_no_more_columns(capsys, monkeypatch):
    printed = {}
    for columns in ("200", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        print_table(table(), ("machine", "a long heading"))
        printed[columns] = capsys.readouterr().out
    assert not words(printed["200"]) - words(printed["40"])
    assert "\nheading of a section\n" in printed["40"]
    assert "[bold]machine[/bold]" in printed["200"]
    assert "[red]title[/red]" in printed["200"]
    assert max(map(len, printed["40"].splitlines())) <= 40


def test_help_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show_help("qnewton train TASK", "Train a task.", ["--help"], TrainOptions())
    # But for a value that is one long word.
    assert all(len(line) <= 40 or " " not in line.strip() for line in capsys.readouterr().out.splitlines())


CALLS = ["parts solver", "plan --n 100 --kappa 50 --assumptions paper", "train --help", "train x"]


def printed(program: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", program], env={**os.environ, **environment}, capture_output=True, check=False, timeout=300
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_streams_of_few_characters_take_all_output(encoding):
    calls = "; ".join(f"{sys.executable} -m qnewton {call}; echo status $?" for call in CALLS)
    found = printed(calls, PYTHONIOENCODING=encoding, PYTHONUTF8="0", LC_ALL="C")
    said = (found.stdout + found.stderr).decode(encoding)
    assert re.findall(r"status (\d+)", said) == ["0", "0", "0", "2"]
    assert "Traceback" not in said


def test_a_reader_that_is_gone_ends_a_command_quietly():
    calls = "; ".join(f"{sys.executable} -m qnewton {call} | true" for call in CALLS[:3])
    assert b"Traceback" not in printed(calls).stderr
