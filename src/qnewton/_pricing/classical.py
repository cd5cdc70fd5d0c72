"""Cost of a system on a classical machine: the rivals of every quantum row."""

import dataclasses
from typing import Any

import numpy as np

from .._core.arrays import floating, quiet
from .._core.evidence import Evidence
from .._core.records import ClassicalWorkload
from .._core.suggest import unknown
from .._hardware import ClassicalMachine, ClassicalProfile
from .._solvers.cholesky import cholesky_workload
from .._solvers.direct import lu_workload
from .._solvers.krylov.steps import cg_steps, minres_steps
from .methods import Chain, Dense, Krylov, Method, Projections
from .problem import Problem
from .structured import Banded, Dual, Kronecker, QuantumInspired, Sparse

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
DISK_BYTES_PER_S = 3.5e9
"""Of a solid-state disk on four lanes of PCI Express 3.0, for a machine whose own nobody measured."""
_RESOLVES = 0.1
"""Largest `kappa x unit roundoff` at which refinement gains a digit in each round."""


@dataclasses.dataclass(frozen=True)
class ClassicalHost:
    """A classical machine in a table.

    Attributes:
        name: of the machine.
        basis: `calibrated` where its times were measured, `data sheet` where they are published peaks.
        machine: per number type; a type that was not calibrated is missing.
        memory_bytes: of the fastest memory that a whole system can lie in.
        link_bytes_per_s: at which what lies beyond it is streamed: over the bus from host memory or a disk.
        largest_measured: rows of the largest system behind a calibration; None for a data sheet.
        profile: the data sheet, with what its devices wait for; None for a calibrated machine, whose times have it.
    """

    name: str
    basis: str
    machine: dict[str, ClassicalMachine]
    memory_bytes: float
    link_bytes_per_s: float
    largest_measured: int | None = None
    profile: ClassicalProfile | None = None

    @classmethod
    def of(cls, profile: ClassicalProfile) -> "ClassicalHost":
        """Return the host by its data sheet."""
        kernels = {rival.method.kernel for rival in RIVALS}
        return cls(
            profile.name,
            "data sheet",
            {dtype: profile.machine(kernels, dtype) for dtype in ROUNDOFF},
            profile.memory_bytes,
            profile.efficiency * profile.link_bytes_per_s,
            profile=profile,
        )

    @property
    def source(self) -> str:
        """Source of the machine's numbers, in a line; empty if none is known."""
        return "" if self.profile is None else self.profile.source

    @property
    def devices(self) -> float:
        """Number of devices that share the machine's rates."""
        return 1.0 if self.profile is None else self.profile.devices

    def seconds(self, work: ClassicalWorkload, dtype: str, chain: Chain, *, spread: bool) -> Any:
        """Predicted seconds of a workload.

        What is exchanged moves while devices compute, as in HPL; launches and messages are waited for.

        Args:
            work: operations and traffic.
            dtype: of the numbers.
            chain: what is done one after the other.
            spread: whether all devices work on it; else one of them.
        """
        alone = self.machine[dtype].seconds(work)
        if self.profile is None:
            return alone
        waits = self.profile.start_s + chain.launches * self.profile.launch_s
        if not spread:
            return alone * self.devices + waits
        xp, alone, numbers = floating(alone, chain.numbers)
        moving = numbers * np.dtype(dtype).itemsize / self.profile.exchange_bytes_per_s
        # A single device exchanges nothing.
        between = chain.messages * self.profile.exchange_s if self.devices > 1 else 0.0
        return waits + between + (xp.maximum(alone, moving) if self.devices > 1 else alone)


@dataclasses.dataclass(frozen=True)
class Rival:
    """A classical solver.

    Attributes:
        name: in tables.
        source: of its operation count.
        guarantee: what its count promises.
        definite: whether it needs a definite matrix (True), serves for another (False), or takes either (None).
        method: what it does.
    """

    name: str
    source: str
    guarantee: str
    definite: bool | None
    method: Method

    def takes(self, problem: Problem) -> bool:
        """Whether it is for such a matrix, and all that it needs to know is known."""
        return (self.definite is None or self.definite == problem.definite) and self.method.known(problem)

    @property
    def counts(self) -> bool:
        """Whether its seconds are those of a solve of this system, by a count with known constants."""
        return self.guarantee not in UNCOUNTED


def _cg(problem: Problem) -> Any:
    # The bound is the same for the residual and for the error, which is what is asked for here.
    return cg_steps(problem.condition_number, problem.precision)


def _minres(problem: Problem) -> Any:
    # ||e|| / ||x|| <= kappa ||r|| / ||b||.
    _, kappa, precision = floating(problem.condition_number, problem.precision)
    return minres_steps(kappa, precision / kappa)


def _preconditioned(problem: Problem) -> Any:
    # The preconditioned iteration bounds the error in the norm of the matrix itself, which the 2-norm follows.
    xp, better, kappa, precision = floating(
        problem.structure.preconditioned_kappa, problem.condition_number, problem.precision
    )
    return better**0.5 / 2 * xp.log(2 * kappa**0.5 / precision)


OTHER_SYSTEM = "solves another system: Kronecker factors in place of the block, with no bound on the error"
UNCOUNTED = (Evidence.ASYMPTOTIC.value, OTHER_SYSTEM)
SAMPLING = "sampling (Kaczmarz)"
_BOUND = "upper bound on the steps, proven but for rounding"
_EXACT = "exact but for rounding"

