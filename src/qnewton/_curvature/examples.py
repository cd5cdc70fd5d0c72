"""An objective as a function of its examples: raveled outputs, and the loss as a function of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .batch import Batch
from .independence import Coupling, Independence, Views, examples_agree, losses_agree, views_of
from .objective import Objective


@dataclass(frozen=True)
class Examples:
    """Evaluation of the examples of a batch. The objective is `sum_n loss_n / total`.

    `outputs`, `loss` and `weight` see single examples. Where the verdict says that examples influence each
    other they are another model's or another loss's: `all_outputs` and `total_loss` are right everywhere.

    Attributes:
        count: examples in the batch.
        width: scalars that the model returns for one example.
        channels: scalars in one position of them (the last axis of outputs that are one array); `width` where it has
            none.
        total: what sums over the examples are divided by: their number, or the sum of their weights.
        heaviest: largest weight of an example; 1 where all are zero.
        batch: `(inputs, targets)` with a leading axis; where the model takes a key, `inputs` carries each example's.
        outputs: `(params, x)` to the raveled outputs `[width]` of one example.
        loss: `(outputs, y)` to its loss, weights included.
        weight: `(outputs, y)` to its weight.
        verdict: whether single examples serve.
        good: whether this batch bears out what the verdict presumes; None where it presumes nothing. Where it does not,
            `total` is NaN, so that nothing wrong is used.
        together: outputs of the whole batch, and the sum of its losses in them, for where they do not.
    """

    count: int
    width: int
    channels: int
    total: Float[Array, ""] | float
    heaviest: Float[Array, ""] | float
    batch: Batch
    outputs: Callable[[PyTree, PyTree], Float[Array, " c"]]
    loss: Callable[[Float[Array, " c"], PyTree], Float[Array, ""]]
    weight: Callable[[Float[Array, " c"], PyTree], Float[Array, ""]]
    verdict: Coupling
    good: Bool[Array, ""] | None
    together: Views | None

    @property
    def independent(self) -> bool:
        """Whether outputs and losses may be computed from single examples."""
        return self.verdict.model and self.verdict.loss

    def all_outputs(self, params: PyTree) -> Float[Array, "batch c"]:
        """Raveled outputs of every example."""
        if not self.verdict.model:
            assert self.together is not None
            return self.together.outputs(params)
        return jax.vmap(lambda x: self.outputs(params, x))(self.batch[0])

    def part(self, batch: Batch) -> "Examples":
        """Some of the examples, under the divisor of all, so that what is made of parts adds up."""
        return replace(self, batch=batch, count=jax.tree.leaves(batch)[0].shape[0])

    def total_loss(self, outputs: Float[Array, "batch c"]) -> Float[Array, ""]:
        """Sum of the examples' losses as a function of their outputs."""
        if not self.verdict.loss:
            assert self.together is not None
            return jnp.sum(self.together.terms(outputs)[0])
        return jnp.sum(jax.vmap(self.loss)(outputs, self.batch[1]))

    def own_weights(self, outputs: Float[Array, "batch c"]) -> Float[Array, " batch"] | float:
        """Return the weight of every example; one number if they are equal by construction."""
        return self.heaviest if isinstance(self.heaviest, float) else jax.vmap(self.weight)(outputs, self.batch[1])

    def as_one(self) -> "Examples":
        """The whole batch as the only example, with all of its outputs in one row."""

        def outputs(params: PyTree, x: PyTree) -> Float[Array, " c"]:
            return jnp.ravel(self.all_outputs(params))

        def loss(z: Float[Array, " c"], y: PyTree) -> Float[Array, ""]:
            return self.total_loss(z.reshape(self.count, self.width))

        empty = jnp.zeros((1, 0))
        return replace(
            self,
            count=1,
            width=self.count * self.width,
            heaviest=self.total,
            batch=(empty, empty),
            outputs=outputs,
            loss=loss,
            weight=lambda z, y: jnp.asarray(self.total, z.dtype),
            verdict=replace(self.verdict, model=True, loss=True),
        )

    def singly(self, params: PyTree, what: str) -> "Examples":
        """Return the examples for a use that requires single ones.

        While a program is traced there may be no numbers to decide whether single examples suffice. They are then used,
        and `good` states the decision of the numbers at run time.

        Args:
            params: where.
            what: the use, for the message.

        Raises:
            ValueError: if examples influence each other.
        """
        if self.independent:
            return self
        verdict = self.verdict
        if verdict.kind is not Independence.UNDECIDED:
            raise ValueError(
                f"{what} is made of single examples, and here {verdict.kind.reason}"
                f"{': ' + verdict.where if verdict.where else ''}. Use qnewton.newton with GaussNewton() or Hessian(), "
                "which take the curvature of the whole batch; or layer or group normalisation, or batch normalisation "
                "in inference mode"
            )
        assert self.together is not None
        good = examples_agree(self.together, params)
        total = jnp.where(good, self.total, jnp.nan)
        return replace(self, total=total, good=good, verdict=replace(verdict, model=True, loss=True))


def examples_of(
    objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None, verdict: Coupling
) -> Examples:
    """Split the objective into examples.

    Args:
        objective: to be taken apart.
        params: as in `Objective.__call__`.
        batch: `(inputs, targets)`.
        key: of the model, where it takes one.
        verdict: whether examples influence each other, from `independence`.
    """
    views = views_of(objective, params, batch, key)

    def outputs_of(params: PyTree, x: PyTree) -> Float[Array, " c"]:
        return views.rows.ravel(views.alone(params, jax.tree.map(lambda leaf: leaf[None], x)))[0]

    def loss_of(z: Float[Array, " c"], y: PyTree) -> Float[Array, ""]:
        return views.terms_alone(z, y)[0][0]

    def weight_of(z: Float[Array, " c"], y: PyTree) -> Float[Array, ""]:
        weights = views.terms_alone(z, y)[1]
        return jnp.ones((), z.dtype) if weights is None else weights[0]

    # The outputs are needed for the shape of the weights alone; the compiler drops what does not enter the result.
    _, weights = views.terms(views.outputs(params))
    total, heaviest = float(views.count), 1.0
    if weights is not None:
        total, heaviest = jnp.sum(weights), jnp.max(weights)
        heaviest = jnp.where(heaviest > 0, heaviest, 1)
    good = None
    if verdict.kind is Independence.PRESUMED:
        good = losses_agree(views, views.outputs(params))
        total = jnp.where(good, total, jnp.nan)
    return Examples(
        views.count,
        max(1, views.rows.width),
        max(1, views.rows.channels),
        total,
        heaviest,
        views.data(),
        outputs_of,
        loss_of,
        weight_of,
        verdict,
        good,
        None if verdict.model and verdict.loss else views,
    )
