"""The progress of a run, in a terminal, a notebook or a pipe."""

import importlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from ..._core.status import Status
from .._runfile import StepLine, SystemLine

SILENT_SECONDS = 30.0
"""After which a pipe hears of the next step, whichever it is."""
_BAR_WIDTH = 120
"""Columns of a terminal that has room for a bar."""


class Cell:
    """An output of a notebook that shows the newest state of something, in place of the one before."""

    INTERVAL_SECONDS = 0.2

    def __init__(self, shown: object):
        """Show nothing yet.

        Args:
            shown: that IPython can display.
        """
        self._shown, self._handle = shown, None
        self._next = 0.0

    def show(self, *, at_once: bool) -> None:
        """Show what it is now, a few times a second at most unless `at_once`."""
        if not at_once and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.INTERVAL_SECONDS
        if self._handle is None:
            self._handle = importlib.import_module("IPython.display").display(self._shown, display_id=True)
        else:
            self._handle.update(self._shown)


class Progress:
    """Progress of a training: loss, accuracy, damping, condition number, and the solver of each system.

    In a terminal that is one line with a bar; inside of a notebook's kernel, an output that is updated; elsewhere, such
    as in a pipe, a line per stage, about ten per run, and one after `SILENT_SECONDS` without any.
    """

    def __init__(self, task: str, steps: int, directory: Path):
        self._console = Console(stderr=True)
        self._steps, self._done = steps, 0
        self._accuracy = "-"
        self._explained: set[str] = set()
        self._warned = False
        whole = Column(no_wrap=True)
        self._bar = RichProgress(
            # Of a narrow terminal the text takes as many lines as it needs, and nothing of it is left out.
            TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
            *([BarColumn(bar_width=20)] if self._console.width >= _BAR_WIDTH else []),
            MofNCompleteColumn(table_column=whole),
            TimeElapsedColumn(table_column=whole.copy()),
            console=self._console,
        )
        self._row: TaskID | None = None
        # What rich itself shows in a notebook needs ipywidgets.
        self._cell = Cell(self._bar) if self._console.is_jupyter else None
        self._said = time.monotonic()
        self._console.print(f"{task} -> {directory}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._cell is None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
        if self._cell is not None:
            self._cell.show(at_once=True)

    def stage(self, what: str) -> None:
        """Print the preparation stage."""
        self._show(f"{what} ...", always=True)

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        """Show a finished step."""
        self._done = step.step + 1  # a resumed run does not begin at the first one
        if step.test_accuracy is not None:
            self._accuracy = f"{step.test_accuracy:.3f}"
        text = f"loss {step.loss:.3g}  accuracy {self._accuracy}"
        blocks = [line for line in blocks if not line.group]
        damping = max((_number(line.damping) for line in blocks), default=step.damping_scale)
        if damping is not None:  # a baseline has none
            text += f"  damping {damping:.2g}"
        if blocks:
            solved = Counter(_short(line) for line in blocks)
            kappa = max(_number(line.log10_condition_number) for line in blocks)
            text += f"  kappa {_power(kappa)}  " + " ".join(f"{name} {count}" for name, count in solved.items())
        elif not step.accepted:
            text += "  no step taken"
        for status in sorted(set(step.statuses) - {"ok"} - self._explained):
            self._explained.add(status)
            remedy = Status[status.upper()].remedy
            self._console.print(f"step {step.step}: {status}: {remedy}", markup=False, soft_wrap=True)
        # NaN, of a system that was not solved, has a status of its own.
        worst = max((residual for line in blocks if (residual := _number(line.exact_residual)) > 1), default=None)
        if worst is not None and not self._warned:
            self._warned = True
            self._console.print(
                f"step {step.step}: pruned too far: the step solves the system before pruning with a relative "
                f"residual of {worst:.2g}, and no step at all has 1, so it means nothing; raise --keep, or compare "
                "the presets of qnewton.conditioning.preset (said once)",
                markup=False,
                soft_wrap=True,
            )
        self._show(text, always=self._done == self._steps or self._done % max(1, self._steps // 10) == 0)

    def _show(self, text: str, *, always: bool) -> None:
        if self._cell is None and not self._console.is_terminal:
            if always or time.monotonic() - self._said >= SILENT_SECONDS:
                self._said = time.monotonic()
                line = f"[{self._done}/{self._steps}] {text}"
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        if self._row is None:
            self._row = self._bar.add_task(text, total=self._steps)
        self._bar.update(self._row, description=text, completed=self._done)
        if self._cell is not None:
            self._cell.show(at_once=always)


class Quiet:
    """Says nothing: of several processes another one does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def stage(self, what: str) -> None:
        """A new stage of the preparation begins."""

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        """A step is done and recorded."""


def _short(line: SystemLine) -> str:
    if line.status != "ok":
        return str(line.status)
    return str(line.solver) if line.execution is None else f"{line.solver}, {line.execution}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _power(log10: float) -> str:
    if not math.isfinite(log10):
        return "unknown"
    return f"{10**log10:.2g}" if log10 < 300 else f"1e{log10:.0f}"
