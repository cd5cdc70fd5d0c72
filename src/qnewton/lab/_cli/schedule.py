"""The command `qnewton schedule [TRACE ...]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .answers import print_json, print_table

if TYPE_CHECKING:
    from ..._workers.simulate import Outcome


@dataclass(frozen=True)
class ScheduleCommand:
    """Compare policies that deal blocks out to classical machines and quantum machines with queues.

    A simulator that decides by the code of `--workers`: the rule for the least expected makespan beside
    first-come-first-served, greedy, machines that pull blocks, and lower bounds. All seconds but those of the decisions
    are simulated.
    """

    traces: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="TRACE")] = ()
    """CSV files of queues: arrival_s, service_s and, where it is known, wait_s, a line for each job. The quantum
    machines take them in turn. None: queues are drawn whose waits have published quantiles."""
    steps: int = 50
    """Steps, each judged by itself."""
    blocks: int = 500
    """Blocks of a step."""
    classical: int = 24
    """Classical machines, each with a speed of its own."""
    quantum: int = 8
    """Quantum machines, each with a queue of its own, in which a step waits once."""
    able: float = 0.6
    """Share of the blocks that quantum machines can take."""
    work_s: float = 600.0
    """Median seconds of a block on a classical machine."""
    advantage: float = 10.0
    """By which quantum machines are faster, in the median."""
    noise: float = 0.1
    """Spread of the logarithm of what a solve takes over its prediction."""
    every_s: float = 3600.0
    """Seconds between the begins of two steps."""
    warm_s: float = 604800.0
    """Seconds of each queue that are observed before the first step."""
    quantile: float | None = None
    """Quantile of the makespan that the rule minimises, in (0, 1); None: its mean."""
    seed: int = 0
    """Seed of all that is drawn."""
    generate: Path | None = None
    """Write a drawn trace of --hours to this file, and compare nothing."""
    hours: float = 168.0
    """Hours of that trace."""
    json: bool = False
    """Print one JSON object, and nothing else."""


def schedule(arguments: Sequence[str]) -> int:
    """Parse, simulate, and print a table."""
    command = tyro.cli(ScheduleCommand, prog="qnewton schedule", args=arguments)
    if command.quantile is not None and not 0 < command.quantile < 1:
        raise ValueError(f"--quantile is {command.quantile}: it must lie in (0, 1), or be None")
    from ..._workers.simulate import Campaign, simulate
    from ..._workers.traces import TraceModel, read_trace, write_trace

    if command.generate is not None:
        return _generate(command, TraceModel(), write_trace)
    names = (
        "steps",
        "blocks",
        "classical",
        "quantum",
        "able",
        "work_s",
        "advantage",
        "noise",
        "every_s",
        "warm_s",
        "seed",
    )
    campaign = Campaign(**{name: getattr(command, name) for name in names})
    found = simulate(campaign, None, [read_trace(path) for path in command.traces], command.quantile)
    rows = _rows(found)
    if command.json:
        print_json({"found": rows, "steps": campaign.steps})
    else:
        _print_table(rows)
    return 0


def _generate(command: ScheduleCommand, model: Any, write: Any) -> int:
    assert command.generate is not None, "it was asked for"
    if not 0 < command.hours < float("inf"):
        raise ValueError(f"--hours is {command.hours}: it must be positive and finite")
    if command.generate.exists():
        raise ValueError(f"--generate {command.generate}: it exists, and nothing is overwritten: name another file")
    trace, _ = model.draw(command.seed, command.hours)
    write(command.generate, trace)
    print(f"trace: {command.generate} ({len(trace.arrival_s)} jobs)")
    return 0


def _rows(found: "Outcome") -> list[dict[str, Any]]:
    """A line for each policy and bound: median makespan, the rule's over it with its interval, time of a decision."""
    import numpy as np

    from ..._workers.simulate import interval

    rule = found.makespan_s["makespan"]
    rows = []
    for name, makespans in found.makespan_s.items():
        ratio = None if name == "makespan" else found.against("makespan", name)
        decided = found.decided_s.get(name)
        rows.append(
            {
                "policy": name,
                "makespan_s": float(np.median(makespans)),
                "rule_over_it": None if ratio is None else list(ratio),
                "measured_decision_seconds": None if decided is None else float(decided.max()),
            }
        )
    for name, bound in (("bound, future unknown", found.bound_s), ("bound, clairvoyant", found.clairvoyant_s)):
        if bound is not None:
            row = {"policy": name, "makespan_s": float(np.median(bound)), "rule_over_it": list(interval(rule / bound))}
            rows.append(row | {"measured_decision_seconds": None})
    return rows


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("policy", "median makespan, s", "makespan rule over it", "95 % interval", "slowest decision, s")
    for row in rows:
        ratio, decided = row["rule_over_it"], row["measured_decision_seconds"]
        table.add_row(
            row["policy"],
            f"{row['makespan_s']:.4g}",
            "" if ratio is None else f"{ratio[0]:.3f}",
            "" if ratio is None else f"{ratio[1]:.3f} to {ratio[2]:.3f}",
            "" if decided is None else f"{decided:.2g} measured",
        )
    print_table(table, ("policy",))
