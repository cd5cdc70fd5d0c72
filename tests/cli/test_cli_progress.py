"""Progress in a notebook's kernel, in a pipe and in a terminal of any width."""

import builtins
import io
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from qnewton.lab._cli import progress
from qnewton.lab._cli.progress import Progress
from qnewton.lab._runfile import StepLine


def step(number: int, loss: float) -> StepLine:
    return StepLine(
        step=number,
        epoch=0.0,
        loss=loss,
        train_loss=None,
        test_loss=None,
        test_accuracy=None,
        learning_rate=1.0,
        damping_scale=0.5,
        reduction_ratio=None,
        accepted=True,
        statuses={},
        measured_seconds=0.1,
        measured_evaluation_seconds=0.0,
        predicted_seconds={},
        predicted_schedule={},
        systems=0,
    )


@pytest.fixture
def notebook(monkeypatch):
    """The texts that a notebook's output showed, one after the other, in a list for each output."""
    outputs: list[list[str]] = []

    class Handle:
        def __init__(self, texts: list[str]):
            self.texts = texts

        def update(self, shown: Any) -> None:
            self.texts.append(shown._repr_mimebundle_((), ())["text/html"])

    def display(shown: Any, *, display_id: bool = False) -> Any:
        outputs.append([])
        handle = Handle(outputs[-1])
        handle.update(shown) if display_id else handle.texts.append(shown.text)
        return handle

    class ZMQInteractiveShell:
        """What rich recognises a kernel by."""

    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    module.__dict__["display"] = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return outputs


def test_a_notebook_has_one_output_that_is_updated(notebook, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress.Cell, "INTERVAL_SECONDS", 0.0)
    with Progress("tiny", 3, tmp_path) as shown:
        shown.stage("compiling")
        for number in range(3):
            shown.step(step(number, 2.0 - number / 2), [])
    name, bar = notebook
    assert str(tmp_path) in "".join(name).replace("\n", "")
    assert "compiling ..." in bar[0]
    assert [f"loss {loss}" in text for loss, text in zip(("2", "1.5", "1"), bar[1:4], strict=True)] == [True] * 3
    assert "3/3" in bar[-1]
    assert capsys.readouterr().out == ""


def test_a_notebook_is_not_updated_more_often_than_it_can_be_seen(notebook, tmp_path):
    with Progress("tiny", 1000, tmp_path) as shown:
        for number in range(1000):
            shown.step(step(number, 1.0), [])
    # Ten of them are shown in any case, and the end.
    assert 11 <= len(notebook[1]) < 100
    assert "1000/1000" in notebook[1][-1]


def test_a_pipe_hears_of_a_slow_run_too(tmp_path, capsys, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with Progress("tiny", 1000, tmp_path) as shown:
        for number in range(4):
            clock.now += 20
            shown.step(step(number, 1.0), [])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == ["[2/1000", "[4/1000"]


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_a_terminal_shows_every_word_as_it_is_at_any_width(columns, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    name = "data: a[/b]folder/[red]and-a-name-without-any-place-to-break-it.txt"
    with Progress("tiny", 1000, tmp_path) as shown:
        shown.stage(name)
        shown._bar.refresh()
        shown.step(msgspec.structs.replace(step(999, 2.0), accepted=False), [])
        shown._bar.refresh()
    _, *drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", terminal.getvalue()).split("\n", 1)[1].split("\r")
    lines = [line for part in drawn for line in part.split("\n")]
    assert max(map(len, lines)) <= columns
    text = re.sub(r"[━╸╺ ]|\d+/1000|0:00:00", "", "".join(lines))
    assert name.replace(" ", "") in text
    assert "loss2accuracy-damping0.5nosteptaken" in text
    assert "1000/1000" in terminal.getvalue()
