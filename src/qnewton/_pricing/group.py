"""Equal systems of a step, and their cost, from shapes alone or with the numbers of their matrices."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core.arrays import namespace, quiet
from .._core.costs import Cost
from .._core.records import Access, ClassicalWorkload, SystemEstimate
from .._core.status import Refusal
from .._hardware import ClassicalMachine, QuantumMachine
from .._solvers import AbstractSolver
from .._solvers.base import Charged, LeastSquares, is_charged, is_least_squares
from .assumptions import AbstractAssumptions
from .columns import Column, quantum_column, reasons_of, settled, table
from .least import KAPPAS, least_quantum
from .need import NEED, residual_for, state_error_for, steps_factor
from .nominal import nominal_estimate
from .offers import Offers
from .price import classical_workload

_NO_ROWS: Any = np.zeros((), int)
LEAST_DAMPING = 0.4
"""Of a fit, in rounding units of the mean square of a residual's row; `_optim.dual_trials` tries no less."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Equal systems of a step: positive definite, dense, of one size.

    Attributes:
        name: what they are, in words.
        factors: rows of each Kronecker factor; one number for a system that is no Kronecker product.
        count: of the systems.
        vectors: right-hand sides of each in a step.
        serves: steps that one set-up serves.
        dtype: of the systems.
        need: relative error that the step bears, `need.NEED`, in the energy norm or the one that `power` says.
        power: 1 where the norm that counts is the energy norm of the systems; 2 of dual systems `K + m`, whose step
            `-R^T u` has the norm of `K (K + m)` (`_pricing.need`).
        root_rows: rows of the root `R` `[root_rows, rows]`, at hand, that all of the systems `R^T R + m I` share; 0
            where they have none.
        squared_in: number type in which `R^T R` is formed and factored by who does so; empty: that of the systems.
    """

    name: str
    factors: tuple[int, ...]
    count: int
    vectors: int = 1
    serves: int = 1
    dtype: str = "float32"
    need: float = NEED
    power: int = 1
    root_rows: int = 0
    squared_in: str = ""

    @property
    def rows(self) -> int:
        """Rows of one system."""
        return math.prod(self.factors)

    @property
    def resolves_squares(self) -> bool:
        """Whether a solution by way of `R^T R` errs by no more than `need`, whatever the root is.

        The damping of a fit is at least 0.4 rounding units of the mean square of a residual's row, so the condition
        number of `R^T R + m I` is at most `1 + 2.5 root_rows / eps`. Forming and factoring err by at most
        `(root_rows + rows^2) eps tr(R^T R)` (Higham 2002, 3.5 and 10.1.1), and a backward error E by `|E| / m` in the
        energy norm.
        """
        own, working = np.finfo(self.dtype).eps, np.finfo(self.squared_in or self.dtype).eps
        return bool((self.root_rows + self.rows**2) * working * self.root_rows / (LEAST_DAMPING * own) <= self.need)

    @property
    def product(self) -> Cost:
        """Cost of one product with a system, every factor times the vector reshaped to a matrix."""
        itemsize = np.dtype(self.dtype).itemsize
        flops = sum(2.0 * self.rows * n for n in self.factors)
        return Cost(flops, sum(float(n) ** 2 for n in self.factors) * itemsize)


def price_group(
    group: Group,
    estimate: SystemEstimate,
    candidates: Sequence[AbstractSolver],
    sets: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
) -> Offers:
    """Return every candidate's offer for all systems of a group in one step: `[sets, candidates]`.

    A direct solver sets every factor up once for `serves` steps, and solves with each for as many columns as the
    others have rows. An iterative one multiplies by the whole product. A quantum one prepares every right-hand side and
    step anew; of a Kronecker product it makes the solves coherently, one within the other's preparation, so that the
    condition numbers and subnormalisations multiply and the solution is read out once.

    Args:
        group: the systems.
        estimate: of the worst of them, as one matrix; arrays of numpy or JAX.
        candidates: solvers.
        sets: what a quantum solve is charged for.
        classical: the machine of the classical candidates.
        quantum: the modelled machine.

    Raises:
        KeyError: for a classical candidate that the machine was not calibrated for.
    """
    log_kappa = estimate.log_condition_number
    columns: list[list[Column]] = []
    for candidate in candidates:
        reasons = reasons_of(candidate, estimate, _known(group, candidate, candidates))
        if is_charged(candidate):
            times = float(group.count * group.vectors)
            # A circuit that is carried out has the precision that it was built for.
            asked = state_error_for(group.need, log_kappa, group.power) if candidate.execution == "modelled" else None
            asking = {"times": times, "precision": asked}
            columns.append([quantum_column(candidate, estimate, one, quantum, reasons, **asking) for one in sets])
            continue
        seconds, steps = _classical(group, candidate, estimate, classical, least=False)
        columns.append([settled(reasons, estimate, seconds=seconds, expected_steps=steps)] * len(sets))
    return table(candidates, estimate, columns)


@quiet
def bounds(
    groups: Sequence[Group],
    candidates: Sequence[AbstractSolver],
    sets: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
) -> list[tuple[Offers, np.ndarray]]:
    """Return bounds on every candidate's offer for each group, least and most, before anything is computed.

    Direct solvers ask the same whatever the numbers. An iterative one takes at least one step, a quantum one at least
    its least over all condition numbers, at subnormalisation 1; how much more is not known.

    Args:
        groups: the systems.
        candidates: as of `price_group`, as are the others.
        sets: likewise.
        classical: likewise.
        quantum: likewise.

    Returns:
        Of each group the least, and the most `[sets, candidates]`, infinite where nothing bounds it.
    """
    columns: list[list[list[Column]]] = [[] for _ in groups]
    for candidate in candidates:
        if is_charged(candidate):
            for own, column in zip(columns, _least_quantum(groups, candidate, sets, quantum), strict=True):
                own.append(column)
            continue
        for own, group in zip(columns, groups, strict=True):
            system = nominal(group)
            seconds, steps = _classical(group, candidate, system, classical, least=True)
            known = _known(group, candidate, candidates)
            reasons: Any = [] if known == Refusal.NONE else [(known, np.ones((), bool))]
            own.append([settled(reasons, system, seconds=seconds, expected_steps=steps)] * len(sets))
    exact = np.array([not (is_charged(one) or one.capabilities.iterative) for one in candidates])
    found = []
    for group, own in zip(groups, columns, strict=True):
        least = dataclasses.replace(
            table(candidates, nominal(group), own), log_condition_number=np.full((), np.nan, group.dtype)
        )
        found.append((least, np.where(exact & least.feasible, least.seconds, np.inf)))
    return found


def _least_quantum(
    groups: Sequence[Group], candidate: Charged, sets: Sequence[AbstractAssumptions], machine: QuantumMachine
) -> list[list[Column]]:
    """Return each group's and set's column at the cheapest condition number, all of them at once."""
    need = np.array([group.need for group in groups])[:, None]
    times = np.array([float(group.count * group.vectors) for group in groups])[:, None]
    power = np.array([group.power for group in groups])[:, None]
    asked = state_error_for(need, KAPPAS, power) if candidate.execution == "modelled" else None
    rows, dtypes = [group.rows for group in groups], [group.dtype for group in groups]
    return least_quantum(candidate, rows, dtypes, sets, machine, times=times, precision=asked)


def _known(group: Group, candidate: AbstractSolver, candidates: Sequence[AbstractSolver]) -> Refusal:
    """What is known of a candidate before anything is computed.

    Who squares the root of a fit is refused where that is not resolved and somebody does without.
    """
    without = any(is_least_squares(one) for one in candidates)
    squares = not (is_charged(candidate) or is_least_squares(candidate))
    if group.root_rows and without and squares and not group.resolves_squares:
        return Refusal.SQUARED
    return Refusal.NONE


def nominal(group: Group) -> SystemEstimate:
    """Return a system of that shape with the cheapest numbers: every norm 1, as for the identity."""
    nothing = Cost(0.0, 0.0)
    return nominal_estimate(group.rows, Access(group.product, nothing, nothing, _NO_ROWS), group.dtype)


def _classical(
    group: Group, candidate: AbstractSolver, estimate: SystemEstimate, machine: ClassicalMachine, *, least: bool
) -> tuple[Any, Any]:
    """Seconds in one step, and the iterations of one solve."""
    if group.root_rows and is_least_squares(candidate):
        return _by_root(group, candidate, machine) + 0.0 * estimate.max_entry, 0.0
    squaring = _squaring(group, candidate, machine) if group.root_rows else 0.0
    if candidate.capabilities.matrix_free:
        workload = classical_workload(candidate, estimate)
        log_kappa = estimate.log_condition_number
        factor = steps_factor(candidate.stops_at, residual_for(group.need, log_kappa, group.power), log_kappa)
        steps = 1.0 if least else namespace(factor).maximum(workload.steps * factor, 1.0)
        workload = dataclasses.replace(workload, steps=steps)
        times = group.count * group.vectors
        return times * machine.seconds(workload) + squaring + 0.0 * estimate.max_entry, workload.steps
    parts = direct_seconds(group, candidate, machine)
    seconds = sum(once / group.serves + many for once, many in parts)
    return group.count * seconds + squaring + 0.0 * estimate.max_entry, 0.0


def direct_seconds(group: Group, candidate: AbstractSolver, machine: ClassicalMachine) -> list[tuple[float, float]]:
    """Return a direct solver's seconds for each factor of one system, to set it up and to solve with it in one step."""
    found = []
    for n in group.factors:
        alone = nominal(dataclasses.replace(group, factors=(n,)))
        applied_as = candidate.applied_as if candidate.applied_as in dict(machine.kernels) else None
        once, each = _parts(classical_workload(candidate, alone), applied_as)
        columns = group.vectors * group.rows // n
        itemsize = np.dtype(group.dtype).itemsize
        many = dataclasses.replace(each, flops=each.flops * columns, bytes=each.bytes + 2.0 * columns * n * itemsize)
        found.append((machine.seconds(once), machine.seconds(many)))
    return found


