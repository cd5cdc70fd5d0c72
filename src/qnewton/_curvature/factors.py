"""Kronecker factors of layers from one backward pass per probe."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core.layout import Layout
from .._core.operators import KroneckerFactors
from .._core.pieces import all_examples, as_own, at_hand, over_all, piece
from .._core.traces import trace
from .._core.trees import ravel
from .chunks import sum_over_chunks
from .kronecker import Layer, layout_of
from .loss_scale import LossScale
from .output_curvature import OutputCurvature
from .partition import Block
from .point import Point
from .roots import positive_root

_PROBES = 0xFAC


class KnownInputs(NamedTuple):
    """An input factor that was found before, and whether the layer's inputs are unchanged."""

    factor: Float[Array, "i i"]
    holds: Bool[Array, ""]


class Signals(eqx.Module):
    """The inputs and backward signals of every example in the layers.

    Attributes:
        layout: where the layers lie in the block.
        inputs: `x` `[batch, t, i]` per layer, 1 for each bias included; of several copies `[batch, copies, t, i]`. A
            further use of the same parameters is so many more positions.
        backward: `delta` `[probes, batch, t, a]` per layer, or `[probes, batch, copies, t, a]`; over random probes the
            mean of `delta delta^T` is the example's curvature in the layer's outputs.
        total: what sums over the examples are divided by.
        scale: the loss's unit, in which `backward` is; None where it is in the loss's own.
        turned: by layer, `x` and `delta` of uses that take its outputs for inputs.
    """

    layout: Layout
    inputs: list[Float[Array, "batch *c t i"]]
    backward: list[Float[Array, "probes batch *c t a"]]
    total: Float[Array, ""] | float
    scale: LossScale | None
    turned: dict[int, tuple[Float[Array, "batch t a"], Float[Array, "probes batch t i"]]]

    def factors(
        self, diagonal: Callable[[], Float[Array, " n"]], known: Mapping[int, "KnownInputs"] | None = None
    ) -> KroneckerFactors:
        """`A = mean over examples of sum_t x_t x_t^T`, `G = sum over examples of mean_t delta_t delta_t^T / total`.

        For positions that share a weight this takes positions to be independent (KFC: Grosse and Martens 2016, 3.1).
        Copies with one output, as those of a depthwise convolution, need not: `A` is their block, and `G` is 1.

        Args:
            diagonal: of the whole block; asked only where parameters lie outside of layers.
            known: by layer, the input factor as it was found before, and whether it still holds.
        """
        inputs, outputs = [], []
        for k, (x, delta) in enumerate(zip(self.inputs, self.backward, strict=True)):
            found = None if known is None else known.get(k)
            if found is None:
                a = self._of_inputs(x)
            else:
                a = jax.lax.cond(found.holds, lambda f=found: f.factor, lambda x=x: self._of_inputs(x))
            g = self._of_outputs(delta)
            if x.ndim > 3 and delta.shape[-1] == 1:
                a, g = self._of_gradients(x, delta), jnp.ones_like(g)
            if k in self.turned:
                x, delta = self.turned[k]
                a, g = _summed((a, g), (self._of_outputs(delta), self._of_inputs(x)))
            inputs.append(a)
            outputs.append(g)
        rest = self.layout.split(diagonal())[1] if self.layout.rest else jnp.zeros(0, self.inputs[0].dtype)
        return KroneckerFactors(self.layout, tuple(inputs), tuple(outputs), rest)

    def _of_inputs(self, x: Float[Array, "batch *c t i"]) -> Float[Array, "*c i i"]:
        count = all_examples(self.inputs[0].shape[0])
        if x.ndim > 3:
            return over_all(jnp.einsum("ncti,nctj->cij", x, x)) / count
        rows = x.reshape(-1, x.shape[-1])
        return over_all(rows.T @ rows) / count

    def _of_outputs(self, delta: Float[Array, "probes batch *c t a"]) -> Float[Array, "*c a a"]:
        shared = self.total * delta.shape[0] * delta.shape[-2]
        if delta.ndim > 4:
            return over_all(jnp.einsum("pncta,pnctb->cab", delta, delta)) / shared
        columns = delta.reshape(-1, delta.shape[-1])
        return over_all(columns.T @ columns) / shared

    def _of_gradients(
        self, x: Float[Array, "batch c t i"], delta: Float[Array, "probes batch c t 1"]
    ) -> Float[Array, "c i i"]:
        gradients = jnp.einsum("ncti,pncta->pnci", x, delta)
        return over_all(jnp.einsum("pnci,pncj->cij", gradients, gradients)) / (self.total * delta.shape[0])

    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        """Second moments of the examples' gradients `sum_t x_t delta_t^T` in the given bases."""
        parts = []
        for x, delta, (left, right) in zip(self.inputs, self.backward, bases, strict=True):
            x, delta = x @ left, delta @ right
            if x.shape[1] == 1:
                squares = jnp.mean(delta[:, :, 0] ** 2, axis=0)
                parts.append((x[:, 0] ** 2).T @ squares / self.total)
            else:
                gradients = jnp.einsum("nti,pnta->pnia", x, delta)
                parts.append(jnp.sum(gradients**2, axis=(0, 1)) / (self.total * delta.shape[0]))
        return parts


