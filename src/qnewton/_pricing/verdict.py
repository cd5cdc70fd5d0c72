"""The winner, and its margin in orders of magnitude."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .classical import UNCOUNTED
from .fastest import fastest as chosen
from .table import ANY, Row

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
        least: `any` and `set`, the fastest row of a sure lower bound by any encoding and by those of the set; a set
            without an encoding has the first alone.
        shared: the fastest row that shares the system out, if it is faster than all others; else None.
    """

    assumptions: str
    quantum: Row | None
    other: Row | None
    classical: Row | None
    orders: float | None
    other_orders: float | None
    least: Mapping[str, Row] = dataclasses.field(default_factory=dict)
    shared: Row | None = None

    @property
    def impossible(self) -> str:
        """Why no algorithm helps, where a sure lower bound is slower than the classical solver; else empty."""
        for kind, by in (("any", "whatever the block encoding"), ("set", "with any of the set's block encodings")):
            row = self.least.get(kind)
            orders = orders_between(row, self.classical)
            if row is not None and row.queries is not None and orders is not None and orders > 0:
                return (
                    f"{by} of the matrix, the {row.queries:.3g} queries that any solver needs ({row.solver}, "
                    f"{row.evidence}) take {10**orders:.3g} times the classical seconds"
                )
        return ""

    @property
    def sentence(self) -> str:
        """The winner, by how much, and by which count."""
        if self.classical is None:
            return "no classical solver holds here"
        if self.quantum is None or self.orders is None:
            return "no quantum formula holds here"
        by, count = abs(self.orders), f" ({self.quantum.solver}, {self.quantum.evidence})"
        winner = winner_of(self.orders)
        if winner == "draw":
            return f"a draw{count}"
        shown = f"{10**by:.1f} times" if by < 1 else f"{by:.1f} orders"
        return f"{winner} wins by {shown}{count}"


def winner_of(orders: float) -> str | None:
    """Return `quantum`, `classical` or `draw`, by `log10` of quantum over classical seconds; None for NaN."""
    if math.isnan(orders):
        return None
    if abs(orders) < 0.05:
        return "draw"
    return "classical" if orders > 0 else "quantum"


class Leaders(NamedTuple):
    """Places of the rows that a verdict rests on, `[...]`; -1 where there is none.

    Attributes:
        quantum, other, classical: as in `Verdict`.
        orders, other_orders: NaN where there is none.
    """

    quantum: np.ndarray
    other: np.ndarray
    classical: np.ndarray
    orders: np.ndarray
    other_orders: np.ndarray


def leaders(seconds: np.ndarray, kinds: Sequence[str], evidence: Sequence[str]) -> Leaders:
    """Return who leads among quantum rows and among classical ones.

    Args:
        seconds: `[..., rows]`; what is not finite is no number.
        kinds: of each row, `quantum` or `classical`.
        evidence: of each row.
    """
    quantum = np.asarray([kind == "quantum" for kind in kinds], bool)
    counted = np.asarray([one not in UNCOUNTED for one in evidence], bool)
    proven = np.asarray([one in PROVEN for one in evidence], bool)
    best, lead, classical = (
        _least(seconds, among) for among in (quantum & counted, quantum & counted & proven, ~quantum & counted)
    )
    lead = np.where(lead < 0, best, lead)
    other = np.where(best == lead, -1, best)
    return Leaders(lead, other, classical, *(_between(seconds, one, classical) for one in (lead, other)))


def _least(seconds: np.ndarray, among: np.ndarray) -> np.ndarray:
    if not len(among):
        return np.full(seconds.shape[:-1], -1)
    index, found = chosen(seconds, among & np.isfinite(seconds))
    return np.where(found, index, -1)


def _between(seconds: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return `log10` of the quotient of the seconds of two rows; NaN where one is missing."""
    if not seconds.shape[-1]:
        return np.full(seconds.shape[:-1], np.nan)
    here, there = (np.take_along_axis(seconds, one[..., None], axis=-1)[..., 0] for one in (first, second))
    return np.where((first < 0) | (second < 0), np.nan, np.log10(here) - np.log10(there))


def fastest(rows: Sequence[Row]) -> Row | None:
    """The valid row with the fewest seconds, of those whose constants are known."""
    found = int(_least(_seconds(rows), np.asarray([row.evidence not in UNCOUNTED for row in rows], bool)))
    return None if found < 0 else rows[found]


def _seconds(rows: Sequence[Row]) -> np.ndarray:
    return np.asarray([np.nan if row.seconds is None else row.seconds for row in rows])


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Return one verdict for each set of assumptions, over all machines."""
    found = []
    for name in dict.fromkeys(row.assumptions for row in rows if row.kind == "quantum"):
        of_set = [row for row in rows if row.assumptions == name]
        own = [row for row in rows if row.kind == "classical"] + [row for row in of_set if row.kind == "quantum"]
        lead = leaders(_seconds(own), [row.kind for row in own], [row.evidence for row in own])
        quantum, other, classical = (
            None if place < 0 else own[int(place)] for place in (lead.quantum, lead.other, lead.classical)
        )
        orders, other_orders = (None if np.isnan(one) else float(one) for one in (lead.orders, lead.other_orders))
        least, shared = _excluding(of_set), fastest([row for row in of_set if row.kind == "shared"])
        if not _below(shared, (quantum, other, classical)):
            shared = None
        found.append(Verdict(name, quantum, other, classical, orders, other_orders, least, shared))
    return found


def _excluding(rows: Sequence[Row]) -> dict[str, Row]:
    """The fastest bound by any encoding, and by those of the set."""
    bounds = [row for row in rows if row.kind == "bound"]
    by = {"any": [row for row in bounds if row.encoding == ANY], "set": [row for row in bounds if row.encoding != ANY]}
    # Where a bound is not known for one machine it excludes nothing there.
    found = {kind: fastest(own) for kind, own in by.items() if all(row.valid for row in own)}
    return {kind: row for kind, row in found.items() if row is not None}


def _below(row: Row | None, others: Sequence[Row | None]) -> bool:
    """Whether the row is faster than all others."""
    known = [one.seconds for one in others if one is not None and one.seconds is not None]
    return row is not None and row.seconds is not None and row.seconds < min(known, default=math.inf)


def orders_between(quantum: Row | None, classical: Row | None) -> float | None:
    """Return `log10` of the quotient of their seconds; None if either is missing."""
    if quantum is None or quantum.seconds is None or classical is None or classical.seconds is None:
        return None
    return math.log10(quantum.seconds) - math.log10(classical.seconds)