def _by_root(group: Group, candidate: LeastSquares, machine: ClassicalMachine) -> float:
    """Seconds of a candidate that decomposes the root once for all dampings."""
    solver: Any = candidate
    rows, n, itemsize = group.root_rows, group.rows, np.dtype(group.dtype).itemsize
    cost = candidate.decomposing(rows, n, itemsize)
    kernel = classical_workload(solver, nominal(group)).kernel
    applied = solver.applied_as if solver.applied_as in dict(machine.kernels) else kernel
    once = ClassicalWorkload(kernel=kernel, flops=cost.flops, bytes=cost.bytes)
    columns = group.count * group.vectors
    each = ClassicalWorkload(
        kernel=applied,
        flops=columns * (2.0 * rows * n + 4.0 * n**2),
        bytes=(rows * n + columns * (rows + n)) * itemsize,
    )
    return float(machine.seconds(once) + machine.seconds(each))


def _squaring(group: Group, candidate: AbstractSolver, machine: ClassicalMachine) -> float:
    """Seconds of `R^T R`, once for all dampings, and of `R^T u` for each right-hand side."""
    rows, n = group.root_rows, group.rows
    itemsize = np.dtype(group.squared_in or group.dtype).itemsize
    twice = itemsize / np.dtype(group.dtype).itemsize
    own = classical_workload(candidate, nominal(group)).kernel
    kernel = "product" if "product" in dict(machine.kernels) else own
    columns = n + group.count * group.vectors
    work = ClassicalWorkload(
        kernel=kernel, flops=2.0 * rows * n * columns * twice, bytes=(rows * n + n * columns) * itemsize
    )
    return float(machine.seconds(work))


def _parts(workload: ClassicalWorkload, applied_as: str | None) -> tuple[ClassicalWorkload, ClassicalWorkload]:
    """Return the work per system, done once, and the work per right-hand side."""
    kernel, flops, moved = workload.kernel, workload.setup_flops, workload.setup_bytes
    once = ClassicalWorkload(kernel=kernel, flops=flops, bytes=moved)
    each = ClassicalWorkload(kernel=applied_as or kernel, flops=workload.flops - flops, bytes=workload.bytes - moved)
    return once, each
