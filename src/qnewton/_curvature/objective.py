"""The minimised objective, split so that curvature can see the network's outputs."""

import inspect
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core.constants import unfolded
from .._core.kinds import check_function, check_scalars, is_number, known, plain, said, typed
from .._core.pieces import Pieces, dividing, in_piece, pieces_of
from .._core.placement import sharded_alike
from .._core.settings import own_promotion, users_promotion
from .._core.widths import widened
from .batch import Batch, batch_of, example_count, leads, mapped, own_examples
from .checks import check_batch, check_labels

__all__ = ["Batch", "Objective", "check_objective"]


class Objective(eqx.Module):
    """Weighted mean of a loss over a model's predictions, plus half of `l2` times the squared parameters.

    Attributes:
        predict: `predict(params, inputs) -> outputs`; the leading axis of every array in inputs and outputs counts the
            examples, but for scalars, single keys and what stands in a `qnewton.Shared`. Outputs may be any pytree. A
            model with dropout takes `predict(params, inputs, key=key)`, which is read from its signature; it then sees
            one example at a time, each with a key of its own, so that loss, gradient and curvature see the same noise.
            Parameters that are not to be trained stay outside of `params`, closed over or in `qnewton.freeze`.
        loss: `loss(outputs, targets) -> values` of shape `[batch]`, one value per example; or `(values, weights)` of
            one shape `[batch, ...]`, one value and one weight of at least 0 per example or token. A mask is a weight
            of 0; values under it must be finite. It sees outputs and targets of 16 bits in single precision, and
            everything is summed in that at least.
        l2: factor on `sum(params**2) / 2`, at least 0; enters value, gradient and curvature (decoupled weight decay is
            an argument of `newton`).
        has_state: whether `predict` returns `(outputs, state)`, as models with running means do; `value_and_state`
            hands the state on. The state that goes in is part of the inputs, in a `qnewton.Shared`.
        whole_batch: whether the model is to see the whole batch at once also where it takes a key (one key then serves
            all examples), and curvature to be that of the whole batch.

    Examples may influence each other, in the model (batch normalisation in training mode) or in the loss (in-batch
    negatives, `mask / sum(mask)`): the curvature is then taken from the whole batch (`qnewton.independence`).

    The split is what the generalised Gauss-Newton matrix is made of (Schraudolph 2002, section 3): curvature of the
    loss in the outputs, Jacobian of the outputs in the parameters.
    """

    predict: Callable[..., PyTree]
    loss: Callable[[PyTree, PyTree], PyTree]
    l2: float = eqx.field(converter=plain, default=0.0)
    has_state: bool = eqx.field(static=True, converter=plain, default=False)
    whole_batch: bool = eqx.field(static=True, converter=plain, default=False)

    def __check_init__(self):
        check_scalars(self)
        check_function(self.predict, "Objective: predict", "a function of (params, inputs) that returns the outputs")
        check_function(self.loss, "Objective: loss", "a function of (outputs, targets): one value per example")
        if not is_number(self.l2):
            raise TypeError(f"Objective: l2 is {said(self.l2)}: give a number")
        if known(self.l2) and not 0 <= self.l2 < float("inf"):
            raise ValueError(f"l2 is {self.l2}: the factor on the squared parameters must be finite and at least 0")

    @own_promotion()
    def __call__(self, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> Float[Array, ""]:
        """`sum(weights * values) / sum(weights)` over the batch `(inputs, targets)`, plus the l2 term.

        Raises:
            ValueError: if `loss` gives neither one value per example nor values with weights, or the outputs have no
                axis that counts the examples.
        """
        check_batch(batch)
        labels = batch[1]
        params, (inputs, targets), key = unfolded((params, batch, key))
        pieces = self._pieces(inputs, key)
        if pieces is not None:
            # Not to be differentiated: that would be wrong across the sums.
            value, weight = pieces.total(in_piece(pieces, self._own_sums(pieces, inputs, targets), params))
            return self._with_penalty(params, value / weight)
        outputs = self.outputs(params, inputs, key)
        check_labels(self.loss, outputs, labels)
        return self._mean(params, outputs, targets)

    @own_promotion()
    def value_and_state(
        self, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, ""], PyTree]:
        """Return the value and the model's returned state, for `jax.value_and_grad(..., has_aux=True)`.

        Raises:
            ValueError: if the objective was not made with `has_state=True`, or the model sees one example at a time.
        """
        if not self.has_state:
            raise ValueError(
                "value_and_state needs Objective(..., has_state=True), whose predict returns (outputs, state)"
            )
        if self._one_by_one(key):
            raise ValueError(
                "predict takes a key and so sees one example at a time, which leaves no state of the batch: make the "
                "objective with whole_batch=True, and one key serves the whole batch"
            )
        check_batch(batch)
        labels = batch[1]
        params, (inputs, targets), key = unfolded((params, batch, key))
        outputs, state = self._called(params, inputs, key)
        check_labels(self.loss, outputs, labels)
        return self._mean(params, outputs, targets), state

    @property
    def penalised(self) -> bool:
        """Whether there is an l2 term; a traced l2 counts as one."""
        return not known(self.l2) or self.l2 > 0

    @property
    def takes_key(self) -> bool:
        """Whether `predict` has a parameter `key`, or takes any keyword."""
        try:
            parameters = inspect.signature(self.predict).parameters
        except (TypeError, ValueError):  # a callable that does not tell
            return False
        return "key" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    @property
    def needs_key(self) -> bool:
        """Whether `predict` has a parameter `key` without a default."""
        if not self.takes_key:
            return False
        key = inspect.signature(self.predict).parameters.get("key")
        return key is not None and key.default is key.empty

    def any_key(self) -> Key[Array, ""] | None:
        """A key where the model does not run without one, for uses to which noise does not matter."""
        return jax.random.key(0) if self.needs_key else None

    def outputs(self, params: PyTree, inputs: PyTree, key: Key[Array, ""] | None = None) -> PyTree:
        """The model's outputs for a batch; with a key, each example under a key of its own."""
        if not self._one_by_one(key):
            return self.batch_outputs(params, inputs, key)
        assert key is not None
        count = example_count(inputs)
        counts = leads(inputs)

        def single(x: PyTree, example_key: Key[Array, ""]) -> PyTree:
            alone = batch_of(counts, jax.tree.map(lambda leaf: leaf[None], x))
            return jax.tree.map(lambda leaf: leaf[0], self.batch_outputs(params, alone, example_key))

        together, structure = jax.tree.flatten((mapped(inputs, count), jax.random.split(key, count)))
        return jax.vmap(single)(*jax.tree.unflatten(structure, sharded_alike(together)))

    def batch_outputs(self, params: PyTree, inputs: PyTree, key: Key[Array, ""] | None = None) -> PyTree:
        """Return the model's outputs for a batch that it sees at once, under the one key, without its state."""
        found = self._called(params, inputs, key)
        return found[0] if self.has_state else found

    def terms(self, outputs: PyTree, targets: PyTree) -> tuple[Float[Array, " batch"], Float[Array, " batch"] | None]:
        """Each example's weighted sum of losses, and its sum of weights; None for the latter where all are 1."""
        leaves = jax.tree.leaves(outputs)
        if not leaves or any(jnp.ndim(leaf) == 0 for leaf in leaves):
            raise ValueError(
                f"predict returned {'a scalar' if leaves else 'no array'}: the leading axis of its outputs must count "
                "the examples. Do not average inside predict; Objective takes the mean"
            )
        with users_promotion():
            values = self.loss(outputs, widened(targets))
        values = widened(values)
        shapes = [leaf.shape for leaf in leaves]
        told = shapes[0] if len(shapes) == 1 else tuple(shapes)
        if isinstance(values, tuple):
            return _weighted(values, told, shapes[0][:1])
        number = isinstance(values, int | float)
        if not number and (not hasattr(values, "shape") or not jnp.issubdtype(values.dtype, jnp.floating)):
            told_type = getattr(values, "dtype", type(values).__name__)
            raise ValueError(
                f"loss returned {told_type}: it must return an array of floating-point numbers, one value per example, "
                "or a tuple (values, weights)"
            )
        if jnp.shape(values) != shapes[0][:1]:
            raise ValueError(
                f"loss returned shape {jnp.shape(values)} for outputs of shape {told}: it must return one "
                f"value per example, shape {shapes[0][:1]}, or a tuple (values, weights) of one shape that starts "
                "with it. Do not average inside the loss; Objective takes the mean"
            )
        return jnp.asarray(values), None

    def _own_sums(self, pieces: Pieces, inputs: PyTree, targets: PyTree) -> Callable[[PyTree], tuple[Array, Array]]:
        """Sums of values and of weights over one replica's examples, as a function of the parameters."""
        own_inputs, own_targets = own_examples(pieces, inputs), own_examples(pieces, targets)

        def sums(params: PyTree) -> tuple[Array, Array]:
            values, weights = self.terms(self.outputs(params, own_inputs), own_targets)
            return jnp.sum(values), jnp.asarray(len(values), values.dtype) if weights is None else jnp.sum(weights)

        return sums

    def _pieces(self, inputs: PyTree, key: Key[Array, ""] | None) -> Pieces | None:
        # Keys of single examples are split off one for the whole batch.
        return None if key is not None and self.takes_key else pieces_of(example_count(inputs))

    def _mean(self, params: PyTree, outputs: PyTree, targets: PyTree) -> Float[Array, ""]:
        values, weights = self.terms(outputs, targets)
        mean = jnp.mean(values) if weights is None else jnp.sum(values) / jnp.sum(weights)
        return self._with_penalty(params, mean)

    def _with_penalty(self, params: PyTree, mean: Float[Array, ""]) -> Float[Array, ""]:
        if not self.penalised:
            return mean
        squares = [jnp.sum(leaf**2).astype(mean.dtype) for leaf in jax.tree.leaves(widened(params))]
        return mean + typed(self.l2, mean.dtype) / 2 * sum(squares)

    def _one_by_one(self, key: Key[Array, ""] | None) -> bool:
        return key is not None and self.takes_key and not self.whole_batch

    def _called(self, params: PyTree, inputs: PyTree, key: Key[Array, ""] | None) -> PyTree:
        with users_promotion():
            found = (
                self.predict(params, inputs, key=key)
                if key is not None and self.takes_key
                else self.predict(params, inputs)
            )
        if self.has_state and not (isinstance(found, tuple) and len(found) == 2):
            raise ValueError(
                f"predict returned {type(found).__name__}: with has_state=True it must return (outputs, state)"
            )
        return (widened(found[0]), found[1]) if self.has_state else widened(found)


