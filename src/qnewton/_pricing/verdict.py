"""The winner, and its margin in orders of magnitude."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .classical import UNCOUNTED
from .fastest import fastest as chosen
from .table import Row

PROVEN = ("proven",)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One set of assumptions against the classical machines.

    Attributes:
        assumptions: the set.
        quantum: its fastest quantum row by a proven count; where none holds, by any; None where no formula holds.
        other: its fastest row by any count, where that is not proven and faster.
        classical: the fastest classical row; None where none can take the system.
        orders: `log10(quantum seconds / classical seconds)`; positive where the classical one wins.
        other_orders: of the other row.
    """

    assumptions: str
    quantum: Row | None
    other: Row | None
    classical: Row | None
    orders: float | None
    other_orders: float | None

    @property
    def sentence(self) -> str:
        """Who wins, by how much, and by which count."""
        if self.classical is None:
            return "no classical solver holds here"
        if self.quantum is None or self.orders is None:
            return "no quantum formula holds here"
        by, count = abs(self.orders), f" ({self.quantum.solver}, {self.quantum.evidence})"
        if by < 0.05:
            return f"a draw{count}"
        winner = "classical" if self.orders > 0 else "quantum"
        shown = f"{10**by:.1f} times" if by < 1 else f"{by:.1f} orders"
        return f"{winner} wins by {shown}{count}"


def fastest(rows: Sequence[Row]) -> Row | None:
    """The valid row with the fewest seconds, of those whose constants are known."""
    seconds = [row.seconds if row.evidence not in UNCOUNTED else None for row in rows]
    known = np.asarray([math.inf if value is None else value for value in seconds])
    if not len(known):
        return None
    index, found = chosen(known, np.isfinite(known))
    return rows[int(index)] if found else None


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Return one verdict for each set of assumptions, over all machines."""
    classical = fastest([row for row in rows if row.kind == "classical"])
    found = []
    for name in dict.fromkeys(row.assumptions for row in rows if row.kind == "quantum"):
        of_set = [row for row in rows if row.kind == "quantum" and row.assumptions == name]
        quantum, proven = fastest(of_set), fastest([row for row in of_set if row.evidence in PROVEN])
        lead = quantum if proven is None else proven
        other = None if quantum is lead else quantum
        found.append(
            Verdict(name, lead, other, classical, orders_between(lead, classical), orders_between(other, classical))
        )
    return found


def orders_between(quantum: Row | None, classical: Row | None) -> float | None:
    """Return `log10` of the quotient of their seconds; None if either is missing."""
    if quantum is None or quantum.seconds is None or classical is None or classical.seconds is None:
        return None
    return math.log10(quantum.seconds / classical.seconds)
