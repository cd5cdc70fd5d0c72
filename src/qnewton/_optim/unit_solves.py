"""Systems `(F_u + lambda_u I) x = v` of the units: set up by the scheduler's choice, solved in every step."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.arrays import filled
from .._core.status import Status
from .._core.traces import trace
from .._pricing.group import Group
from .._scheduling.contests import contests
from .._scheduling.group_plan import PackedPlans
from .._scheduling.groups import GroupSolver, GroupState
from .._scheduling.hybrid import Hybrid
from .._scheduling.together import set_up_all, solve_all

UNSEEN = 1e-4
"""Damping in units of the tensor's mean curvature: bounds the steps of units that hardly any gradient reached."""


class UnitSolves(eqx.Module):
    """Solver states for the steps until the next refresh, per group the units of its tensors in order.

    Attributes:
        groups: units of equal size, set up together.
        scales: `s_u = (1 + damping) sqrt(t_u)` of every unit of each group.
        reciprocals: `1 / (t_u + lambda_u)`, which stands in for the solution of a unit that is not solved.
        status: a `Status` per tensor, as far as the blocks tell.
    """

    groups: tuple[GroupState, ...]
    scales: tuple[Float[Array, " count"], ...]
    reciprocals: tuple[Float[Array, " count"], ...]
    status: Int[Array, " tensors"]