@own_promotion()
def gradient_of(objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> PyTree:
    """Gradient of an objective, like the parameters; by all replicas together where they divide the examples."""
    check_batch(batch)
    inputs, targets = batch
    pieces = objective._pieces(inputs, key)
    if pieces is None:
        with dividing(None):
            return jax.grad(objective)(params, batch, key)
    sums = objective._own_sums(pieces, inputs, targets)
    found, weight = pieces.total(in_piece(pieces, lambda own: widened(jax.grad(sums, has_aux=True)(own)), params))

    def mean(slope: Array, own: Array) -> Array:
        slope = slope / weight
        if objective.penalised:
            slope = slope + typed(objective.l2, slope.dtype) * own
        return slope.astype(own.dtype)

    return jax.tree.map(mean, found, params)


def check_objective(objective: object, who: str) -> None:
    """Refuse a value that is not an objective.

    Args:
        objective: as it was given.
        who: the function that it was given to, e.g. `newton`.

    Raises:
        TypeError: says how to make one.
    """
    if not isinstance(objective, Objective):
        raise TypeError(
            f"{who} takes an Objective, and got {said(objective)}: write qnewton.Objective(predict, loss), where "
            "predict(params, inputs) returns the outputs and loss(outputs, targets) one value per example"
        )


def _weighted(
    pair: tuple, shape: tuple, leading: tuple[int, ...]
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    shapes = [jnp.shape(part) for part in pair]
    if len(pair) != 2 or shapes[0] != shapes[1] or shapes[0][:1] != leading:
        raise ValueError(
            f"loss returned a tuple of shapes {shapes} for outputs of shape {shape}: it must be (values, weights), "
            f"both of one shape that starts with {leading}"
        )
    values, weights = pair
    weights = jax.lax.stop_gradient(jnp.asarray(weights, values.dtype))
    axes = tuple(range(1, values.ndim))
    return jnp.sum(weights * values, axis=axes), jnp.sum(weights, axis=axes)
