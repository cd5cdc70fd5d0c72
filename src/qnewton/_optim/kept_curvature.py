"""The blocks' curvature: computed anew in every step, or formed in one step and kept for the next ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from .._core.layout import Layout
from .._core.operators import Path, path_of
from .._core.records import System
from .._curvature import AbstractCurvature, Batch, Block, GaussNewton, Objective, Point
from .._curvature.flat import StandInHessian, linear_in_outputs
from .blank import blank_system
from .blocks import Build


class KeptBlock(NamedTuple):
    """A formed block between two steps: its numbers alone, since tags and layers do not survive being saved.

    Attributes:
        matrix: symmetric.
        eigenvalue_floor: as of `System`.
        damping: likewise.
    """

    matrix: Float[Array, "n n"]
    eigenvalue_floor: Float[Array, ""] | None
    damping: Float[Array, ""]

    @classmethod
    def of(cls, system: System) -> "KeptBlock":
        """Return the kept numbers of a system as curvature leaves it."""
        return cls(system.matrix, system.eigenvalue_floor, system.damping)

    def system(self, layout: Layout | None) -> System:
        """Return the system again.

        Args:
            layout: of the block's layers, which is the same in every step, and not known before the first.
        """
        system = System.of(self.matrix, symmetric=True, eigenvalue_floor=self.eigenvalue_floor)
        return replace(system, damping=self.damping, layout=layout)


@dataclass(frozen=True)
class KeptCurvature:
    """A curvature, and the number of steps for which one of its matrices is used.

    Attributes:
        curvature: that the user chose.
        refresh: steps that one formed block serves; with 1 nothing is kept, nor formed before its solver asks.
        needs_root: whether the solver reads the square root of a block.
    """

    curvature: AbstractCurvature
    refresh: int
    needs_root: bool

    def blank(self, blocks: Sequence[Block], dtype: jnp.dtype) -> tuple[KeptBlock, ...]:
        """Return the kept blocks before the first step."""
        if self.refresh == 1:
            return ()
        blank = partial(blank_system, dtype=dtype, semidefinite=self.curvature.semidefinite)
        return tuple(KeptBlock.of(blank(block)) for block in blocks)

    def on(self, objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None) -> AbstractCurvature:
        """Return the curvature for a batch: the Hessian in place of a Gauss-Newton matrix that is zero."""
        # A Hessian has no square root.
        if isinstance(self.curvature, GaussNewton) and not self.needs_root:
            return StandInHessian() if linear_in_outputs(objective, params, batch, key) else self.curvature
        return self.curvature

    def refreshed(
        self,
        taken: AbstractCurvature,
        point: Point,
        blocks: Sequence[Block],
        kept: tuple[KeptBlock, ...],
        age: Int[Array, ""],
    ) -> tuple[KeptBlock, ...]:
        """Return the blocks to keep after this step.

        Args:
            taken: the curvature for this batch.
            point: where it is taken, if it is.
            blocks: with a system.
            kept: from the steps before.
            age: steps since then; 0 where this step's own curvature is due.
        """
        if self.refresh == 1:
            return kept
        return jax.lax.cond(age == 0, lambda: tuple(_formed(taken, point, block) for block in blocks), lambda: kept)

    def builds(self, taken: AbstractCurvature, blocks: Sequence[Block], kept: tuple[KeptBlock, ...]) -> list[Build]:
        """Return, for each block, the function that builds its system: from the kept block if there is one."""
        return [partial(_built, taken, block, kept[k] if self.refresh > 1 else None) for k, block in enumerate(blocks)]


def _formed(curvature: AbstractCurvature, point: Point, block: Block) -> KeptBlock:
    return KeptBlock.of(curvature.system(point, block).formed())


def _built(curvature: AbstractCurvature, block: Block, kept: KeptBlock | None, point: Point) -> tuple[System, Path]:
    system = curvature.system(point, block)
    path = path_of(system.operator)
    return (system if kept is None else kept.system(system.layout)), path
