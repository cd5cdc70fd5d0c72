"""What a system would cost on every candidate, and the choice: the record between estimation and the solve."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.records import ClassicalWorkload, Encoding, SystemEstimate
from ..core.status import Refusal, Verdict
from ..hardware import ClassicalMachine, QuantumMachine
from ..pricing.assumptions import AbstractAssumptions
from ..pricing.clock import Clock
from ..pricing.policies import AbstractPolicy, Offers, Turn
from ..solvers import AbstractSolver
from ..solvers.krylov.base import AbstractKrylov
from .candidates import charged_for, quantum_part

NO_ENCODING = Encoding(condition_number=1.0, subnormalisation=1.0)


class Plan(eqx.Module):
    """Predictions and choice for one system, under every assumption set (rows) and for every candidate (columns).

    Attributes:
        estimate: the numbers they rest on.
        predicted_seconds: calibrated for classical candidates, modelled for quantum ones; infinite where refused.
        fixed_seconds: the part of a quantum candidate's that no quantum clock scales; 0 for classical candidates.
        feasible: whether the candidate can take the system.
        refusal: a `Refusal`, why it cannot, or why the policy passed it over.
        queries: expected block-encoding queries of one run; 0 for classical candidates.
        copies: runs that the read-out takes; 1 where it is free, 0 for classical candidates.
        success_probability: of one repetition; 1 for classical candidates.
        expected_steps: of each candidate, iterations that its prediction rests on, observed counts included; 0 where it
            does not iterate.
        clamped: whether the condition number lay below the range of the query formula and was raised to its lower end.
        choice: column chosen under each set.
        verdict: a `Verdict` on each; where it is `NOBODY`, nothing can solve the system under that set.
        second: another estimator's numbers, `Hybrid.second`, which nothing rests on; None where there is none.
    """

    estimate: SystemEstimate
    predicted_seconds: Float[Array, "sets candidates"]
    fixed_seconds: Float[Array, "sets candidates"]
    feasible: Bool[Array, "sets candidates"]
    refusal: Int[Array, "sets candidates"]
    queries: Float[Array, "sets candidates"]
    copies: Float[Array, "sets candidates"]
    success_probability: Float[Array, "sets candidates"]
    expected_steps: Float[Array, " candidates"]
    clamped: Bool[Array, "sets candidates"]
    choice: Int[Array, " sets"]
    verdict: Int[Array, " sets"]
    second: SystemEstimate | None = None

    def complaint(self, names: Sequence[str], row: int = 0) -> str:
        """In words, on the host: what each candidate broke where nobody could be chosen; empty where somebody was.

        Args:
            names: of the candidates, `Hybrid.names`.
            row: which assumption set.
        """
        if int(self.verdict[row]) != Verdict.NOBODY:
            return ""
        broken = "; ".join(
            f"{name}: {Refusal(int(code)).reason}" for name, code in zip(names, self.refusal[row], strict=True)
        )
        return f"nobody can take the system of {self.estimate.n} rows. {broken}"


class Executed(eqx.Module):
    """What the circuits of an emulated candidate did; nothing, and 1, for any other.

    Attributes:
        queries: of the block encoding, copies and repetitions included.
        success_probability: of one application.
        outcome: an `Outcome` of the solvers, which has the remedy.
    """

    queries: Float[Array, ""]
    success_probability: Float[Array, ""]
    outcome: Int[Array, ""]


def make_plan(
    estimate: SystemEstimate,
    solvers: Sequence[AbstractSolver],
    assumptions: Sequence[AbstractAssumptions],
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    policy: AbstractPolicy,
    *,
    refusals: Sequence[Refusal],
    formed: bool,
    turn: Turn,
    solves: int = 1,
    second: SystemEstimate | None = None,
) -> Plan:
    """Predict every candidate under every assumption set, and choose.

    Args:
        estimate: the system's numbers.
        solvers: the candidates.
        assumptions: the sets.
        classical: the calibrated machine.
        quantum: the modelled machine.
        policy: how predictions become a choice.
        refusals: per candidate, what is known without computing anything.
        formed: whether the matrix is at hand. Where it is not, classical candidates that need it are charged for
            forming it; quantum ones for what the assumption set charges them for.
        turn: the system's place in the training.
        solves: right-hand sides that one set-up serves.
        second: another estimator's numbers, to be kept beside.
    """
    rows = [
        predict(estimate, solvers, assumed, classical, quantum, refusals, formed, turn.factors, solves)
        for assumed in assumptions
    ]
    seconds, fixed, refusal, queries, copies, success, clamped, steps = (jnp.stack(c) for c in zip(*rows, strict=True))
    feasible = refusal == Refusal.NONE
    names = tuple(solver.name for solver in solvers)
    # Whoever runs as somebody else at some fidelity has a machine of his own.
    modelled = tuple(solver.fidelity is not None for solver in solvers)
    choices = [
        policy.choose(Offers(names, modelled, s, f, estimate.log_condition_number), turn.under(row))
        for row, (s, f) in enumerate(zip(seconds, feasible, strict=True))
    ]
    passed_over = jnp.stack([choice.refusal for choice in choices])
    return Plan(
        estimate,
        seconds,
        fixed,
        feasible,
        jnp.where(feasible, passed_over, refusal),
        queries,
        copies,
        success,
        steps[0],
        clamped,
        choice=jnp.stack([choice.index for choice in choices]),
        verdict=jnp.stack([choice.verdict for choice in choices]),
        second=second,
    )


def predict(
    estimate: SystemEstimate,
    solvers: Sequence[AbstractSolver],
    assumed: AbstractAssumptions,
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    refusals: Sequence[Refusal],
    formed: bool,
    factors: Float[Array, " candidates"] | None = None,
    solves: int = 1,
) -> tuple[Array, ...]:
    """One row of a `Plan` before anybody chooses; arguments as of `make_plan`, `factors` as in `Turn`.

    Returns:
        `[candidates]` each: seconds, the part of them that no quantum clock scales, refusal, queries, copies, success
        probability, whether the condition number was clamped, and the expected steps.
    """
    dtype = estimate.max_entry.dtype
    finite = jnp.isfinite(estimate.frobenius_norm)
    columns = []
    for i, (solver, known) in enumerate(zip(solvers, refusals, strict=True)):
        steps: Any = 0.0
        # The first that holds is the reason.
        reasons = [(Refusal.NOT_FINITE, ~finite), *([] if known == Refusal.NONE else [(known, jnp.asarray(True))])]
        if solver.needs_definite:
            definite = estimate.presumed_definite if solver.notices_indefinite else estimate.definite
            reasons.append((Refusal.NOT_DEFINITE, ~definite))
        quantum_side = quantum_part(solver)
        if quantum_side is not None:
            built_for = charged_for(solver, estimate)
            charge = assumed.charge(quantum_side[0], built_for, quantum_side[1], Clock.of(quantum))
            numbers = charge.seconds, charge.fixed_seconds, charge.queries, charge.copies, charge.success_probability
            clamped = charge.clamped
            reasons.append((Refusal.NO_CONDITION_NUMBER, ~jnp.isfinite(jnp.exp(built_for.log_condition_number))))
            reasons.append((Refusal.OUT_OF_RANGE, ~charge.valid))
        else:
            workload = solver.workload(estimate, NO_ENCODING)
            if not isinstance(workload, ClassicalWorkload):
                raise TypeError(
                    f"{solver.name} states a {type(workload).__name__} and calls itself classical: subclass "
                    "qnewton.AbstractQuantumSolver, or state a ClassicalWorkload"
                )
            if isinstance(solver, AbstractKrylov):
                corrected = workload.steps if factors is None else jnp.maximum(workload.steps * factors[i], 1)
                workload = dataclasses.replace(workload, steps=corrected)
            steps = workload.steps
            seconds = classical.seconds(workload.amortised(solves), formed=formed)
            if not (formed or solver.matrix_free):
                seconds = seconds + classical.seconds(forming(estimate)) / solves
            numbers, clamped = (seconds, 0.0, 0.0, 0.0, 1.0), False
        reasons.append((Refusal.NO_PREDICTION, ~jnp.isfinite(numbers[0])))
        # Not `jnp.select`, which looks for the first by a reduction: a kernel each, where all of this is one.
        refusal = jnp.int32(Refusal.NONE)
        for code, holds in reversed(reasons):
            refusal = jnp.where(holds, jnp.int32(code), refusal)
        seconds, *others = (jnp.asarray(number, dtype) for number in numbers)
        seconds = jnp.where(refusal == Refusal.NONE, seconds, jnp.inf)
        reached = jnp.asarray(steps, dtype)
        columns.append((seconds, others[0], refusal, *others[1:], jnp.asarray(clamped, bool), reached))
    return tuple(jnp.stack(column) for column in zip(*columns, strict=True))


def forming(estimate: SystemEstimate) -> ClassicalWorkload:
    """Forming the matrix of a system that is not: what a classical candidate that needs it pays besides its own."""
    cost = estimate.access.forming
    return ClassicalWorkload(kernel="forming", flops=cost.flops, bytes=cost.bytes)