RIVALS = (
    Rival("LU", "Golub and Van Loan, 3.2", _EXACT, None, Dense("lu", lu_workload, True)),
    Rival("Cholesky", "Golub and Van Loan, 4.2", _EXACT, True, Dense("cholesky", cholesky_workload, False)),
    Rival("CG", "Chebyshev bound (Saad, 6.11); rounding: Greenbaum 1989", _BOUND, True, Krylov("cg", _cg)),
    Rival(
        "MINRES",
        "Chebyshev bound (Greenbaum 1997, 3.1); rounding: Greenbaum 1989",
        _BOUND,
        False,
        Krylov("cg", _minres),
    ),
    Rival(
        "PCG",
        "Chebyshev bound (Saad, 6.11 and 9.2); rounding: Greenbaum 1989",
        _BOUND,
        True,
        Krylov("cg", _preconditioned, preconditioned=True),
    ),
    Rival("banded Cholesky", "Golub and Van Loan, 4.3.5", _EXACT, True, Banded("cholesky", False, spread=False)),
    Rival("banded LU", "Golub and Van Loan, 4.3.3", _EXACT, False, Banded("lu", True, spread=False)),
    Rival(
        "sparse Cholesky",
        "sums over the factor's columns (George and Liu 1981, 2.3.2)",
        _EXACT,
        True,
        Sparse("cholesky", spread=False),
    ),
    Rival("dual", "R (R^T R + m I)^-1 = (R R^T + m I)^-1 R", _EXACT, True, Dual("cholesky")),
    Rival("K-FAC", "Martens and Grosse, arXiv 1503.05671", OTHER_SYSTEM, True, Kronecker("cholesky")),
    Rival(
        "quantum-inspired",
        "Shao and Montanaro, arXiv 2103.10309v2, abstract: O(kappa_F^4 kappa^2 / epsilon^2) up to logarithms, after "
        "entries are stored for sampling by their squares",
        Evidence.ASYMPTOTIC.value,
        None,
        QuantumInspired("cg", spread=False),
    ),
    Rival(
        SAMPLING,
        "Strohmer and Vershynin, arXiv math/0702226; as a dequantised solver: Shao and Montanaro, arXiv 2103.10309",
        "in expectation, proven",
        None,
        Projections("cg", spread=False),
    ),
)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A rival on a host; arrays where the problem's numbers are.

    Attributes:
        seconds: predicted.
        valid: whether all demands are met.
        demands: met where True, in words.
        rounds: of refinement that the precision asks for; 0: none.
        beyond_bytes: of the system that do not fit into the memory.
    """

    seconds: Any
    valid: Any
    demands: list[tuple[Any, str]]
    rounds: Any
    beyond_bytes: Any


@quiet
def predict(rival: Rival, host: ClassicalHost, problem: Problem) -> Prediction:
    """Predicted seconds on a machine, and what they rest on.

    The narrower number type is taken whose rounding error, `kappa` times its unit, stays below the precision. Where
    double precision does not resolve that, the solution is refined: residuals in twice the precision, which every round
    makes `kappa x unit roundoff` times smaller (Higham, Accuracy and Stability, 12.1).
    """
    xp, kappa, precision, _ = floating(problem.condition_number, problem.precision, problem.numbers.n)
    seconds, known, rounds, beyond = xp.inf, True, 0.0, 0.0
    wide, method = kappa * ROUNDOFF["float64"], rival.method
    chain = method.chain(problem, host.devices)
    for dtype in ("float64", "float32"):
        taken = True if dtype == "float64" else kappa * ROUNDOFF[dtype] <= precision
        itemsize = np.dtype(dtype).itemsize
        measured = dtype in host.machine and method.kernel in dict(host.machine[dtype].kernels)
        here, more = xp.inf, 0.0
        if measured:
            here = host.seconds(method.workload(problem, itemsize), dtype, chain, spread=method.spread)
            if dtype == "float64":
                more = xp.maximum(xp.ceil(xp.log(precision) / xp.log(xp.minimum(wide, _RESOLVES))) - 1, 0.0)
                more = xp.where(wide <= precision, 0.0, more)
                here = here + more * host.machine[dtype].seconds(method.refinement(problem))
        link = method.streamed_bytes(problem, itemsize, host.memory_bytes) / host.link_bytes_per_s
        seconds = xp.where(taken, here + link, seconds)
        known = xp.where(taken, measured, known)
        rounds = xp.where(taken, more, rounds)
        beyond = xp.where(taken, xp.maximum(method.memory_bytes(problem, itemsize) - host.memory_bytes, 0.0), beyond)
    demands = [
        (
            rival.takes(problem),
            "a positive definite matrix" if rival.definite else "a matrix that is not definite: CG is better",
        ),
        (
            wide <= _RESOLVES,
            f"a condition number up to {_RESOLVES / ROUNDOFF['float64']:.2g}: double precision resolves none beyond it",
        ),
        (known, f"a calibration of {method.kernel} in that precision: qnewton calibrate"),
    ]
    valid = xp.asarray(True)
    for holds, _ in demands:
        valid = valid & holds
    return Prediction(seconds, valid, demands, rounds, beyond)


def rival_named(name: str) -> Rival:
    """Return the rival of `RIVALS` with the given name.

    Raises:
        KeyError: for another name.
    """
    found = {rival.name: rival for rival in RIVALS}
    if name not in found:
        raise KeyError(unknown("classical solver", name, found))
    return found[name]
