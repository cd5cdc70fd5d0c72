"""Systems of candidates with conditioning of their own: estimates, and their costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._core.costs import Cost, costs_by_kernel, total_of
from .._core.records import ClassicalWorkload, System, SystemEstimate
from .._core.status import Refusal
from .._estimation import AbstractEstimator
from .._hardware import ClassicalMachine, QuantumMachine
from .._pricing.assumptions import AbstractAssumptions
from .._pricing.least import least_of
from .._pricing.policies import AbstractPolicy
from .._pricing.price import Own, forming, price
from .._solvers import AbstractSolver
from .conditioned import Conditioned
from .plan import OwnSystem

KERNEL = "forming"
"""Whose times conditioning and estimates are predicted with, but for factorisations: passes over a matrix, products."""


@dataclass(frozen=True)
class Setting:
    """Inputs of prices besides the system; as in `Hybrid`.

    Attributes:
        solvers: the candidates.
        estimator: of their systems.
        sets: what a quantum solve is charged for.
        classical: the machine of classical work.
        quantum: the modelled machine.
        policy: that chooses.
        solves: right-hand sides that one set-up serves.
    """

    solvers: tuple[AbstractSolver, ...]
    estimator: AbstractEstimator
    sets: tuple[AbstractAssumptions, ...]
    classical: ClassicalMachine
    quantum: QuantumMachine
    policy: AbstractPolicy
    solves: int


def own_workload(cost: Cost, kernel: str = "") -> ClassicalWorkload:
    """Return the workload by which conditioning or an estimate is predicted.

    Args:
        cost: of what one kernel does.
        kernel: as of `costs_by_kernel`; empty: `KERNEL`.
    """
    return ClassicalWorkload(kernel=kernel or KERNEL, flops=cost.flops, bytes=cost.bytes)


def _seconds(costs: Mapping[str, Cost], machine: ClassicalMachine) -> float:
    """Predicted: factorisations by their own kernels, where the machine knows them."""
    known, found = dict(machine.kernels), {"": Cost(0.0, 0.0)}
    for kernel, cost in costs.items():
        whose = kernel if kernel in known else ""
        found[whose] = found.get(whose, Cost(0.0, 0.0)) + cost
    return float(sum(machine.seconds(own_workload(cost, kernel)) for kernel, cost in found.items()))


def own_systems(
    setting: Setting,
    system: System,
    estimate: SystemEstimate,
    refusals: Sequence[Refusal],
    factors: Float[Array, " candidates"] | None,
) -> tuple[tuple[OwnSystem, ...], dict[int, Own]]:
    """Return the own system of every candidate with its own conditioning, with its numbers for pricing.

    An estimate is made, in a branch of its own, if the candidate could win under one of the sets: if its least cost
    over all condition numbers, conditioning and estimate included, is no more than that of the classical candidates
    that solve the system as it is. A policy that may pass over a classical candidate for being slow, or that stays with
    a slower one, has all of them estimated.

    Args:
        setting: with the candidates.
        system: that the others solve.
        estimate: of that.
        refusals: per candidate, what is known without computing anything.
        factors: per candidate, observed iterations over expected ones.
    """
    places = [i for i, solver in enumerate(setting.solvers) if isinstance(solver, Conditioned)]
    if not places:
        return (), {}
    best = _best_classical(setting, estimate, refusals, factors, formed=system.is_formed)
    found = [_own_system(setting, i, system, estimate, refusals[i], best) for i in places]
    return tuple(one for one, _ in found), {one.place: own for one, own in found}


def _own_system(
    setting: Setting,
    place: int,
    system: System,
    estimate: SystemEstimate,
    refusal: Refusal,
    best: Float[Array, " sets"],
) -> tuple[OwnSystem, Own]:
    solver, dtype = setting.solvers[place], system.like.dtype
    assert isinstance(solver, Conditioned)
    sets, classical, quantum = setting.sets, setting.classical, setting.quantum
    formed = eqx.filter_eval_shape(lambda: system.formed())
    none = Cost(0.0, 0.0)
    conditioning: dict[str, Cost] = {"": none}
    estimation: dict[str, Cost] = {"": none}
    shaping, could = 0.0, jnp.zeros((), bool)
    least = least_of(solver, system.like.shape[0], str(dtype), sets, classical, quantum, setting.solves)
    if refusal == Refusal.NONE:
        # Twice: once to estimate, once to solve.
        conditioning = {kernel: cost * 2.0 for kernel, cost in solver.conditioning_costs(formed).items()}
        estimation = costs_by_kernel(setting.estimator, eqx.filter_eval_shape(solver.conditioned, formed))
        shaping = 0.0 if system.is_formed else 2.0 * classical.seconds(forming(estimate))
    conditioning_seconds = _seconds(conditioning, classical) + shaping
    estimation_seconds = _seconds(estimation, classical)
    paid = conditioning_seconds + estimation_seconds
    if refusal == Refusal.NONE:
        floor = jnp.asarray(np.stack([column["seconds"] for column in least]), dtype)
        wins = jnp.any(floor + paid / setting.solves <= best)
        could = jnp.ones((), bool) if solver.always or not setting.policy.takes_fastest else wins
        found = _estimated_where(could, setting.estimator, solver, system)
    else:
        found = _placeholder(eqx.filter_eval_shape(setting.estimator, formed))
    without = price(
        estimate,
        [solver.inner],
        sets,
        classical,
        quantum,
        refusals=[refusal],
        formed=system.is_formed,
        solves=setting.solves,
    )
    own = OwnSystem(
        place=place,
        estimate=found,
        estimated=could,
        conditioning=jax.tree.map(lambda number: jnp.asarray(number, dtype), total_of(conditioning)),
        estimation=jax.tree.map(lambda number: jnp.asarray(number, dtype), total_of(estimation)),
        conditioning_seconds=jnp.asarray(conditioning_seconds, dtype),
        estimation_seconds=jnp.asarray(estimation_seconds, dtype),
        without=without,
    )
    return own, Own(found, paid, could, least)


def _estimated_where(
    could: Bool[Array, ""], estimator: AbstractEstimator, solver: Conditioned, system: System
) -> SystemEstimate:
    """Return the estimate of the conditioned system, in a branch: no other candidate waits for it."""

    def estimated() -> SystemEstimate:
        # Closed over: an operator of functions that are being traced cannot be an operand.
        return estimator(solver.conditioned(system))

    shapes = eqx.filter_eval_shape(estimated)
    arrays = jax.lax.cond(
        could,
        lambda: eqx.filter(estimated(), eqx.is_array),
        lambda: eqx.filter(_placeholder(shapes), eqx.is_array),
    )
    return eqx.combine(arrays, eqx.filter(shapes, _is_shape, inverse=True))


def _placeholder(shapes: SystemEstimate) -> SystemEstimate:
    """Return numbers for which every formula computes: all are 1, the condition number too."""
    filled = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype) if _is_shape(leaf) else leaf, shapes)
    log = filled.log_condition_number
    return eqx.tree_at(lambda e: e.log_condition_number, filled, jnp.zeros_like(log))


def _is_shape(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _best_classical(
    setting: Setting,
    estimate: SystemEstimate,
    refusals: Sequence[Refusal],
    factors: Float[Array, " candidates"] | None,
    *,
    formed: bool,
) -> Float[Array, " sets"]:
    """Return, under each set, the least offer of the classical candidates for the unconditioned system.

    It is infinite if there is none.
    """
    rivals = [
        i
        for i, solver in enumerate(setting.solvers)
        if not (isinstance(solver, Conditioned) or solver.capabilities.quantum)
    ]
    if not rivals:
        return jnp.full(len(setting.sets), jnp.inf, estimate.max_entry.dtype)
    offers = price(
        estimate,
        [setting.solvers[i] for i in rivals],
        setting.sets,
        setting.classical,
        setting.quantum,
        refusals=[refusals[i] for i in rivals],
        formed=formed,
        factors=None if factors is None else factors[np.array(rivals)],
        solves=setting.solves,
    )
    return jnp.min(jnp.where(offers.able, offers.seconds, jnp.inf), axis=-1)