def _summed(
    first: tuple[Float[Array, "i i"], Float[Array, "a a"]], second: tuple[Float[Array, "i i"], Float[Array, "a a"]]
) -> tuple[Float[Array, "i i"], Float[Array, "a a"]]:
    """Return one Kronecker product for a sum of two, with equal partial traces and the trace of the first `A`."""
    (a, g), (b, h) = first, second
    of_a, of_g, of_b, of_h = trace(a), trace(g), trace(b), trace(h)
    unit, total = jnp.where(of_a > 0, of_a, 1), of_a * of_g + of_b * of_h
    mixed = (a * of_g + b * of_h) * (unit / jnp.where(total > 0, total, 1))
    return jnp.where(total > 0, mixed, a), jnp.where(total > 0, (g * of_a + h * of_b) / unit, g)


def block_signals(point: Point, block: Block, layers: Sequence[Layer] | None) -> Signals | None:
    """Return the signals of a block's layers; None without a layout, or if a parameter is not recognised."""
    if layers is None:
        return None
    layout = layout_of(block, layers, point.sizes(block))
    return None if layout is None else layer_signals(point, layers, layout)


def layer_signals(
    point: Point,
    layers: Sequence[Layer],
    layout: Layout,
    probes: int = 1,
    key: Key[Array, ""] | None = None,
    known: LossScale | None = None,
) -> Signals:
    """Run one forward pass, and one backward pass per probe from `D^{1/2} e` with `e` of random signs.

    Args:
        point: where.
        layers: whose signals.
        layout: of the layers in the block.
        probes: number of random vectors per example; the curvature in the outputs is only right in the mean over them.
        key: of the probes; None takes always the same.
        known: as of `probe`.
    """
    examples = point.examples
    every = [one for layer in layers for one in layer.whole]
    leads = [one.lead for one in every]
    dtype = jax.tree.leaves(point.params)[0].dtype
    inputs_of = examples.batch[0]

    def outputs(given: list[Array]) -> tuple[Float[Array, "batch c"], list[Float[Array, "batch *c t i"]]]:
        def single(x: PyTree, perturbation: list[Array]) -> tuple[Array, list[Array]]:
            z, inputs = point.program.run(point.params, x, dict(zip(leads, perturbation, strict=True)))
            return z, [inputs[lead] for lead in leads]

        return jax.vmap(single)(inputs_of, given)

    zeros = as_own([jnp.zeros((examples.count, *lead.output_shape), dtype) for lead in leads])
    z, pullback, inputs = jax.vjp(outputs, zeros, has_aux=True)
    signals, scale = probe(point, z, _signs(key, probes, z), known)
    (backward,) = jax.vmap(pullback)(signals)
    extended = [jax.vmap(one.extend)(x.astype(dtype)) for one, x in zip(every, inputs, strict=True)]
    sent = iter(zip(extended, [delta.astype(dtype) for delta in backward], strict=True))
    merged, turned = [], {}
    for k, layer in enumerate(layers):
        by_way: dict[bool, list[tuple[Array, Array]]] = {}
        for one in layer.whole:
            by_way.setdefault(layer.turns(one), []).append(next(sent))
        merged.append(_in_a_row(by_way[False]))
        if True in by_way:
            turned[k] = _in_a_row(by_way[True])
    forward, back = zip(*merged, strict=True)
    return Signals(layout, list(forward), list(back), examples.total, scale, turned)


