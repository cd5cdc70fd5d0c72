"""What is minimised, split so that curvature can see the network's outputs."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .checks import check_batch, check_labels

Batch = tuple[PyTree[Array], PyTree[Array]]


class Objective(eqx.Module):
    """Weighted mean of a loss over a model's predictions, plus half of `l2` times the squared parameters.

    Attributes:
        predict: `predict(params, inputs) -> outputs`; the leading axis of inputs and outputs counts the examples, and
            no example may influence the output of another. A model with dropout takes `predict(params, inputs,
            key=key)`; it then sees one example at a time, each with a key of its own, so that loss, gradient and
            curvature see the same noise. Parameters that are not to be trained stay outside of `params`, closed over
            or in `qnewton.freeze`.
        loss: `loss(outputs, targets) -> values` of shape `[batch]`, one value per example; or `(values, weights)` of
            one shape `[batch, ...]`, one value and one weight of at least 0 per example or token. A mask is a weight
            of 0; values under it must be finite.
        l2: factor on `sum(params**2) / 2`, at least 0; enters value, gradient and curvature (decoupled weight decay is
            an argument of `newton`).

    The split is what the generalised Gauss-Newton matrix is made of (Schraudolph 2002, section 3): curvature of the
    loss in the outputs, Jacobian of the outputs in the parameters.
    """

    predict: Callable[..., Array]
    loss: Callable[[Array, Any], Any]
    l2: float = eqx.field(static=True, converter=float, default=0.0)

    def __check_init__(self):
        if not 0 <= self.l2 < float("inf"):
            raise ValueError(f"l2 is {self.l2}: the factor on the squared parameters must be finite and at least 0")

    def __call__(self, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> Float[Array, ""]:
        """`sum(weights * values) / sum(weights)` over the batch `(inputs, targets)`, plus the l2 term.

        Raises:
            ValueError: if `loss` gives neither one value per example nor values with weights, or the outputs have no
                axis that counts the examples.
        """
        check_batch(batch)
        inputs, targets = batch
        outputs = self.outputs(params, inputs, key)
        check_labels(self.loss, outputs, targets)
        values, weights = self.terms(outputs, targets)
        mean = jnp.mean(values) if weights is None else jnp.sum(values) / jnp.sum(weights)
        if self.l2 == 0:
            return mean
        return mean + self.l2 / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))

    def outputs(self, params: PyTree, inputs: PyTree, key: Key[Array, ""] | None = None) -> Array:
        """The model's outputs for a batch; with a key, each example under a key of its own."""
        if key is None:
            return self.predict(params, inputs)
        keys = jax.random.split(key, jax.tree.leaves(inputs)[0].shape[0])

        def single(x: PyTree, example_key: Key[Array, ""]) -> Array:
            return self.predict(params, jax.tree.map(lambda leaf: leaf[None], x), key=example_key)[0]

        return jax.vmap(single)(inputs, keys)

    def terms(self, outputs: Array, targets: Any) -> tuple[Float[Array, " batch"], Float[Array, " batch"] | None]:
        """Each example's weighted sum of losses, and its sum of weights; None for the latter where all are 1."""
        if jnp.ndim(outputs) == 0:
            raise ValueError(
                "predict returned a scalar: the leading axis of its outputs must count the examples. Do not average "
                "inside predict; Objective takes the mean"
            )
        values = self.loss(outputs, targets)
        if isinstance(values, tuple):
            return _weighted(values, outputs.shape)
        if jnp.shape(values) != outputs.shape[:1]:
            raise ValueError(
                f"loss returned shape {jnp.shape(values)} for outputs of shape {outputs.shape}: it must return one "
                f"value per example, shape {outputs.shape[:1]}, or a tuple (values, weights) of one shape that starts "
                "with it. Do not average inside the loss; Objective takes the mean"
            )
        return values, None


def _weighted(pair: tuple, shape: tuple[int, ...]) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    shapes = [jnp.shape(part) for part in pair]
    if len(pair) != 2 or shapes[0] != shapes[1] or shapes[0][:1] != shape[:1]:
        raise ValueError(
            f"loss returned a tuple of shapes {shapes} for outputs of shape {shape}: it must be (values, weights), "
            f"both of one shape that starts with {shape[:1]}"
        )
    values, weights = pair
    weights = jax.lax.stop_gradient(jnp.asarray(weights, values.dtype))
    axes = tuple(range(1, values.ndim))
    return jnp.sum(weights * values, axis=axes), jnp.sum(weights, axis=axes)
