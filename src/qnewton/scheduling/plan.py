"""What a system would cost on every candidate, and the choice: the record between estimation and the solve."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.records import ClassicalWorkload, SystemEstimate
from ..core.status import Refusal, Verdict
from ..hardware import AbstractAssumptions, ClassicalMachine, QuantumMachine
from ..solvers import AbstractSolver
from .policies import AbstractPolicy, Offers, Turn


class Plan(eqx.Module):
    """Predictions and choice for one system, under every assumption set (rows) and for every candidate (columns).

    Attributes:
        estimate: the numbers they rest on.
        predicted_seconds: calibrated for classical candidates, modelled for quantum ones; infinite where refused.
        feasible: whether the candidate can take the system.
        refusal: a `Refusal`, why it cannot, or why the policy passed it over.
        queries: expected block-encoding queries; 0 for classical candidates.
        success_probability: of one repetition; 1 for classical candidates.
        clamped: whether the condition number lay below the range of the query formula and was raised to its lower end.
        choice: column chosen under each set.
        verdict: a `Verdict` on each; where it is `NOBODY`, nothing can solve the system under that set.
    """

    estimate: SystemEstimate
    predicted_seconds: Float[Array, "sets candidates"]
    feasible: Bool[Array, "sets candidates"]
    refusal: Int[Array, "sets candidates"]
    queries: Float[Array, "sets candidates"]
    success_probability: Float[Array, "sets candidates"]
    clamped: Bool[Array, "sets candidates"]
    choice: Int[Array, " sets"]
    verdict: Int[Array, " sets"]

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
    """
    rows = [_predict(estimate, solvers, assumed, classical, quantum, refusals, formed) for assumed in assumptions]
    seconds, refusal, queries, success, clamped = (jnp.stack(column) for column in zip(*rows, strict=True))
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
        feasible,
        jnp.where(feasible, passed_over, refusal),
        queries,
        success,
        clamped,
        choice=jnp.stack([choice.index for choice in choices]),
        verdict=jnp.stack([choice.verdict for choice in choices]),
    )


def _predict(
    estimate: SystemEstimate,
    solvers: Sequence[AbstractSolver],
    assumed: AbstractAssumptions,
    classical: ClassicalMachine,
    quantum: QuantumMachine,
    refusals: Sequence[Refusal],
    formed: bool,
) -> tuple[Array, ...]:
    dtype = estimate.max_entry.dtype
    finite = jnp.isfinite(estimate.frobenius_norm)
    columns = []
    for solver, known in zip(solvers, refusals, strict=True):
        workload = solver.workload(estimate, assumed.encode(estimate))
        # The first that holds is the reason.
        reasons = [(Refusal.NOT_FINITE, ~finite), (known, known != Refusal.NONE)]
        if solver.needs_definite:
            reasons.append((Refusal.NOT_DEFINITE, ~estimate.definite))
        if isinstance(workload, ClassicalWorkload):
            seconds, queries, success, clamped = classical.seconds(workload), 0.0, 1.0, False
            if not (formed or solver.matrix_free):
                seconds = seconds + classical.seconds(forming(estimate))
        else:
            seconds = assumed.seconds(workload, quantum)
            queries, success, clamped = workload.queries, workload.success_probability, workload.clamped
            reasons.append((Refusal.NO_CONDITION_NUMBER, ~jnp.isfinite(estimate.condition_number)))
            reasons.append((Refusal.OUT_OF_RANGE, ~workload.valid))
        reasons.append((Refusal.NO_PREDICTION, ~jnp.isfinite(seconds)))
        codes, holds = zip(*reasons, strict=True)
        refusal = jnp.select([jnp.asarray(h) for h in holds], [jnp.int32(c) for c in codes], jnp.int32(Refusal.NONE))
        columns.append((jnp.where(refusal == Refusal.NONE, seconds, jnp.inf), refusal, queries, success, clamped))
    seconds, refusal, queries, success, clamped = zip(*columns, strict=True)
    return (
        jnp.stack([jnp.asarray(s, dtype) for s in seconds]),
        jnp.stack(refusal),
        jnp.stack([jnp.asarray(q, dtype) for q in queries]),
        jnp.stack([jnp.asarray(p, dtype) for p in success]),
        jnp.stack([jnp.asarray(c, bool) for c in clamped]),
    )


def forming(estimate: SystemEstimate) -> ClassicalWorkload:
    """Forming the matrix of a system that is not: what a classical candidate that needs it pays besides its own."""
    cost = estimate.access.forming
    return ClassicalWorkload(kernel="forming", flops=cost.flops, bytes=cost.bytes)
