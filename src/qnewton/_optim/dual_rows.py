"""The rows of a Gauss-Newton matrix: an objective's residuals at a point, and products with their Jacobian."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.memory import available_bytes, checks_suspended
from .._core.one_kernel import in_one_kernel
from .._core.pieces import piece
from .._core.traces import begun, over_last, trace
from .._core.trees import ravel, unravel
from .._curvature.examples import Examples
from .._curvature.gram_root import GramRoot
from .._curvature.kronecker import Layer, layout_of
from .._curvature.linear_pair import linear_pair
from .._curvature.loss_scale import LossScale
from .._curvature.partition import Block
from .._curvature.point import Point
from .._curvature.roots import UNROLLED, LossDerivatives, largest_terms, positive_root, same_hessian, solved, times

COPIES = 2
"""Arrays `[rows, rows]` without which nothing is solved: the Gram matrix and its factor. The least, not the peak."""
SMALLEST_STRIPED = 192
"""Rows below which one product is as fast."""
LAYER_OVERHEAD = 64
"""Passes over `[rows, rows]` arrays for one layer, in units of the multiplications that one pass costs."""
NEGLIGIBLE = 2**21
"""Multiplications of a dense Gram matrix below which a step is as fast with it, and compiled in half the time."""


@dataclass(frozen=True)
class Rows:
    """Matrix `R = D^{1/2} J / sqrt(total)`, one row per example and output, and `r` with `R^T r` the gradient.

    For half squares `r` holds the residuals themselves, divided by `sqrt(total)` and times the roots of their weights.
    For another loss with gradient `g_n` and Hessian `D_n = L_n L_n^T` in the outputs, `L_n r_n = g_n`: its quadratic
    model is a sum of half squares of `r + R d`, up to a constant. The l2 term is in neither. Both are those of the
    loss divided by its unit, so that multiples of a loss have the same rows.

    Attributes:
        scale: the loss's unit on these examples.
        unit_root: square root of its divisor.
        residual: `r` `[rows]`.
        half: `L_n / sqrt(total)` `[examples, c, c]`.
        push: `[k, n]` to `R v` for each of the k vectors `[k, rows]`.
        pull: `[k, rows]` to `R^T u` for each `[k, n]`.
        gram: the lower triangle of `R R^T` `[rows, rows]`; what is above the diagonal has no meaning.
        matrix: `R` `[rows, n]`; None where it was not formed.
    """

    scale: LossScale
    unit_root: Float[Array, ""]
    residual: Float[Array, " rows"]
    half: Float[Array, "batch c c"]
    push: Callable[[Float[Array, "k n"]], Float[Array, "k rows"]]
    pull: Callable[[Float[Array, "k rows"]], Float[Array, "k n"]]
    gram: Callable[[], Float[Array, "rows rows"]]
    matrix: Float[Array, "rows n"] | None = None

    @classmethod
    def dense(
        cls,
        scale: LossScale,
        unit_root: Float[Array, ""],
        residual: Float[Array, " rows"],
        half: Float[Array, "batch c c"],
        matrix: Float[Array, "rows n"],
    ) -> "Rows":
        """Return the rows with `R` formed."""
        push, pull = (lambda v: v @ matrix.T), (lambda u: u @ matrix)
        return cls(scale, unit_root, residual, half, push, pull, lambda: _lower_gram(matrix), matrix)

    def in_units(self, factors: Float[Array, " n"]) -> "Rows":
        """Return `R F`, in which every parameter has a unit of `F_i` old ones. Needs the matrix."""
        assert self.matrix is not None
        return self.dense(self.scale, self.unit_root, self.residual, self.half, self.matrix * factors)

    def weighted(self, outputs: Float[Array, "batch c"]) -> Float[Array, " rows"]:
        """Tangents of the outputs as tangents of the residuals: `L^T z / sqrt(total)`."""
        return jnp.ravel(times(self.half, outputs))


def rows_of(point: Point, block: Block, *, dense: bool = False, square: bool = True) -> Rows:
    """Return the rows in the parameters of one block, from the layers if that takes less work than a dense Jacobian.

    Args:
        point: whose examples they are.
        block: in which parameters.
        dense: whether the matrix is wanted, whatever it costs.
        square: whether the Gram matrix will be.

    Raises:
        MemoryError: where the rows would not fit.
    """
    examples = point.examples
    layers = None if dense else _layers_that_pay(point, block)
    check_rows_fit(
        examples.count, examples.width, 0 if layers else block.n, point.like(block).dtype.itemsize, square=square
    )
    scale, unit_root, root, slope = _output_root(point, point.outputs_of_all())
    total = jnp.sqrt(jnp.asarray(examples.total / examples.heaviest, root.dtype))
    half, residual = root / total, jnp.ravel(slope) / total
    if layers is None:
        return Rows.dense(scale, unit_root, residual, half, _jacobian(point, half))

    parts, verdict = block.parts(point.params), examples.verdict

    def outputs(parts: list[Array]) -> Float[Array, "batch c"]:
        return examples.all_outputs(block.put_parts(point.params, parts))

    # Leaf by leaf: from a vector each would be cut out, and pulled back into zeros of its length.
    _, push, pull = linear_pair(outputs, parts, verdict.reverse_only, verdict.rounding)
    implicit = GramRoot(half, lambda v: push(unravel(v, parts)), lambda u: ravel(pull(u)), point, block, layers)
    return Rows(scale, unit_root, residual, half, jax.vmap(implicit.mv), jax.vmap(implicit.transpose_mv), implicit.gram)


def check_rows_fit(
    examples: int, outputs: int, n: int, itemsize: int, available: float | None = None, *, square: bool = True
) -> None:
    """Refuse rows whose Gram matrix and Jacobian cannot fit in memory.

    Counts each of them once, and the Gram matrix's factor: the least of any step, so that nothing is refused that would
    fit. `memory_estimate` tells the whole step's peak.

    Args:
        examples: of the batch.
        outputs: of each example; the product is the number of rows.
        n: parameters, where the dense Jacobian is formed; otherwise 0.
        itemsize: bytes of an entry.
        available: bytes; None asks the machine.
        square: whether the Gram matrix and its factors are needed.

    Raises:
        MemoryError: with the size, and what to use instead.
    """
    if checks_suspended():
        return
    available = available_bytes() if available is None else available
    rows = examples * outputs
    needed = (COPIES * rows**2 * square + rows * n) * itemsize
    if needed > available:
        raise MemoryError(
            f"{examples:,} examples of {outputs:,} outputs make {rows:,} residuals: the dual system and the Jacobian "
            f"need at least {needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are free. dual_newton suits up "
            "to about 1,500 residuals: use smaller batches, or qnewton.newton, whose systems grow with the parameters "
            "instead"
        )


def _output_root(
    point: Point, z: Float[Array, "batch c"]
) -> tuple[LossScale, Float[Array, ""], Float[Array, "batch c c"], Float[Array, "batch c"]]:
    """Return the unit, the root of its divisor, `L_n` and `r_n`: `L_n L_n^T = D_n`, `L_n r_n = g_n` in that unit.

    Weights are at most 1.
    """
    examples = point.examples
    hessian = same_hessian(examples, z)
    if hessian is not None:
        return _same_root(examples, z, hessian)
    found = LossDerivatives.of(examples, z)
    reach = over_last(jnp.abs(found.curvature))
    sizes = LossScale.sizes(z, found.slope, reach, examples.channels)
    terms = [over_last(jnp.abs(z), largest=True), trace(found.curvature), found.trace_at_zero, found.slope_at_zero]
    # By one reduction, for the reason that `in_one_kernel` gives.
    parts = begun(jnp.concatenate([sizes, jnp.stack(terms)]), largest=True)

    def units() -> tuple[LossScale, Array, Array, Array, Array]:
        largest = jnp.max(parts, axis=1)
        heaviest = jnp.asarray(examples.heaviest, z.dtype)
        scale = LossScale.measured(largest[:3], heaviest, z.dtype)
        one = scale.divisor * heaviest
        lift = scale.lift / one
        elsewhere = largest_terms(trace_at_zero=largest[5], slope_at_zero=largest[6], size=largest[3])
        traces = largest[4] / one + examples.width * lift * heaviest, elsewhere / one
        return scale, jnp.sqrt(scale.divisor), 1 / one, lift, jnp.stack(traces)

    # Multiplied with an inverse, which is part of what comes next: a quotient would be a kernel.
    scale, unit_root, inverse, lift, traces = in_one_kernel(units)
    lift = (lift * examples.own_weights(z)).astype(z.dtype).reshape(-1, 1, 1)
    slope, curvature = found.slope * inverse, found.curvature * inverse + lift * jnp.eye(examples.width, dtype=z.dtype)
    # Where a loss has slope but no curvature (the tails of Huber's, a saturated softmax) a tiny root keeps the slope:
    # products of r and R are what counts, and in them its size cancels.
    root = positive_root(curvature, traces)
    if examples.width == 1:
        root = jnp.maximum(root, jnp.sqrt(jnp.finfo(root.dtype).tiny).astype(root.dtype))
    return scale, unit_root, root, solved(root, slope)


def _same_root(
    examples: Examples, z: Float[Array, "batch c"], hessian: Callable[[], Float[Array, "c c"]]
) -> tuple[LossScale, Float[Array, ""], Float[Array, "batch c c"], Float[Array, "batch c"]]:
    """`_output_root` of losses that have the same curvature everywhere: one factorisation, and no lift."""
    width, short = examples.width, examples.width <= UNROLLED

    def root_of(curvature: Float[Array, "c c"]) -> Float[Array, "c c"]:
        return positive_root(curvature[None], jnp.broadcast_to(jnp.trace(curvature), 2))[0]

    def units() -> tuple[LossScale, Array, Array, Array, Array]:
        curvature, nothing = hessian(), jnp.zeros((1, width), z.dtype)
        reach = over_last(jnp.abs(curvature))
        sizes = LossScale.sizes(nothing, nothing, reach[None], examples.channels)
        scale = LossScale.measured(sizes[:, 0], examples.heaviest, z.dtype)
        inverse = 1 / (scale.divisor * examples.heaviest)
        curvature = curvature * inverse
        told = scale, jnp.sqrt(scale.divisor), inverse
        if not short:
            return *told, curvature, curvature
        root = root_of(curvature)
        unit_vectors = jnp.eye(width, dtype=z.dtype) * inverse
        return *told, root, solved(jnp.broadcast_to(root, (width, width, width)), unit_vectors)

    scale, unit_root, inverse, root, columns = in_one_kernel(units)
    slope = jax.vmap(jax.grad(examples.loss))(z, examples.batch[1])
    if short:
        residual = jnp.sum(slope[:, :, None] * columns, axis=1)
    else:
        root = root_of(root)
        residual = jax.lax.linalg.triangular_solve(root, slope * inverse, lower=True, transpose_a=True)
    return scale, unit_root, jnp.broadcast_to(root, (len(z), width, width)), residual


def _jacobian(point: Point, half: Float[Array, "batch c c"]) -> Float[Array, "rows n"]:
    pieces = point.pieces
    if pieces is not None:
        # Every replica needs all rows, which each makes for its own examples.
        with piece(pieces):
            own = _jacobian(point.piece(pieces), pieces.own(half))
        return pieces.whole(own)
    examples, params = point.examples, point.params

    def single(x: PyTree, half: Float[Array, "c c"]) -> PyTree:
        _, pullback = jax.vjp(lambda p: examples.outputs(p, x), params)
        return jax.vmap(lambda row: pullback(row)[0])(half.T)

    # Leaf by leaf, and joined once: pulled back to a raveled vector, every example would be joined on its own.
    leaves = jax.tree.leaves(jax.vmap(single)(examples.batch[0], half))
    return jnp.concatenate([leaf.reshape(examples.count * examples.width, -1) for leaf in leaves], axis=1)


def _lower_gram(matrix: Float[Array, "rows n"]) -> Float[Array, "rows rows"]:
    """Return the lower triangle from two parallel strips of equal work: 0.76 of the operations of the square.

    More strips save more operations and cost more to compile than some hundred steps win back.
    """
    rows = matrix.shape[0]
    if rows < SMALLEST_STRIPED:
        return matrix @ matrix.T
    cut = round(0.618 * rows)  # c^2 = 1 - c
    upper = jnp.pad(matrix[:cut] @ matrix[:cut].T, ((0, 0), (0, rows - cut)))
    return jnp.concatenate([upper, matrix[cut:] @ matrix.T])


def _layers_that_pay(point: Point, block: Block) -> list[Layer] | None:
    """Return the layers if all parameters belong to one that is used once per example, and this is less work.

    Entries of `R R^T` are then `sum_u (x_n.x_m) (s_n.s_m)`, work that grows with inputs plus outputs of a layer and
    not with their product.
    """
    if (point.examples.count * point.examples.width) ** 2 * block.n <= NEGLIGIBLE:
        return None
    layers = point.layers(block)
    if not layers or layout_of(block, layers, point.sizes(block)) is None:
        return None
    if any(layer.lead.positions != 1 for layer in layers):
        return None
    work = sum(sum(layer.shape) + LAYER_OVERHEAD for layer in layers)
    return layers if work < 2 / 3 * block.n else None
