"""What a system would cost on every candidate, and the choice: the record between estimation and the solve."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.records import ClassicalWorkload, SystemEstimate
from ..hardware import AbstractAssumptions, ClassicalMachine, QuantumMachine
from ..solvers import AbstractSolver
from .policy import AbstractPolicy


class Plan(eqx.Module):
    """Predictions and choice for one system, under every assumption set (rows) and for every candidate (columns).

    Attributes:
        estimate: the numbers they rest on.
        predicted_seconds: calibrated for classical candidates, modelled for quantum ones; infinite where refused.
        feasible: whether the candidate can take the system.
        queries: expected block-encoding queries; 0 for classical candidates.
        success_probability: of one repetition; 1 for classical candidates.
        clamped: whether the condition number lay below the range of the query formula and was raised to its lower end.
        choice: column chosen under each set.
    """

    estimate: SystemEstimate
    predicted_seconds: Float[Array, "sets candidates"]
    feasible: Bool[Array, "sets candidates"]
    queries: Float[Array, "sets candidates"]
    success_probability: Float[Array, "sets candidates"]
    clamped: Bool[Array, "sets candidates"]
    choice: Int[Array, " sets"]


def make_plan(
    estimate: SystemEstimate,
    solvers: Sequence[AbstractSolver],
    assumptions: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    policy: AbstractPolicy,
    *,
    symmetric: bool,
) -> Plan:
    """Predict every candidate under every assumption set, and choose.

    `symmetric` says whether the system's matrix is: those that need it are refused the others.
    """
    rows = [_predict(estimate, solvers, assumed, classical, quantum, symmetric) for assumed in assumptions]
    seconds, feasible, queries, success, clamped = (jnp.stack(column) for column in zip(*rows, strict=True))
    choice = jnp.stack([policy.choose(s, f) for s, f in zip(seconds, feasible, strict=True)])
    return Plan(estimate, seconds, feasible, queries, success, clamped, choice)


def _predict(
    estimate: SystemEstimate,
    solvers: Sequence[AbstractSolver],
    assumed: AbstractAssumptions,
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    symmetric: bool,
) -> tuple[Array, ...]:
    dtype = estimate.max_entry.dtype
    finite = jnp.isfinite(estimate.frobenius_norm)
    columns = []
    for solver in solvers:
        workload = solver.workload(estimate, assumed.encode(estimate))
        able = finite & estimate.definite if solver.needs_definite else finite
        able = able & (symmetric or not solver.needs_symmetric)
        if isinstance(workload, ClassicalWorkload):
            seconds, queries, success, clamped = classical.seconds(workload), 0.0, 1.0, False
        else:
            seconds = assumed.seconds(workload, quantum)
            queries, success, clamped = workload.queries, workload.success_probability, workload.clamped
            able = able & workload.valid
        columns.append((jnp.where(able, seconds, jnp.inf), able, queries, success, clamped))
    seconds, feasible, queries, success, clamped = zip(*columns, strict=True)
    return (
        jnp.stack([jnp.asarray(s, dtype) for s in seconds]),
        jnp.stack(feasible),
        jnp.stack([jnp.asarray(q, dtype) for q in queries]),
        jnp.stack([jnp.asarray(p, dtype) for p in success]),
        jnp.stack([jnp.asarray(c, bool) for c in clamped]),
    )
