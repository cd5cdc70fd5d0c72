"""The generalised Gauss-Newton matrix."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.records import System
from .base import AbstractCurvature
from .objective import Batch, Objective
from .partition import Block


class GaussNewton(AbstractCurvature):
    """Generalised Gauss-Newton block `(1/B) sum_n J_n^T D_n J_n` (Schraudolph 2002, eq. 10; Martens 2020, section 8).

    `J_n` is the Jacobian of example n's outputs in the parameters of the block, `D_n` the Hessian of its loss in the
    outputs. Where the loss is convex in the outputs (cross-entropy, squares) the block is positive semidefinite by
    construction, and the system says so.

    Attributes:
        convex_loss: whether `loss` is convex in the outputs. With False nothing is claimed about definiteness.
        chunk_bytes: memory for the Jacobians of the examples that are handled together.
    """

    convex_loss: bool = eqx.field(static=True, default=True)
    chunk_bytes: int = eqx.field(static=True, default=2**26)

    @property
    def semidefinite(self) -> bool:
        return self.convex_loss

    def form(self, objective: Objective, params: PyTree, batch: Batch, block: Block) -> System:
        """The block, accumulated over chunks of examples with one matrix product each."""
        vector = block.take(params)
        inputs, targets = batch
        size = jax.tree.leaves(inputs)[0].shape[0]

        def outputs_of(w: Float[Array, " n"], x: PyTree) -> Float[Array, " c"]:
            single = jax.tree.map(lambda leaf: leaf[None], x)
            return jnp.ravel(objective.predict(block.put(params, w), single)[0])

        outputs = jax.eval_shape(objective.predict, params, inputs)
        output_shape, width = outputs.shape[1:], max(1, outputs.size // size)

        def loss_of(z: Float[Array, " c"], y: PyTree) -> Float[Array, ""]:
            single = jax.tree.map(lambda leaf: leaf[None], y)
            return objective.values(z.reshape(1, *output_shape), single)[0]

        def contribution(example: Batch) -> tuple[Float[Array, "c n"], Float[Array, "c n"]]:
            x, y = example
            z, pullback = jax.vjp(lambda w: outputs_of(w, x), vector)
            jacobian = jax.vmap(lambda row: pullback(row)[0])(jnp.eye(width, dtype=z.dtype))
            return jacobian, jax.hessian(loss_of)(z, y) @ jacobian

        def accumulate(total: Float[Array, "n n"], chunk: Batch) -> tuple[Float[Array, "n n"], None]:
            left, right = jax.vmap(contribution)(chunk)
            return total + left.reshape(-1, block.n).T @ right.reshape(-1, block.n), None

        per_example = 2 * width * block.n * vector.dtype.itemsize
        chunk = max(1, min(size, self.chunk_bytes // per_example))
        whole_chunks, left_over = divmod(size, chunk)
        head = jax.tree.map(lambda a: a[: whole_chunks * chunk].reshape(whole_chunks, chunk, *a.shape[1:]), batch)
        total, _ = jax.lax.scan(accumulate, jnp.zeros((block.n, block.n), vector.dtype), head)
        if left_over:
            total, _ = accumulate(total, jax.tree.map(lambda a: a[whole_chunks * chunk :], batch))
        return self.system(total / size)
