"""Section of the page: who worked, waited and failed, where workers solved the blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._runfile import AttemptLine, Run, StepLine
from .chart import Cells, Chart, Fill, Mark, Panel, Scale, rows
from .parts import Figures, Section, Table, columns
from .units import count

_MOST_STEPS = 50
_FILLS = {
    "solved": Fill("line0"),
    "in a queue": Fill(None, hatch="////", edge="line0"),
    "residual": Fill("line1", hatch="xxxx"),
    "died": Fill("ink"),
    "late": Fill("line3", hatch="...."),
    "driver": Fill("line2"),
}
"""What is drawn of an attempt; of one that was moved, or that an earlier solution stands in for, nothing is."""
_FAILURES = ("died", "late", "moved", "residual", "stale")


def workers_section(run: Run) -> Section | None:
    """Return the Gantt charts of a step and of the run; None of a run without workers."""
    steps = [step for step in run.steps if step.attempts]
    if not steps:
        return None
    names = list(dict.fromkeys(one.worker for step in steps for one in step.attempts))
    longest = max(steps, key=lambda step: max(one.measured_received for one in step.attempts))
    late = [step for step in steps if step.step > steps[0].step] or steps  # the first one compiles
    typical = sorted(late, key=lambda step: step.measured_seconds)[len(late) // 2]
    charts = [
        _chart("f-workers-step", f"Workers in step {typical.step}, the median one", [typical], names, ""),
        _chart("f-workers-longest", f"Workers in step {longest.step}, the longest", [longest], names, ""),
        _over_run(steps[-_MOST_STEPS:], names, len(steps)),
    ]
    return Section("workers", "Who worked when? Measured seconds", [Figures(charts), _table(steps, names)])


def _over_run(steps: Sequence[StepLine], names: Sequence[str], every: int) -> Chart:
    what = "the run" if len(steps) == every else f"the last {len(steps)} steps"
    return _chart(
        "f-workers-run", f"Workers over {what}", steps, names, " Steps follow each other without evaluations."
    )


def _chart(name: str, title: str, steps: Sequence[StepLine], names: Sequence[str], more: str) -> Chart:
    cells: dict[str, list[tuple[float, float, float]]] = {}
    begin = 0.0
    for step in steps:
        for kind, worker, low, high in _bars(step.attempts):
            cells.setdefault(kind, []).append((float(names.index(worker)), begin + low, begin + high))
        begin += max([step.measured_seconds, *(one.measured_received for one in step.attempts)])
    marks: list[Mark] = [Cells(cells[kind], fill, kind) for kind, fill in _FILLS.items() if kind in cells]
    panel = Panel(Scale("seconds", "measured seconds", limits=(0.0, begin)), rows(names, ruled=False), marks)
    caption = f"Bars are solves, by the clocks of those who made them; between them a worker waited.{more}"
    return Chart(name, title, caption, [panel], 1.2 + 0.3 * len(names), "measured", keys=3)


def _bars(attempts: Sequence[AttemptLine]) -> Iterator[tuple[str, str, float, float]]:
    """Yield the bars of a step: kind, worker, start, end."""
    for one in attempts:
        if one.outcome in ("died", "late"):
            yield one.outcome, one.worker, one.measured_sent, one.measured_received
        elif one.measured_started is not None and one.measured_ended is not None:
            begun = one.measured_started + one.measured_queued
            if one.measured_queued > 0:
                yield "in a queue", one.worker, one.measured_started, begun
            yield one.outcome, one.worker, begun, one.measured_ended


def _table(steps: Sequence[StepLine], names: Sequence[str]) -> Table:
    """Each worker's solves, failures, and seconds at work."""
    lines = []
    for name in names:
        mine = [one for step in steps for one in step.attempts if one.worker == name]
        worked = sum(high - low for kind, _, low, high in _bars(mine) if kind in ("solved", "residual"))
        queued = sum(one.measured_queued for one in mine)
        failed = ", ".join(
            f"{kind} {count(number)}" for kind in _FAILURES if (number := sum(one.outcome == kind for one in mine))
        )
        solved = sum(one.outcome in ("solved", "driver") for one in mine)
        paid = sum(one.paid for one in mine)
        lines.append([name, count(solved), failed, f"{worked:.3g}", f"{queued:.3g}", f"{paid:g}"])
    heads = columns("worker", "solved", "failed or moved", "seconds at work", "seconds in a queue", "paid")
    return Table("What the workers did", heads, lines, "measured")
