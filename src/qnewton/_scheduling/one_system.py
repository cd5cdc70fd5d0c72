"""One system of a group, or many equal ones, on one candidate."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import lineax as lx
from jaxtyping import Array, Float, PyTree

from .._core.arrays import Number
from .._core.costs import Cost
from .._core.records import Access, Kind, Kinds, SystemEstimate
from .._pricing.group import Group
from .._solvers import AbstractSolver
from .._solvers.verified import Care
from .branches import Known, set_up

_UNSCALED = Care(verify=False, scale=False)
_SCALED = Care(verify=False, scale=True)
_KNOWN = Known(True, _UNSCALED)


def states_of(solver: AbstractSolver, stack: Float[Array, "count n n"]) -> object:
    """Return a candidate's state for many equal matrices without further facts, its arrays stacked."""
    if solver.many:
        return solver.init_many(stack, _UNSCALED._asdict())
    return each_of(lambda one: state_of(solver, (one,), None)[0], stack)


def state_of(
    solver: AbstractSolver, factors: tuple[Array, ...], estimates: tuple[SystemEstimate, ...] | None
) -> tuple[object, ...]:
    """Return a candidate's state for one system: the factors themselves if it only multiplies."""
    if solver.capabilities.matrix_free and not solver.capabilities.quantum:
        return factors
    known = [None] * len(factors) if estimates is None else estimates
    return tuple(set_up(solver, one, _KNOWN, estimate) for one, estimate in zip(factors, known, strict=True))


def iterated(
    solver: AbstractSolver, factors: tuple[Array, ...], vectors: Float[Array, "a b"], residual: Number | None
) -> Float[Array, "a b"]:
    """Solve by products alone, to the residual that the step tolerates."""
    options = {} if residual is None else {"rtol": residual}
    if len(factors) == 1:
        like = jax.ShapeDtypeStruct(vectors.shape[:1], vectors.dtype)
        system = lx.FunctionLinearOperator(lambda v: factors[0] @ v, like, lx.positive_semidefinite_tag)
        state = solver.init(system, _SCALED._asdict())
        return jax.vmap(lambda b: solver.compute(state, b, options)[0], in_axes=1, out_axes=1)(vectors)
    left, right = factors

    def product(v: Float[Array, " n"]) -> Float[Array, " n"]:
        return (left @ v.reshape(vectors.shape) @ right).reshape(-1)

    like = jax.ShapeDtypeStruct((vectors.size,), vectors.dtype)
    system = lx.FunctionLinearOperator(product, like, lx.positive_semidefinite_tag)
    state = solver.init(system, _SCALED._asdict())
    return solver.compute(state, vectors.reshape(-1), options)[0].reshape(vectors.shape)


def product_of(group: Group, factors: Sequence[SystemEstimate]) -> SystemEstimate:
    """The numbers of a Kronecker product: norms, entries, degrees and condition numbers multiply."""
    if len(factors) == 1:
        return factors[0]
    first, second = factors
    like = first.max_entry.dtype
    return replace(
        first,
        n=group.rows,
        degree=first.degree * second.degree,
        max_entry=first.max_entry * second.max_entry,
        frobenius_norm=first.frobenius_norm * second.frobenius_norm,
        spectral_norm=first.spectral_norm * second.spectral_norm,
        log_condition_number=first.log_condition_number + second.log_condition_number,
        definite=first.definite & second.definite,
        presumed_definite=first.presumed_definite & second.presumed_definite,
        matvecs=first.matvecs + second.matvecs,
        access=Access.of(group.product, Cost(0.0, 0.0), Cost(0.0, 0.0), 0, like),
        formed_kinds=Kinds.all(Kind.ESTIMATE),
        recurrence=None,
        kind_index=None,
    )


def each_of(function: Callable, given: PyTree[Array]) -> Any:
    """Apply a function to every system in one program.

    On CPUs it is never a batch of factorisations, see `_curvature.roots.factors`.
    """
    if jax.tree.leaves(given)[0].shape[0] == 1:
        alone = function(jax.tree.map(lambda leaf: leaf[0], given))
        return jax.tree.map(lambda leaf: leaf[None], alone)
    if jax.default_backend() != "cpu":
        # An accelerator takes as long for one small system as for hundreds.
        return jax.vmap(function)(given)
    return jax.lax.map(function, given)
