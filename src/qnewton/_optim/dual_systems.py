"""The two systems of a step of `dual_newton` under its scheduler: `(K + m I) u = b`, or those of a fit."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._pricing.group import Group
from .._pricing.need import DUAL_NEED
from .._scheduling.contests import contests
from .._scheduling.fits import Fit
from .._scheduling.fits import Solve as FitSolve
from .._scheduling.group_plan import PackedPlans
from .._scheduling.hybrid import Hybrid

NAME = "residuals"
"""What the systems are made of."""

Solve = Callable[[Float[Array, "2 rows"]], Float[Array, "2 rows"]]


class Scheduled(NamedTuple):
    """The scheduler of the systems, with its last plan.

    Attributes:
        scheduler: of both.
        before: the plan of the last step, of which a policy with memory sees the choice.
    """

    scheduler: Hybrid
    before: PackedPlans


def opened_pair(
    grams: tuple[Float[Array, "rows rows"], Float[Array, "rows rows"]],
    shifts: Float[Array, "2"],
    vectors: int,
    scheduled: Scheduled,
) -> tuple[PackedPlans, Solve]:
    """Return the plan with the chosen solvers for the two systems, and the solve.

    Args:
        grams: their lower triangles; what stands above has no meaning.
        shifts: `m` of each, positive.
        vectors: right-hand sides of each in a step.
        scheduled: by whom, and what was chosen before.
    """
    rows = grams[0].shape[0]
    group = Group(NAME, (rows,), 2, vectors, dtype=str(grams[0].dtype), power=2, need=DUAL_NEED)
    (solver,) = contests(scheduled.scheduler, [group])
    identity = jnp.eye(rows, dtype=grams[0].dtype)
    systems = []
    for gram, m in zip(grams, shifts, strict=True):
        if solver.reads is None:
            below = jnp.tril(gram, -1)
            gram = jnp.tril(gram) + below.T
        damped = gram + m * identity
        systems.append(damped.T if solver.reads == "upper" else damped)
    plan, solve = solver.opened(systems, shifts, scheduled.before.last_choices(0))
    return PackedPlans.of(scheduled.scheduler, [plan], grams[0].dtype), solve


def opened_fit(
    root: Float[Array, "rows n"],
    dampings: Float[Array, "2"],
    sound: Bool[Array, ""],
    vectors: int,
    scheduled: Scheduled,
    *,
    penalised: bool,
) -> tuple[PackedPlans, FitSolve]:
    """Return the solver of the damped least squares of both dampings if residuals outnumber parameters, and the solve.

    Args:
        root: `R`, in the metric's units.
        dampings: `m` of each, positive.
        sound: whether the steps may be finite; the root is, whatever it says.
        vectors: right-hand sides of each in a step.
        scheduled: by whom, and what was chosen before.
        penalised: whether rows of a penalty are among the root's.
    """
    rows, n = root.shape
    # A narrow root's square is resolved in the wide type; by what a penalty adds to the root nothing is bounded.
    wide = jax.config.read("jax_enable_x64") and root.dtype == jnp.float32 and not penalised
    squared_in = jnp.dtype(jnp.float64 if wide else root.dtype)
    group = Group(
        NAME,
        (n,),
        2,
        vectors,
        dtype=str(root.dtype),
        need=DUAL_NEED,
        root_rows=rows,
        squared_in=str(squared_in),
    )
    (solver,) = contests(scheduled.scheduler, [group])
    plan, solve = Fit(root, dampings, sound, squared_in).opened(solver, scheduled.before.last_choices(0))
    return PackedPlans.of(scheduled.scheduler, [plan], root.dtype), solve


def blank_plans(scheduler: Hybrid, dtype: jnp.dtype) -> PackedPlans:
    """Return plans of no systems, in the structure of those of `opened_pair`."""
    return PackedPlans.blank(scheduler, [NAME], dtype, [(1, 2)])
