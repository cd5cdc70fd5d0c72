"""The interface of curvature: one symmetric block per Newton system."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core.kinds import check_key
from .._core.operators import AbstractCurvatureOperator, Shifted
from .._core.placement import automatically
from .._core.records import System
from .._core.settings import own_promotion
from .._core.trees import check_params
from .divided import DividedOperator
from .objective import Batch, Objective
from .partition import Block, check_block
from .point import Point


class AbstractCurvature(eqx.Module):
    """A symmetric curvature matrix of the objective, one block at a time."""

    @property
    @abc.abstractmethod
    def semidefinite(self) -> bool:
        """Whether blocks carry an eigenvalue floor, 0 if known to be semidefinite, else minus infinity."""

    @abc.abstractmethod
    def operator(self, point: Point, block: Block) -> AbstractCurvatureOperator:
        """Return the unformed block of the mean loss, in the type of the point's parameters."""

    @property
    def shift(self) -> float:
        """Constant that this curvature adds to the diagonal for every batch."""
        return 0.0

    def floor(self, point: Point, block: Block) -> Float[Array, ""] | None:
        """A proven lower bound on the eigenvalues of the block of the mean loss.

        None where there never is one, minus infinity where there is none for this batch.
        """
        return None

    def system(self, point: Point, block: Block) -> System:
        """Return the unformed block with the objective's l2 term, as the record that conditioning takes."""
        operator, floor = self._divided(point, block), self.floor(point, block)
        shift = jnp.asarray(self.shift + point.objective.l2, operator.like.dtype)
        shifted = Shifted(operator, shift, definite=floor is not None)
        system = System.over(
            shifted,
            symmetric=True,
            eigenvalue_floor=None if floor is None else floor + shift,
            layout=operator.arrangement(),
        )
        return eqx.tree_at(lambda s: s.damping, system, jnp.asarray(self.shift, operator.like.dtype))

    def _divided(self, point: Point, block: Block) -> AbstractCurvatureOperator:
        """The block, made by all replicas together where there are some."""
        pieces = point.pieces
        if pieces is None:
            return self.operator(point, block)
        return DividedOperator.of(point, block, self.operator, pieces, semidefinite=self.semidefinite)

    @own_promotion()
    def form(
        self,
        objective: Objective,
        params: PyTree,
        batch: Batch,
        block: Block,
        key: Key[Array, ""] | None = None,
    ) -> System:
        """The dense block `[n, n]` at `params`, in the parameters' working type, exactly symmetric.

        Raises:
            ValueError: for a batch or labels that cannot be right, and if the outputs have no axis that counts the
                examples; for a block of other parameters.
            TypeError: if a parameter is not of a real floating-point dtype, and for what is no block or no key.
        """
        check_params(params)
        check_block(block, params)
        check_key(key, "form: key")

        def formed(params: PyTree, batch: Batch) -> System:
            return self.system(Point.of(objective, params, batch, key), block).formed()

        return automatically(formed, params, batch)
