"""The Kronecker systems of a network's layers: set up by the scheduler's choice, and solved in every step."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.arrays import filled
from .._core.layout import Layout
from .._core.one_kernel import in_one_kernel
from .._core.operators import KroneckerFactors
from .._core.status import Status, Verdict
from .._core.traces import trace
from .._pricing.group import Group
from .._scheduling.contests import contests
from .._scheduling.group_plan import PackedPlans
from .._scheduling.groups import GroupSolver, GroupState
from .._scheduling.hybrid import Hybrid
from .._scheduling.together import set_up_all, solve_all


class KroneckerSolves(eqx.Module):
    """Solver states for the steps until the next refresh.

    Attributes:
        groups: layers of equal shape, set up together.
        rest: reciprocals of the damped diagonal of what belongs to no layer; None where everything belongs to one.
        status: a `Status` per layer, and one for the rest, as far as the factors tell.
    """

    groups: tuple[GroupState, ...]
    rest: Float[Array, " rest"] | None
    status: Int[Array, " blocks"]


@dataclass(frozen=True)
class LayerSystems:
    """Systems `(A_u + pi_u r I) kron (G_u + r / pi_u I)` per layer, `r = sqrt(damping)`, `d + damping` for the rest.

    A layer is one system, of tensor structure, or one for each of its copies; layers of equal shape are a group, with
    one choice among them.

    Attributes:
        layout: where the layers' matrices lie.
        scheduler: of all the systems.
        solvers: of the groups.
        members: of each group, its layers.
    """

    layout: Layout
    scheduler: Hybrid
    solvers: tuple[GroupSolver, ...]
    members: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, layout: Layout, scheduler: Hybrid, serves: int, dtype: jnp.dtype) -> "LayerSystems":
        """Return the systems with the candidates for each layer.

        Args:
            layout: of the network.
            scheduler: of all its systems.
            serves: steps from one refresh to the next.
            dtype: of the factors.
        """
        shapes = layout.shapes
        kinds = list(dict.fromkeys(shapes))
        members = tuple(tuple(k for k, shape in enumerate(shapes) if shape == kind) for kind in kinds)
        copies = layout.copies
        groups = [
            Group(f"layers of {i} x {a}", (i, a), sum(copies[k] for k in own), serves=serves, dtype=str(dtype))
            for (i, a), own in zip(kinds, members, strict=True)
        ]
        return cls(layout, scheduler, tuple(contests(scheduler, groups)), members)

    def set_up(
        self, factors: KroneckerFactors, damping: Float[Array, ""], before: PackedPlans | None = None
    ) -> tuple[KroneckerSolves, PackedPlans]:
        """Choose solvers, set up and record, the damping split by `pi` (Martens and Grosse 2015, section 6.3).

        Args:
            factors: of all layers.
            damping: added to the curvature, positive.
            before: the plans of the last refresh; None before the first.
        """
        # A factor with NaN or infinity anywhere has it on the diagonal, too, being a sum of squares there.
        traces = [(trace(a), trace(g)) for a, g in zip(factors.inputs, factors.outputs, strict=True)]
        diagonal = factors.rest if self.layout.rest else None
        whole = jnp.ones((), bool) if diagonal is None else jnp.all(jnp.isfinite(diagonal))

        def bookkeeping() -> tuple[list[tuple[Array, Array]], Array]:
            root, shapes = jnp.sqrt(damping), self.layout.shapes
            shares = [split(a / i, g / o) for (a, g), (i, o) in zip(traces, shapes, strict=True)]
            finite = [jnp.isfinite(a) & jnp.isfinite(g) for a, g in traces]
            finite = [jnp.all(one) if one.ndim else one for one in finite]
            status = [jnp.where(good, Status.OK, Status.NOT_FINITE) for good in [*finite, whole]]
            return [(share * root, root / share) for share in shares], jnp.stack(status).astype(jnp.int32)

        shifts, status = in_one_kernel(bookkeeping)
        given = []
        for own in self.members:
            sides = [factors.inputs[k] for k in own], [factors.outputs[k] for k in own]
            both = tuple(self._stacked(side, own, 0) for side in zip(*(shifts[k] for k in own), strict=True))
            given.append((tuple(self._damped(side, shift, own) for side, shift in zip(sides, both, strict=True)), both))
        groups, plans = set_up_all(self.solvers, given, before)
        for own, plan in zip(self.members, plans, strict=True):
            if isinstance(plan.verdict, np.ndarray) and plan.verdict[0] != Verdict.NOBODY:
                continue
            nobody = jnp.asarray(plan.verdict[0] == Verdict.NOBODY)
            places = np.asarray(own)
            # A factor that is not finite is nobody's to take, and says more.
            without = nobody & (status[places] == Status.OK)
            status = status.at[places].set(jnp.where(without, jnp.int32(Status.NO_CANDIDATE), status[places]))
        rest = None if diagonal is None else jnp.where(whole, 1 / (jnp.maximum(diagonal, 0) + damping), 1)
        solves = KroneckerSolves(tuple(groups), rest, status)
        return solves, PackedPlans.of(self.scheduler, plans, damping.dtype)

    def blank(self, factors: KroneckerFactors, dtype: jnp.dtype) -> tuple[KroneckerSolves, PackedPlans]:
        """Zeros in the shapes of `set_up(factors, damping)`, with a damping of the dtype."""
        shapes = eqx.filter_eval_shape(self.set_up, factors, jax.ShapeDtypeStruct((), dtype))
        return jax.tree.map(lambda leaf: filled(leaf.shape, 0, leaf.dtype), shapes)

    def solve(
        self, solves: KroneckerSolves, vector: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Int[Array, " blocks"]]:
        """The solution for a raveled right-hand side, and a `Status` per layer and for the rest.

        A layer that is not solved takes its part of the right-hand side for a solution.
        """
        matrices, rest = self.layout.split(vector)
        solved, status = list(matrices), list(solves.status)
        # The block maps V to A V G, so its inverse maps V to A^-1 V G^-1.
        vectors = [self._stacked([matrices[k] for k in own], own, 2) for own in self.members]
        found = solve_all(self.solvers, solves.groups, vectors)
        for own, (values, good) in zip(self.members, found, strict=True):
            place = 0
            for k in own:
                count = self.layout.copies[k]
                its = slice(place, place + count) if count > 1 else place
                solved[k] = values[its]
                failed = (status[k] == Status.OK) & ~(jnp.all(good[its]) if count > 1 else good[its])
                status[k] = jnp.where(failed, jnp.int32(Status.NOT_SOLVED), status[k])
                place += count
        rest = rest if solves.rest is None else solves.rest * rest
        return self.layout.merge(solved, rest), jnp.stack(status)

    def _stacked(self, parts: Sequence[Array], own: Sequence[int], axes: int) -> Array:
        """Return one array of the systems of some layers, the copies of a layer in sequence.

        Args:
            parts: of each layer, with a leading axis where it has copies.
            own: the layers.
            axes: of one system's part.
        """
        if max(self.layout.copies[k] for k in own) == 1:
            return jnp.stack(parts)
        return jnp.concatenate([part if part.ndim > axes else part[None] for part in parts])

    def _damped(
        self, matrices: Sequence[Float[Array, "*c n n"]], shifts: Float[Array, " count"], own: Sequence[int]
    ) -> Float[Array, "count n n"]:
        eye = jnp.eye(matrices[0].shape[-1], dtype=matrices[0].dtype)
        if max(self.layout.copies[k] for k in own) > 1:
            return self._stacked(matrices, own, 2) + shifts[:, None, None] * eye
        return jnp.stack([matrix + shift * eye for matrix, shift in zip(matrices, shifts, strict=True)])


def split(a: Float[Array, ""], g: Float[Array, ""]) -> Float[Array, ""]:
    """`pi = sqrt((tr A / dim A) / (tr G / dim G))`, 1 where there is nothing to compare.

    Args:
        a: mean diagonal entry of A.
        g: of G.
    """
    ratio = a / g
    usable = (ratio > 0) & jnp.isfinite(ratio)
    return jnp.sqrt(jnp.where(usable, ratio, 1))
