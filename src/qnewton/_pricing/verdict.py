"""Who wins, and by how many orders of magnitude."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .fastest import fastest as chosen
from .paper import is_count
from .table import Row

PROVEN = ("proven",)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One set of assumptions against the classical machines.

    Attributes:
        assumptions: the set.
        quantum: its fastest quantum row; None where no formula holds.
        proven: its fastest row with a proven count.
        classical: the fastest classical row; where no machine holds the matrix, the fastest one on paper.
        on_paper: whether the classical row would not fit.
        orders: `log10(quantum seconds / classical seconds)`; positive where the classical one wins.
        proven_orders: of the proven row.
    """

    assumptions: str
    quantum: Row | None
    proven: Row | None
    classical: Row | None
    on_paper: bool
    orders: float | None
    proven_orders: float | None

    @property
    def sentence(self) -> str:
        """In words."""
        if self.classical is None:
            return "no classical solver holds here"
        if self.quantum is None or self.orders is None:
            return "no quantum formula holds here"
        if abs(self.orders) < 0.05:
            return "a draw"
        winner = "classical" if self.orders > 0 else "quantum"
        by = abs(self.orders)
        shown = f"{10**by:.1f} times" if by < 1 else f"{by:.1f} orders"
        return f"{winner} wins by {shown}"


def fastest(rows: Sequence[Row]) -> Row | None:
    """The valid row with the fewest seconds, of those whose constants are known."""
    return _least(rows, [row.seconds if is_count(row.evidence) else None for row in rows])


def best_classical(rows: Sequence[Row]) -> tuple[Row | None, bool]:
    """The fastest classical row, and whether it is one that does not fit: where none does."""
    classical = [row for row in rows if row.kind == "classical"]
    best = fastest(classical)
    if best is not None:
        return best, False
    return _least(classical, [row.seconds_without_limits for row in classical]), True


def _least(rows: Sequence[Row], seconds: Sequence[float | None]) -> Row | None:
    if not rows:
        return None
    known = np.asarray([math.inf if value is None else value for value in seconds])
    index, found = chosen(known, np.isfinite(known))
    return rows[int(index)] if found else None


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """One for each set of assumptions, over all machines."""
    classical, on_paper = best_classical(rows)
    found = []
    for name in dict.fromkeys(row.assumptions for row in rows if row.kind == "quantum"):
        of_set = [row for row in rows if row.kind == "quantum" and row.assumptions == name]
        quantum, proven = fastest(of_set), fastest([row for row in of_set if row.evidence in PROVEN])
        found.append(
            Verdict(
                name,
                quantum,
                proven,
                classical,
                on_paper,
                orders_between(quantum, classical),
                orders_between(proven, classical),
            )
        )
    return found


def orders_between(quantum: Row | None, classical: Row | None) -> float | None:
    """`log10` of the quotient of their seconds; None where either has none."""
    if quantum is None or quantum.seconds is None or classical is None:
        return None
    seconds = classical.seconds if classical.seconds is not None else classical.seconds_without_limits
    return None if seconds is None else math.log10(quantum.seconds / seconds)
