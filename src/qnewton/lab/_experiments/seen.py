"""What every system of a scheduled training looked like to the policy, and totals of other choices on them."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from ..._core.status import Verdict
from ..._curvature import Block
from ..._pricing.fastest import fastest
from ..._pricing.gate_times import at_gate_time
from ..._pricing.offers import Offers
from ..._scheduling import Hybrid
from .tallies import Rows
from .workers import Decider, Workers, solve_seconds

# `fixed_seconds` is the part of the seconds that no quantum clock scales.
_SEEN = ("seconds", "feasible", "log_condition_number", "fixed_seconds")


class Seen:
    """Offers of all systems so far, under the acting set and as the policy saw them."""

    def __init__(self, hybrid: Hybrid, blocks: Sequence[Block], workers: Workers | None):
        """Start before the first step.

        Args:
            hybrid: the scheduler.
            blocks: the partition.
            workers: that share the blocks of a step; None where they are solved one after the other.
        """
        self._hybrid, self._blocks, self._workers = hybrid, tuple(blocks), workers
        self._quantum = np.asarray([solver.capabilities.quantum for solver in hybrid.solvers])
        self._rows = tuple(Rows() for _ in _SEEN)

    def add(self, offers: Offers) -> None:
        """Take up what a system's candidates asked, `[sets, candidates]`."""
        seen = offers.seconds[0], offers.feasible[0], offers.log_condition_number, offers.fixed_seconds[0]
        for rows, part in zip(self._rows, seen, strict=True):
            rows.add(np.asarray(part))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return them for a checkpoint; each `[systems, ...]`."""
        found = {name: rows.values for name, rows in zip(_SEEN, self._rows, strict=True)}
        return {name: values for name, values in found.items() if values is not None}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue with the `arrays` of another moment."""
        self._rows = tuple(Rows(arrays.get(name)) for name in _SEEN)

    def classical_seconds(self) -> float:
        """Return the seconds of all solves on the fastest classical candidates; infinite if one has none."""
        seen = self.arrays()
        if not seen:
            return 0.0
        seconds = seen["seconds"]
        best, found = fastest(seconds, seen["feasible"] & ~self._quantum)
        if not np.all(found):
            return math.inf
        shape = -1, len(self._blocks)
        taken = self._by_step(seconds.astype(np.float64)), best.reshape(shape), found.reshape(shape)
        return float(np.sum(solve_seconds(self._workers, self._hybrid.names, *taken)))

    def at_gate_time(self, gate_time_s: float) -> tuple[float, float]:
        """Return quantum share and solve seconds of the policy's decisions if a gate took this long."""
        seen = self.arrays()
        if not seen:
            return 0.0, 0.0
        seconds, feasible, log_condition_number, fixed = (seen[name] for name in _SEEN)
        fixed = np.where(self._quantum & np.isfinite(seconds), fixed.astype(np.float64), 0.0)
        wide = seconds.astype(np.float64)
        now = at_gate_time(wide, fixed, self._hybrid.quantum.gate_time_s, gate_time_s)
        scaled = np.where(self._quantum, now, wide)
        # In the dtype of the systems, in which the choices were made.
        with np.errstate(over="ignore"):
            as_seen = scaled.astype(seconds.dtype)
        offers = Offers(
            self._hybrid.names,
            tuple(self._quantum.tolist()),
            *(jnp.asarray(self._by_step(part)) for part in (as_seen, feasible, log_condition_number)),
        )
        rows = sum(block.n for block in self._blocks)
        shares = jnp.asarray([block.n / rows for block in self._blocks], seconds.dtype)
        choice, verdict = Decider(self._hybrid.policy, self._workers, shares).decide(offers)
        solved = verdict != Verdict.NOBODY
        solves = solve_seconds(self._workers, self._hybrid.names, self._by_step(scaled), choice, solved)
        return float(np.mean(self._quantum[choice] & solved)), float(np.sum(solves))

    def _by_step(self, rows: np.ndarray) -> np.ndarray:
        return rows.reshape(-1, len(self._blocks), *rows.shape[1:])
