"""Independence of a batch's examples in the model and in the loss, and how it is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend import core as jex
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core.jaxprs import coarsest_rounding, everywhere
from .._core.settings import own_promotion
from .._core.status import Code
from .._core.trees import struct_of
from .agreement import agree, random_batch
from .batch import Batch, OutputRows, batch_of, example_count, leads, mapped
from .checks import check_batch, check_labels
from .coupling import first_meeting, place, traced
from .objective import Objective, check_objective
from .same_program import same_program


class Independence(Code):
    """Reason why curvature was taken from single examples (the first two), or from the whole batch."""

    PROVEN = 0
    """The traced program shows that no example enters what another one contributes."""
    SEEN = 1
    """The proof fails, and on this batch single examples give the same outputs, losses and derivatives."""
    MODEL = 2
    """An example influences the outputs of another."""
    LOSS = 3
    """An example influences the loss of another."""
    BOTH = 4
    """Either of them."""
    ALONE_FAILS = 5
    """The model does not run on an example alone, or returns something else then."""
    UNDECIDED = 6
    """The proof fails, and while a program is traced there are no numbers to compare."""
    DECLARED = 7
    """The objective says `whole_batch=True`."""
    PRESUMED = 8
    """Of a loss while a program is traced: single examples gave the same for random outputs, and in every step the
    numbers that come are compared again."""

    @property
    def reason(self) -> str:
        """Reason in words."""
        return _REASONS[self]


_REASONS = {
    Independence.PROVEN: "shown by the program",
    Independence.SEEN: "single examples gave the same on this batch",
    Independence.MODEL: "the model couples the examples",
    Independence.LOSS: "the loss couples the examples",
    Independence.BOTH: "model and loss couple the examples",
    Independence.ALONE_FAILS: "the model does not run on one example alone",
    Independence.UNDECIDED: "not shown by the program, and no numbers to compare under jit",
    Independence.DECLARED: "declared by whole_batch=True",
    Independence.PRESUMED: "single examples gave the same for random outputs, and are compared in every step",
}


@dataclass(frozen=True)
class Coupling:
    """Knowledge about the coupling of examples in an objective on a batch.

    Attributes:
        kind: how it is known.
        model, loss: whether single examples serve for the model's outputs, and for the losses.
        where: the operation at which the proof failed, and its place in the user's code; empty where it did not.
        reverse_only: whether the model has derivative rules for reverse mode alone (`jax.custom_vjp`).
        rounding: unit of the narrowest float that the model computes with, to which outputs and losses can be told
            apart.
    """

    kind: Independence
    model: bool
    loss: bool
    where: str
    reverse_only: bool
    rounding: float = 0.0


@dataclass(frozen=True)
class Views:
    """The two parts of an objective, on the whole batch and on single examples.

    Attributes:
        objective, inputs, targets, key: as in `Objective.__call__`.
        count: examples.
        rows: how outputs are rows of numbers.
    """

    objective: Objective
    inputs: PyTree
    targets: PyTree
    key: Key[Array, ""] | None
    count: int
    rows: OutputRows

    @property
    def keyed(self) -> bool:
        """Whether each example has a key of its own, so that the model sees one at a time anyway."""
        return self.key is not None and self.objective.takes_key and not self.objective.whole_batch

    def outputs(self, params: PyTree) -> Array:
        """The rows `[batch, c]` of the outputs of the whole batch."""
        return self.rows.ravel(self.objective.outputs(params, self.inputs, self.key))

    def data(self) -> tuple[PyTree, PyTree]:
        """Inputs, with each example's key where there is one, and targets; a leading axis on every leaf."""
        inputs = mapped(self.inputs, self.count)
        if self.keyed:
            assert self.key is not None
            inputs = (inputs, jax.random.split(self.key, self.count))
        return inputs, mapped(self.targets, self.count)

    def alone(self, params: PyTree, x: PyTree) -> PyTree:
        """The model's outputs for one example of `data`, leading axes of 1 included."""
        x, keys = x if self.keyed else (x, None)
        inputs = batch_of(leads(self.inputs), x)
        key = self.key if keys is None else keys[0]
        # The key of one example is not to be split once more.
        return self.objective.batch_outputs(params, inputs, key)

    def terms(self, rows: Array) -> tuple[Array, Array | None]:
        """Loss and weight of every example, from the rows of all."""
        return self.objective.terms(self.rows.unravel(rows), self.targets)

    def terms_alone(self, row: Array, y: PyTree) -> tuple[Array, Array | None]:
        """Loss and weight `[1]` of one example of `data`."""
        targets = batch_of(leads(self.targets), jax.tree.map(lambda leaf: leaf[None], y))
        return self.objective.terms(self.rows.unravel(row[None]), targets)


