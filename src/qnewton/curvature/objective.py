"""What is minimised, split so that curvature can see the network's outputs."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Batch = tuple[PyTree[Array], PyTree[Array]]


class Objective(eqx.Module):
    """Mean of a per-example loss of a model's predictions.

    Attributes:
        predict: `predict(params, inputs) -> outputs`; the leading axis of inputs and outputs counts the examples, and
            no example may influence the output of another.
        loss: `loss(outputs, targets) -> values` of shape `[batch]`, one value per example.

    The split is what the generalised Gauss-Newton matrix is made of (Schraudolph 2002, section 3): curvature of the
    loss in the outputs, Jacobian of the outputs in the parameters.
    """

    predict: Callable[[PyTree, PyTree], Array]
    loss: Callable[[Array, Any], Array]

    def __call__(self, params: PyTree, batch: Batch) -> Float[Array, ""]:
        """Mean loss over the batch `(inputs, targets)`.

        Raises:
            ValueError: if `loss` does not give one value per example, or the outputs have no axis that counts them.
        """
        inputs, targets = batch
        outputs = self.predict(params, inputs)
        return jnp.mean(self.values(outputs, targets))

    def values(self, outputs: Array, targets: Any) -> Float[Array, " batch"]:
        """The loss of each example; checks that there is one value per example."""
        if jnp.ndim(outputs) == 0:
            raise ValueError(
                "predict returned a scalar: the leading axis of its outputs must count the examples. Do not average "
                "inside predict; Objective takes the mean"
            )
        values = self.loss(outputs, targets)
        if jnp.shape(values) != outputs.shape[:1]:
            raise ValueError(
                f"loss returned shape {jnp.shape(values)} for outputs of shape {outputs.shape}: it must return one "
                f"value per example, shape {outputs.shape[:1]}. Do not average inside the loss; Objective takes the "
                "mean"
            )
        return values