@dataclass(frozen=True)
class UnitSystems:
    """Operators `s_u (F_u + lambda_u I)^-1` for every unit u: a Newton direction in units of parameters.

    With `t_u = tr F_u / d` the mean square of an entry of a gradient, `lambda_u = damping t_u` (plus a trace of the
    tensor's mean) and `s_u = (1 + damping) sqrt(t_u)`: applied to a gradient it does not change with the scale of the
    loss, where `F^-1` alone lets steps grow like 1/|g|. For a multiple of the identity it divides by `sqrt(t_u)`.

    The units of one size, those of all tensors together, are a group of equal systems with one choice among them.

    Attributes:
        units: how many of what size each tensor has, as `unit_fisher.units_of` has them.
        scheduler: of all the systems.
        solvers: of the groups.
        members: of each group, its tensors.
        damping: relative to each block's mean diagonal entry, positive.
    """

    units: tuple[tuple[int, int], ...]
    scheduler: Hybrid
    solvers: tuple[GroupSolver, ...]
    members: tuple[tuple[int, ...], ...]
    damping: float

    @classmethod
    def of(
        cls, units: Sequence[tuple[int, int]], scheduler: Hybrid, serves: int, dtype: jnp.dtype, damping: float
    ) -> "UnitSystems":
        """Return the systems with the candidates for each unit.

        Args:
            units: of each tensor.
            scheduler: of all of them.
            serves: steps from one refresh to the next.
            dtype: of the blocks; what is narrower than single precision is solved in it.
            damping: relative to each block's mean diagonal entry, positive.
        """
        dtype = jnp.promote_types(dtype, jnp.float32)
        sizes = sorted({size for _, size in units})
        members = tuple(tuple(k for k, (_, size) in enumerate(units) if size == own) for own in sizes)
        groups = [
            Group(f"units of {size}", (size,), sum(units[k][0] for k in own), serves=serves, dtype=str(dtype))
            for size, own in zip(sizes, members, strict=True)
        ]
        return cls(tuple(units), scheduler, tuple(contests(scheduler, groups)), members, damping)

    def set_up(
        self, moments: Sequence[Float[Array, "units d d"]], before: PackedPlans | None = None
    ) -> tuple[UnitSolves, PackedPlans]:
        """Damp, choose solvers, set up and record.

        Args:
            moments: the blocks of each tensor.
            before: the plans of the last refresh; None before the first.
        """
        moments = [moment.astype(jnp.promote_types(moment.dtype, jnp.float32)) for moment in moments]
        given, scales, reciprocals = [], [], []
        for own in self.members:
            eye = jnp.eye(moments[own[0]].shape[1], dtype=moments[0].dtype)
            parts = [_shift(moments[k], self.damping) for k in own]
            blocks = [moments[k] + shift[:, None, None] * eye for k, (_, shift) in zip(own, parts, strict=True)]
            mean, shift = (jnp.concatenate(part) for part in zip(*parts, strict=True))
            given.append(((jnp.concatenate(blocks),), (shift,)))
            scales.append((1 + self.damping) * jnp.sqrt(mean))
            reciprocals.append(1 / (mean + shift))
        groups, plans = set_up_all(self.solvers, given, before)
        good = self._by_tensor([group.sound for group in groups])
        status = jnp.stack([_told(jnp.int32(Status.OK), one) for one in good])
        solves = UnitSolves(tuple(groups), tuple(scales), tuple(reciprocals), status)
        return solves, PackedPlans.of(self.scheduler, plans, scales[0].dtype)

    def blank(self, moments: Sequence[Float[Array, "units d d"]]) -> tuple[UnitSolves, PackedPlans]:
        """Zeros in the shapes of `set_up(moments)`."""
        shapes = eqx.filter_eval_shape(self.set_up, moments)
        return jax.tree.map(lambda leaf: filled(leaf.shape, 0, leaf.dtype), shapes)

    def solve(
        self, solves: UnitSolves, leaves: Sequence[Array], bound: float
    ) -> tuple[list[Array], Int[Array, " tensors"]]:
        """The direction of every tensor, from its gradient, and a `Status` of each.

        Args:
            solves: as set up.
            leaves: the gradient.
            bound: largest root mean square over the entries of a unit; longer ones are shortened.
        """
        found, good = [], []
        vectors = [
            jnp.concatenate([leaves[k].reshape(self.units[k]) for k in own])[:, :, None].astype(scale.dtype)
            for own, scale in zip(self.members, solves.scales, strict=True)
        ]
        # What is not solved comes back as it went in.
        each = solve_all(self.solvers, solves.groups, vectors)
        for (solved, fine), scale, reciprocal in zip(each, solves.scales, solves.reciprocals, strict=True):
            direction = solved[:, :, 0] * (scale * jnp.where(fine, 1, reciprocal))[:, None]
            length = jnp.sqrt(jnp.mean(direction**2, axis=1, keepdims=True))
            found.append(direction * jnp.minimum(1, bound / jnp.where(length > 0, length, 1)))
            good.append(fine)
        directions = [
            one.reshape(leaf.shape).astype(leaf.dtype) for one, leaf in zip(self._by_tensor(found), leaves, strict=True)
        ]
        parts = zip(solves.status, self._by_tensor(good), strict=True)
        return directions, jnp.stack([_told(status, one) for status, one in parts])

    def _by_tensor(self, stacks: Sequence[Array]) -> list[Array]:
        """Split each group's array into the parts of the tensors."""
        found: dict[int, Array] = {}
        for stack, own in zip(stacks, self.members, strict=True):
            ends = np.cumsum([self.units[k][0] for k in own])[:-1]
            found.update(zip(own, jnp.split(stack, ends), strict=True))
        return [found[k] for k in range(len(self.units))]


def _shift(moment: Float[Array, "units d d"], damping: float) -> tuple[Float[Array, " units"], Float[Array, " units"]]:
    """Return `t` of every unit, and the shift of its diagonal."""
    mean = trace(moment) / moment.shape[1]
    shift = damping * mean + UNSEEN * jnp.mean(mean)
    # A tensor without any gradient has no direction either.
    return mean, jnp.where(shift > 0, shift, 1)


def _told(status: Int[Array, ""], good: Array) -> Int[Array, ""]:
    """Return the status, and for `OK` whether all units are solved."""
    return jnp.where((status == Status.OK) & ~jnp.all(good), jnp.int32(Status.NOT_SOLVED), status).astype(jnp.int32)