def judge(views: Views, params: PyTree, model: jex.ClosedJaxpr) -> Coupling:
    """Prove independence, or else compare numbers.

    Args:
        views: of the objective on the batch.
        params: where.
        model: the jaxpr of `Objective.outputs` in parameters and inputs, on the whole batch.
    """
    reverse_only = _has(model.jaxpr, "custom_vjp_call")
    loss, _ = traced(views.objective.terms, views.rows.like(views.count), views.targets)
    loss_of_one = _loss_alone(views)
    of_loss = _loss_meeting(views, loss, loss_of_one)
    if views.objective.whole_batch:
        return Coupling(Independence.DECLARED, False, of_loss is None, "", reverse_only)
    one = _alone(views, params)
    if one is None or loss_of_one is None:
        return Coupling(Independence.ALONE_FAILS, False, of_loss is None, SIZE_OF_THE_BATCH, reverse_only)
    of_model = None if views.keyed else _model_meeting(views, params, model, one)
    if of_model is None and of_loss is None:
        return Coupling(Independence.PROVEN, True, True, "", reverse_only)
    where = "; ".join(
        f"{half}: {found}" for half, found in (("predict", of_model), ("loss", of_loss)) if found is not None
    )
    traced_over = any(isinstance(constant, Tracer) for constant in [*model.consts, *loss.consts])
    ask = of_model is not None, of_loss is not None
    seen = None if traced_over else _numbers(views, params, *ask)
    if seen is None and of_model is None and _loss_agrees_at_random(views, loss):
        return Coupling(Independence.PRESUMED, True, True, where, reverse_only)
    if seen is None:
        return Coupling(Independence.UNDECIDED, of_model is None, of_loss is None, where, reverse_only)
    together = {(True, True): Independence.SEEN, (False, True): Independence.MODEL, (True, False): Independence.LOSS}
    return Coupling(together.get(seen, Independence.BOTH), *seen, where, reverse_only)


SIZE_OF_THE_BATCH = (
    "predict or loss fails on a batch of one, or predict returns another shape there; a `.squeeze()` inside it drops "
    "the axis of the examples as well, so name the axis that it means, as `.squeeze(-1)` does; what differs from one "
    "example to the next belongs into the inputs"
)


def examples_agree(views: Views, params: PyTree) -> Bool[Array, ""]:
    """Return whether single examples numerically give the outputs, losses and derivatives of the whole batch."""
    return _model_agrees(views, params) & _loss_agrees(views, params)


def _numbers(views: Views, params: PyTree, ask_model: bool, ask_loss: bool) -> tuple[bool, bool] | None:
    """Return whether single examples suffice for model and loss; None without concrete numbers."""
    leaves = jax.tree.leaves((params, views.inputs, views.targets, views.key))
    if any(isinstance(leaf, Tracer | jax.ShapeDtypeStruct) for leaf in leaves):
        return None

    def compare(params: PyTree) -> tuple[Array, Array]:
        true = jnp.ones((), bool)
        return (
            _model_agrees(views, params) if ask_model else true,
            _loss_agrees(views, params) if ask_loss else true,
        )

    with jax.ensure_compile_time_eval():
        found = jax.jit(compare)(params)
    return bool(found[0]), bool(found[1])


def _model_agrees(views: Views, params: PyTree) -> Bool[Array, ""]:
    inputs, _ = views.data()

    def alone(params: PyTree) -> Array:
        def single(x: PyTree) -> Array:
            return views.rows.ravel(views.alone(params, jax.tree.map(lambda leaf: leaf[None], x)))[0]

        return jax.vmap(single)(inputs)

    return agree(views.outputs, alone, params)


def _loss_agrees_at_random(views: Views, closed: jex.ClosedJaxpr) -> bool:
    """Whether random outputs have the same losses in a batch and alone; False where the loss is not to be tried."""
    # Random numbers may keep a loop going for ever, and a call to the host is not ours to make.
    if any(_has(closed.jaxpr, name) for name in ("while", "pure_callback", "io_callback")):
        return False
    if any(isinstance(constant, Tracer) for constant in closed.consts):
        return False
    with jax.ensure_compile_time_eval():
        random = replace(views, targets=random_batch(views.targets))
        rows = jax.eval_shape(views.rows.ravel, views.rows.like(views.count))
        return bool(jax.jit(lambda rows: losses_agree(random, rows))(random_batch(rows)))


def _loss_agrees(views: Views, params: PyTree) -> Bool[Array, ""]:
    return losses_agree(views, views.outputs(params))


def losses_agree(views: Views, rows: Float[Array, "batch c"]) -> Bool[Array, ""]:
    """Return whether single examples have the losses of the whole batch, and their derivatives, at given outputs."""
    _, targets = views.data()

    def alone(rows: Array) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[:, 0], jax.vmap(views.terms_alone)(rows, targets))

    return agree(views.terms, alone, rows)


