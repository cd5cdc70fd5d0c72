"""Choice of a block's solver by shapes while a step is traced, before the solve and at no cost in the step."""

import math
from dataclasses import replace
from typing import Any

import equinox as eqx
import numpy as np

from .._core.costs import Cost, cost_of
from .._core.memory import available_bytes, checks_suspended
from .._core.operators import block_of
from .._core.records import Access, ClassicalWorkload, System, SystemEstimate
from .._core.status import Refusal, Verdict
from .._devices.crew import EVERYONE
from .._hardware import ClassicalMachine
from .._pricing.columns import Column, settled, table
from .._pricing.least import KAPPAS, least_quantum
from .._pricing.need import NEED, state_error_for
from .._pricing.nominal import nominal_estimate
from .._pricing.offers import Offers
from .._pricing.policies.base import NONE_YET
from .._pricing.price import classical_workload
from .._solvers import AbstractSolver
from .._solvers.base import is_charged
from .calibration import agreed, rated_once
from .group_plan import GroupPlan
from .hybrid import Hybrid

COPIES = 4
"""Matrices that a candidate which forms the block has in memory at the least: the block, damped, factored, a copy."""


def block_name(n: int) -> str:
    """Return the name of a block's group in `info.systems`."""
    return f"block of {n} parameters"


def expected_iterations(n: int) -> float:
    """Iterations that conjugate gradients are expected to take to a residual of 0.1 on a block of a training.

    The root of the rows. Where damping is a half of the largest entry, the condition number is at most `1 + 2 n`, of
    whose root the Chebyshev bound is a multiple. Medians of 30 steps of a small network with batch normalisation were
    13, 25, 30 and 50 at 112, 420, 1,200 and 2,760 rows (measured, one seed, docs/one-newton.md).
    """
    return max(1.0, math.sqrt(n))


def by_shape(scheduler: Hybrid, system: System) -> tuple[AbstractSolver, GroupPlan]:
    """The candidate that solves a block, and the record of why.

    No number is looked at. A direct candidate pays for forming the block, an iterative one `expected_iterations`
    products with it, and a quantum one the least over all condition numbers.

    Args:
        scheduler: candidates, machines and assumption sets.
        system: of curvature, not conditioned; traced arrays serve.
    """
    like = system.like
    n, dtype = like.shape[0], str(like.dtype)
    machine = _machine(scheduler, dtype)
    no_rows: Any = np.zeros((), int)
    access = Access(_product(system), Cost(0.0, 0.0), Cost(0.0, 0.0), no_rows)
    nominal = nominal_estimate(n, access, dtype)
    alone = {
        i: _solving(one, system, machine, nominal) for i, one in enumerate(scheduler.solvers) if not is_charged(one)
    }
    free = any(one.capabilities.matrix_free for one in scheduler.solvers)
    fits = checks_suspended() or COPIES * n**2 * like.dtype.itemsize <= available_bytes()
    # As many products as rows, which is how a block without layers is formed. To trace that would take as long as to
    # trace the step.
    flops, moved = n * access.product.flops, n * access.product.bytes
    forming = machine.seconds(ClassicalWorkload("forming", flops, moved)) if free and not system.is_formed else 0.0
    columns: list[list[Column]] = []
    for i, one in enumerate(scheduler.solvers):
        if is_charged(one):
            asked = state_error_for(NEED, KAPPAS[None]) if one.execution == "modelled" else None
            sets, machines = scheduler.assumptions, scheduler.quantum
            columns.append(least_quantum(one, [n], [dtype], sets, machines, precision=asked)[0])
            continue
        needs = one.capabilities
        seconds = alone[i] if needs.matrix_free else alone[i] + forming
        reasons: Any = []
        if needs.needs_definite and system.eigenvalue_floor is None:
            reasons.append((Refusal.NOT_DEFINITE, np.ones((), bool)))
        if not (needs.matrix_free or fits) and free:
            reasons.append((Refusal.NO_MEMORY, np.ones((), bool)))
        steps = expected_iterations(n) if needs.iterative else 0.0
        own = settled(reasons, nominal, seconds=seconds + 0.0 * nominal.max_entry, expected_steps=steps)
        columns.append([own] * len(scheduler.assumptions))
    offers = table(scheduler.solvers, nominal, columns)
    offers = replace(offers, log_condition_number=np.full((), np.nan, dtype))
    sure = np.where(np.asarray(offers.feasible) & ~np.array(offers.quantum), offers.seconds, np.inf)
    return scheduler.solvers[int(np.argmin(sure[0]))], _plan(n, offers, sure)


def _plan(n: int, offers: Offers, sure: np.ndarray) -> GroupPlan:
    """The surest candidate acts; under a recorded set it is left open where a quantum one might undercut it."""
    best = np.argmin(sure, axis=1)
    least = np.asarray(offers.seconds)
    most = np.take_along_axis(sure, best[:, None], axis=1)
    feasible = np.asarray(offers.feasible)
    rival = (least < most) & feasible
    choice = np.where(np.any(rival, axis=1), NONE_YET, best).astype(np.int32)
    choice[0] = best[0]
    # Of the others it is known that they take longer; the acting set compares classical candidates alone.
    beaten = feasible & ~rival & (np.arange(len(offers.names)) != best[:, None])
    beaten[0] = feasible[0] & (np.arange(len(offers.names)) != best[0])
    refusal = np.where(beaten, Refusal.UNDERCUT, np.asarray(offers.refusal)).astype(np.int32)
    fields: Any = {"refusal": refusal, "feasible": refusal == Refusal.NONE}
    verdict = np.full(len(sure), Verdict.CHOSEN, np.int32)
    size = np.array([n, 1, 1, 1], np.int32)
    none = np.full((), np.nan, offers.log_condition_number.dtype)
    owners = np.full((1, 1), EVERYONE, np.int32)
    return GroupPlan(block_name(n), size, replace(offers, **fields), choice, verdict, np.zeros((), bool), owners, none)


def _solving(solver: AbstractSolver, system: System, machine: ClassicalMachine, nominal: SystemEstimate) -> float:
    """Predicted seconds of a classical candidate once it has what it needs of the block."""
    workload = classical_workload(solver, nominal)
    if solver.capabilities.iterative:
        workload = replace(workload, steps=expected_iterations(nominal.n))
    return float(machine.seconds(workload, formed=system.is_formed or not solver.capabilities.matrix_free))


def _product(system: System) -> Cost:
    like = system.like
    if system.is_formed or block_of(system.operator) is None:
        n = like.shape[0]
        return Cost(2.0 * n**2, 1.0 * n**2 * like.dtype.itemsize)
    arrays, rest = eqx.partition(system.operator, eqx.is_array)
    return cost_of(lambda arrays, vector: eqx.combine(arrays, rest).mv(vector), arrays, like)


def _machine(scheduler: Hybrid, dtype: str) -> ClassicalMachine:
    if scheduler.classical is not None:
        return agreed(scheduler.classical, scheduler.solvers)
    return rated_once(scheduler.solvers, dtype, probe=False)
