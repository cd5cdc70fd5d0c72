"""Inputs of a step of `newton`."""

from dataclasses import dataclass

from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._curvature import Batch, Block, Objective, Point
from .._curvature.stored import stored_rounding
from .applied import Found, Left
from .metrics import Damping
from .state import NewtonState


@dataclass(frozen=True)
class StepStart:
    """The arguments of `update`, taken apart; the object exists only while a step is traced.

    Attributes:
        objective: what is minimised.
        updates: gradients, like `params`.
        state: before the step.
        params, batch, key: as in `update`.
        blocks: with a system.
        damping: of the blocks.
        point: where curvature is taken.
        gradients: of each block `[n]`.
        rate: learning rate.
        age: steps since curvature was computed; 0 where it is due.
        before: the objective here.
        flat: the parameters, raveled.
        found: what has become of the last step.
    """

    objective: Objective
    updates: PyTree
    state: NewtonState
    params: PyTree
    batch: Batch
    key: Key[Array, ""] | None
    blocks: tuple[Block, ...]
    damping: Damping
    point: Point
    gradients: list[Float[Array, " n"]]
    rate: Float[Array, ""]
    age: Int[Array, ""]
    before: Float[Array, ""]
    flat: Float[Array, " n"]
    found: Found

    def loss(self, params: PyTree) -> Float[Array, ""]:
        """The objective on this step's batch."""
        return self.objective(params, self.batch, self.key)

    def left(
        self,
        step: Float[Array, " n"],
        accepted: Bool[Array, ""],
        predicted: Float[Array, ""],
        gradient: Float[Array, " n"],
        unit: Float[Array, ""] | float = 1.0,
    ) -> Left:
        """What the step, raveled, leaves behind; the arguments are those of `Left.after`."""
        stored = stored_rounding(self.objective)
        return self.state.left.after(self.found, step, accepted, self.before, predicted, stored, gradient, unit)
