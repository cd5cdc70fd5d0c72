"""The square root of a Gauss-Newton block, with one row per example and output."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._core.operators import AbstractRoot
from .._core.traces import trace
from .kronecker import Layer
from .partition import Block
from .point import Point
from .roots import LossDerivatives, batched_root, largest_terms, times


class GramRoot(AbstractRoot):
    """Square root `R = D^{1/2} J / sqrt(total)`, rows ordered by example, then output.

    Attributes:
        half: `L` with `L L^T = D` `[batch, c, c]`, divided by `sqrt(total)`.
        push, pull: products with the Jacobian and its transpose.
        point, block, layers: as in `GramOperator`, to form the Gram matrix.
    """

    half: Float[Array, "batch c c"]
    push: Callable[[Array], Array]
    pull: Callable[[Array], Array]
    point: Point
    block: Block
    layers: Sequence[Layer] | None = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        point: Point,
        block: Block,
        layers: Sequence[Layer] | None,
        push: Callable[[Array], Array],
        pull: Callable[[Array], Array],
    ) -> "GramRoot":
        """Factor the curvature in the outputs."""
        examples = point.examples
        outputs = point.outputs_of_all()
        found = LossDerivatives.of(examples, outputs)
        sizes = (found.trace_at_zero, found.slope_at_zero, jnp.abs(outputs))
        traces = jnp.max(trace(found.curvature)), largest_terms(*(jnp.max(size) for size in sizes))
        root = batched_root(found.curvature, jnp.stack(traces))
        half = root / jnp.sqrt(jnp.asarray(examples.total, root.dtype))
        return cls(half, push, pull, point, block, layers)

    @property
    def rows(self) -> int:
        return self.point.examples.count * self.point.examples.width

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " rows"]:
        return jnp.ravel(times(self.half, self.push(vector)))

    def transpose_mv(self, vector: Float[Array, " rows"]) -> Float[Array, " n"]:
        return self.pull(times(self.half.mT, vector.reshape(self.half.shape[:2])))

    def gram(self) -> Float[Array, "rows rows"]:
        """Return `R R^T`, from layers `sum_u (x_n.x_m) (s_n.s_m)`.

        The rows of `D^{1/2}`, pulled back to the layers' outputs, are `s`.

        The Jacobian is then never written out.
        """
        if self.layers is not None and _once_each(self.layers):
            return self._from_layers(self.layers)
        rows = self._jacobian() if self.point.examples.verdict.model else self._rows_together()
        return rows @ rows.T

    def _from_layers(self, layers: Sequence[Layer]) -> Float[Array, "rows rows"]:
        leads = [layer.lead for layer in layers]
        dtype = self.half.dtype

        def single(x: PyTree, half: Float[Array, "c c"]) -> tuple[list[Array], list[Array]]:
            def outputs(given: list[Array]) -> tuple[Array, list[Array]]:
                z, inputs = self.point.program.run(self.point.params, x, dict(zip(leads, given, strict=True)))
                return z, [inputs[lead] for lead in leads]

            zeros = [jnp.zeros((1, lead.index.shape[1]), dtype) for lead in leads]
            _, pullback, inputs = jax.vjp(outputs, zeros, has_aux=True)
            (signals,) = jax.vmap(pullback)(half.T)
            extended = [layer.extend(x)[0].astype(dtype) for layer, x in zip(layers, inputs, strict=True)]
            return extended, [s[:, 0] for s in signals]

        inputs, signals = jax.vmap(single)(self.point.examples.batch[0], self.half)
        total = jnp.zeros((self.rows, self.rows), dtype)
        width = self.half.shape[1]
        for x, s in zip(inputs, signals, strict=True):
            rows = s.reshape(self.rows, -1)
            total = total + jnp.repeat(jnp.repeat(x @ x.T, width, axis=0), width, axis=1) * (rows @ rows.T)
        return total

    def _rows_together(self) -> Float[Array, "rows n"]:
        """Return the rows one by one for a model whose examples influence each other, each through the whole batch."""
        width = self.half.shape[1]

        def row(number: Int[Array, ""]) -> Float[Array, " n"]:
            example, output = number // width, number % width
            signal = jnp.zeros(self.half.shape[:2], self.half.dtype)
            return self.pull(signal.at[example].set(self.half[example, :, output]))

        return jax.lax.map(row, jnp.arange(self.rows, dtype=jnp.int32), batch_size=min(64, self.rows))

    def _jacobian(self) -> Float[Array, "rows n"]:
        examples, block, params = self.point.examples, self.block, self.point.params
        vector = block.take(params)

        def single(x: PyTree, half: Float[Array, "c c"]) -> Float[Array, "c n"]:
            _, pullback = jax.vjp(lambda w: examples.outputs(block.put(params, w), x), vector)
            return jax.vmap(lambda row: pullback(row)[0])(half.T)

        return jax.vmap(single)(examples.batch[0], self.half).reshape(self.rows, block.n)


def _once_each(layers: Sequence[Layer]) -> bool:
    """Whether each parameter is used once, at one position; otherwise the products between its uses count too."""
    used = [use.leaf for layer in layers for use, _ in layer.members]
    return len(set(used)) == len(used) and all(layer.lead.positions == 1 for layer in layers)