def _in_a_row(uses: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return inputs and signals of several uses, the positions of one use after those of the other."""
    if len(uses) == 1:
        return uses[0]
    forward, back = zip(*uses, strict=True)
    return jnp.concatenate(forward, axis=-2), jnp.concatenate(back, axis=-2)


def probe(
    point: Point,
    outputs: Float[Array, "batch c"],
    signs: Float[Array, "probes batch c"],
    known: LossScale | None = None,
) -> tuple[Float[Array, "probes batch c"], LossScale | None]:
    """Return `D^{1/2} e` for every example and probe, without any matrix where the loss's program allows that.

    For an example whose `D` is not positive semidefinite, the positive part of the diagonal replaces it. (That of
    cross-entropy is semidefinite only up to rounding, which is all that is left of it where a probability is nearly 1.)

    Args:
        point: where.
        outputs: of every example.
        signs: `e`.
        known: the loss's unit so far, in which `D` is then taken, with a lift where all of it is zero; None takes it as
            it is.

    Returns:
        The signals, and the unit as it is known from here on.
    """
    slope, curve = jax.linearize(jax.grad(point.total_loss), outputs)
    found = OutputCurvature.of(curve, outputs)
    if found is not None:
        rooted, reach = found.rooted(signs), found.reach
    else:
        curvature = jax.vmap(jax.hessian(point.examples.loss))(outputs, point.examples.batch[1])
        reach = jnp.sum(jnp.abs(curvature), axis=2)
        # Written out: a product of matrix and vector per example is slow on a CPU.
        rooted = jnp.sum(positive_root(curvature) * signs[:, :, None, :], axis=-1)
    if known is None:
        return rooted, None
    scale = known.after(LossScale.seen(outputs, slope, reach, point.examples.channels, point.examples.heaviest))
    one = jnp.sqrt(scale.divisor).astype(outputs.dtype)
    lift = jnp.sqrt(scale.lift * point.examples.own_weights(outputs)).astype(outputs.dtype).reshape(-1, 1)
    return jnp.where(scale.flat, lift * signs, rooted) / one, scale


def probed_diagonal(
    point: Point,
    leaves: Sequence[int],
    probes: int = 1,
    key: Key[Array, ""] | None = None,
    known: LossScale | None = None,
    chunk_bytes: int = 2**26,
) -> tuple[Float[Array, " rest"], LossScale | None]:
    """Return the diagonal of some leaves' curvature, as the mean of squared probe gradients.

    It is the mean over probes of `sum_n (J_n^T D_n^{1/2} e_n)^2`.

    Unbiased, and with one backward pass per probe instead of one per output.

    Args:
        point: where.
        leaves: positions in the flattened parameters.
        probes: number of random vectors per example.
        key: of the probes; None takes always the same, and those of `layer_signals` with the same key.
        known: as of `probe`, which says what is returned besides.
        chunk_bytes: memory for the gradients of the examples that are handled together.
    """
    all_leaves, structure = jax.tree.flatten(point.params)
    given = [all_leaves[leaf] for leaf in leaves]
    outputs = point.outputs_of_all()
    signals, scale = probe(point, outputs, _signs(key, probes, outputs), known)

    def single(values: list[Array], x: PyTree) -> Float[Array, " c"]:
        changed = dict(zip(leaves, values, strict=True))
        merged = [changed.get(leaf, value) for leaf, value in enumerate(all_leaves)]
        return point.examples.outputs(jax.tree.unflatten(structure, merged), x)

    def gradients(x: PyTree, signal: Float[Array, "probes c"]) -> Float[Array, "probes rest"]:
        _, pullback = jax.vjp(lambda values: single(values, x), given)
        return jax.vmap(lambda u: ravel(pullback(u)[0]))(signal)

    def add(total: Array, chunk: PyTree) -> Array:
        return total + jnp.sum(jax.vmap(gradients)(*chunk) ** 2, axis=(0, 1))

    size = sum(value.size for value in given)
    zero = jnp.zeros(size, given[0].dtype)
    data = (point.examples.batch[0], jnp.swapaxes(signals, 0, 1))
    total = sum_over_chunks(add, zero, data, probes * size * zero.dtype.itemsize, chunk_bytes)
    return over_all(total) / (probes * point.examples.total), scale


def estimate_factors(
    point: Point,
    layers: Sequence[Layer],
    layout: Layout,
    known: LossScale,
    probes: int = 1,
    key: Key[Array, ""] | None = None,
    inputs: Mapping[int, KnownInputs] | None = None,
) -> tuple[KroneckerFactors, LossScale]:
    """Factors of the layers and a probed diagonal of the rest, without any derivative per output.

    Args:
        point: where.
        layers: of the layout, in its order; may be empty.
        layout: of the whole network.
        known: the loss's unit so far.
        probes: number of random vectors per example.
        key: of the probes; None takes always the same.
        inputs: of layers whose inputs may be those of before, see `Signals.factors`.

    Returns:
        The factors in the loss's unit, and that unit.
    """
    pieces = point.pieces
    if pieces is not None:
        with piece(pieces):
            return estimate_factors(point.piece(pieces), layers, layout, known, probes, key, inputs)
    leaves = jax.tree.leaves(point.params)
    owned = {use.leaf for layer in layers for use, _ in layer.members}
    outside = [leaf for leaf in range(len(leaves)) if leaf not in owned]
    rest, scale = jnp.zeros(0, leaves[0].dtype), None
    if outside:
        rest, scale = probed_diagonal(point, outside, probes, key, known)
    if not layers:
        assert scale is not None
        return KroneckerFactors(layout, (), (), rest), scale
    signals = layer_signals(point, layers, layout, probes, key, known)
    assert signals.scale is not None
    in_place = jnp.zeros(layout.n, rest.dtype)
    position = 0
    for start, size in layout.rest:
        in_place = in_place.at[start : start + size].set(rest[position : position + size])
        position += size
    return signals.factors(lambda: in_place, inputs), signals.scale


def _signs(key: Key[Array, ""] | None, probes: int, outputs: Float[Array, "batch c"]) -> Float[Array, "probes batch c"]:
    key = jax.random.key(_PROBES) if key is None else key
    count, width = outputs.shape
    return at_hand(lambda examples: jax.random.rademacher(key, (probes, examples, width), outputs.dtype), count, 1)
