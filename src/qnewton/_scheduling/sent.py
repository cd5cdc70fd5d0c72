"""A system that goes to a worker, and its solution: what travels, without where it goes to."""

import hashlib
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import lineax as lx
import numpy as np
from jaxtyping import Array

from .._core.records import SystemEstimate
from .._hardware import ClassicalMachine
from .._solvers import AbstractSolver
from .branches import Executed, Known, solve_once


@dataclass(frozen=True, eq=False)
class Program:
    """What a worker needs once to solve all systems of one block: everything but the numbers.

    Attributes:
        solvers: the candidates.
        known: of the system, its arrays left out.
        estimates: of each candidate's system, likewise.
        skeleton: of the arrays, a number in the place of each: matrix or parts of the block, right-hand side, and what
            was left out above.
        n: rows.
        dtype: of the system.
    """

    solvers: tuple[AbstractSolver, ...]
    known: Known
    estimates: tuple[SystemEstimate, ...]
    skeleton: Any
    n: int
    dtype: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the candidates."""
        return tuple(solver.name for solver in self.solvers)

    @cached_property
    def quantum(self) -> tuple[bool, ...]:
        """Which candidates are quantum solvers."""
        return tuple(solver.capabilities.quantum for solver in self.solvers)

    @cached_property
    def packed(self) -> bytes:
        """The program as bytes, for another process."""
        fields = (self.solvers, self.known, self.estimates, self.skeleton, self.n, self.dtype)
        return pickle.dumps(fields)

    @classmethod
    def unpacked(cls, packed: bytes) -> "Program":
        """Return what `packed` is of."""
        return cls(*pickle.loads(packed))

    @cached_property
    def key(self) -> str:
        """Digest that tells programs apart; programs that solve in the same way share it."""
        return hashlib.sha256(self.packed).hexdigest()[:16]

    def solve(self, place: int, arrays: Sequence[Array]) -> tuple[Array, Array, Executed]:
        """Return solution, iterations and what circuits did, by the candidate at that place.

        Args:
            place: of the candidate.
            arrays: in the order of the skeleton.
        """
        block, vector, known, estimates = self._filled(arrays)
        known, estimates = eqx.combine(known, self.known), eqx.combine(estimates, self.estimates)
        tag = lx.symmetric_tag if known.symmetric else ()
        operator = block if isinstance(block, lx.AbstractLinearOperator) else lx.MatrixLinearOperator(block, tag)
        value, _, steps, executed = solve_once(self.solvers[place], operator, known, estimates[place], vector)
        return value, steps, executed

    def system(self, arrays: Sequence[np.ndarray]) -> tuple[Any, np.ndarray]:
        """Return matrix or operator, whose `mv` takes numpy's arrays, and the right-hand side, on the host."""
        return self._filled(arrays)[:2]

    def _filled(self, arrays: Sequence[Any]) -> Any:
        return jax.tree.unflatten(jax.tree.structure(self.skeleton), arrays)


class Sent(NamedTuple):
    """A system that is handed over, on the host.

    Attributes:
        block: its place in the step.
        blocks: how many there are.
        name: of the block.
        program: what a worker needs besides.
        tolerance: largest relative residual that counts as solved.
        seconds: predicted for every candidate `[candidates]`, infinite where one cannot take it.
        choice: the candidate that the scheduler chose; -1 where none can take it.
        arrays: in the order of its skeleton.
        on: worker to what is predicted of it by its own calibration, as `seconds`.
    """

    block: int
    blocks: int
    name: str
    program: Program
    tolerance: float
    seconds: np.ndarray
    choice: int
    arrays: list[np.ndarray]
    on: Mapping[str, np.ndarray] = MappingProxyType({})

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(array.nbytes for array in self.arrays)

    @property
    def finite(self) -> bool:
        """Whether the system's numbers are."""
        return all(np.all(np.isfinite(part)) for part in jax.tree.leaves(self.program.system(self.arrays)))

    def residual(self, value: np.ndarray) -> float:
        """Return `||A x - b|| / ||b||` of a solution, by the numbers that were sent; NaN for one that is not finite."""
        block, vector = self.program.system(self.arrays)
        if value.shape != vector.shape or not np.all(np.isfinite(value)):
            return math.nan
        size = float(np.linalg.norm(vector))
        product = block @ value if isinstance(block, np.ndarray) else block.mv(value)
        return float(np.linalg.norm(product - vector)) / size if size > 0 else 0.0


class Answered(NamedTuple):
    """A solution from elsewhere, on the host.

    Attributes:
        value: `[n]`.
        iterations: that the solver reports.
        queries, success_probability, outcome: of `Executed`.
        age: steps since the system that it solves; 0 of the one that was sent.
    """

    value: np.ndarray
    iterations: int
    queries: float
    success_probability: float
    outcome: int
    age: int = 0


class Crew(Protocol):
    """Whoever takes systems to workers and brings solutions back.

    Attributes:
        calibrations: worker to its machine, of those that were calibrated where they run.
    """

    @property
    def calibrations(self) -> Mapping[str, ClassicalMachine]:
        """Worker to its machine."""
        ...

    def send(self, sent: Sent) -> None:
        """Hand a system over; returns at once."""
        ...

    def wait(self, block: int) -> Answered | None:
        """Wait for the solution of a block that was sent in this step; None: the step solves it itself."""
        ...