def _alone(views: Views, params: PyTree) -> jex.ClosedJaxpr | None:
    """Return the program of a batch of one; None if the model fails on it, or returns more than one output."""

    def outputs(params: PyTree, x: PyTree) -> PyTree:
        return views.alone(params, x) if views.keyed else views.objective.outputs(params, x, views.key)

    # It has just run on the whole batch: an exception here is about the size of the batch, and hides nothing.
    try:
        closed, found = traced(outputs, params, _one_of(views.data()[0] if views.keyed else views.inputs))
    except Exception:
        return None
    expected = views.rows.like(1)
    same = jax.tree.structure(found) == jax.tree.structure(expected) and all(
        (one.shape, one.dtype) == (other.shape, other.dtype)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    )
    return closed if same else None


def _model_meeting(views: Views, params: PyTree, model: jex.ClosedJaxpr, one: jex.ClosedJaxpr) -> str | None:
    """Return where the proof for the model fails, or None."""
    per_example = [False] * len(jax.tree.leaves(params)) + leads(views.inputs)
    met = first_meeting(model, per_example, views.count)
    if met is not None:
        return place(met)
    return None if views.count == 1 or same_program(model, one) else _OTHER_SIZE


def _loss_alone(views: Views) -> jex.ClosedJaxpr | None:
    """Return the program of the loss on a batch of one; None if the loss fails on it."""
    try:
        return traced(views.objective.terms, views.rows.like(1), _one_of(views.targets))[0]
    except Exception:  # as in `_alone`
        return None


def _loss_meeting(views: Views, many: jex.ClosedJaxpr, one: jex.ClosedJaxpr | None) -> str | None:
    """Return where the proof for the loss fails, or None."""
    if views.count == 1:
        return None
    per_example = [True] * len(views.rows.shapes) + leads(views.targets)
    met = first_meeting(many, per_example, views.count)
    if met is not None:
        return place(met)
    return None if one is not None and same_program(many, one) else _OTHER_SIZE


_OTHER_SIZE = "it computes something else for a batch of another size"


def _one_of(tree: PyTree) -> PyTree:
    """The shapes of a batch of one."""
    leaves, structure = jax.tree.flatten(tree)
    ones = [
        struct_of((1, *leaf.shape[1:]), leaf) if counts else leaf
        for leaf, counts in zip(leaves, leads(tree), strict=True)
    ]
    return jax.tree.unflatten(structure, ones)


def rules_and_rounding(function: Callable[..., PyTree], *arguments: PyTree) -> tuple[bool, float]:
    """Return whether a function has reverse-mode derivative rules only (`jax.custom_vjp`), and `Coupling.rounding`."""
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return _has(jaxpr, "custom_vjp_call"), coarsest_rounding(jaxpr)


def _has(jaxpr: jex.Jaxpr, name: str) -> bool:
    """Return whether a jaxpr contains, at any depth, a primitive whose name starts with `name`."""
    return any(equation.primitive.name.startswith(name) for equation in everywhere(jaxpr))


@own_promotion()
def independence(objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None = None) -> Coupling:
    """Whether the examples of a batch influence each other, how that is known, and where the proof failed.

    Args:
        objective: as for `newton`.
        params: where; numbers are compared near them.
        batch: `(inputs, targets)`.
        key: of the model, where it takes one.

    Raises:
        ValueError: for a batch or labels that cannot be right, and if the leading axis of the outputs does not count
            the examples.
    """
    check_objective(objective, "independence, and whatever asks for it,")
    check_batch(batch)
    inputs, targets = batch
    model, outputs = traced(lambda p, x: objective.outputs(p, x, key), params, inputs)
    check_labels(objective.loss, outputs, targets)
    found = judge(_views(objective, outputs, batch, key), params, model)
    return replace(found, rounding=coarsest_rounding(model.jaxpr))


def views_of(objective: Objective, params: PyTree, batch: Batch, key: Key[Array, ""] | None) -> Views:
    """Return the two parts of the objective on a batch."""
    outputs = jax.eval_shape(lambda p, x: objective.outputs(p, x, key), params, batch[0])
    return _views(objective, outputs, batch, key)


def _views(objective: Objective, outputs: PyTree, batch: Batch, key: Key[Array, ""] | None) -> Views:
    inputs, targets = batch
    count = example_count(inputs)
    shapes = [leaf.shape for leaf in jax.tree.leaves(outputs)]
    if any(shape[:1] != (count,) for shape in shapes) or not shapes:
        told = shapes[0] if len(shapes) == 1 else shapes
        raise ValueError(
            f"predict returned outputs of shape {told} for {count} examples: their leading axis must count "
            "the examples. Keep positions or tokens on an axis of their own and sum over it in the loss"
        )
    return Views(objective, inputs, targets, key, count, OutputRows.of(outputs))
