"""Detection of whether a step was applied unchanged, and the loss's verdict on the step that was taken instead.

A later transformation in a chain may change an optimizer's update: a factor, a clip, decayed weights. The trial of the
step is then of a step that was never taken. The parameters show this: they are not where the step led. A copy of them
would cost as much memory as they do, so two numbers of them are kept, sums with weights that look random.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, UInt32

from .._core.arrays import filled
from .._core.one_kernel import LARGE, in_one_kernel, paired
from .._core.traces import gram, inner
from .._curvature.fingerprint import fingerprint, scattered
from .rounding import lowered

Results = TypeVar("Results", bound=PyTree)

SEEN = 0.01
"""Part of a step by which another one must differ from it to count as another."""
UNIFORM = 0.05
"""Relative difference of the two sums' own factors up to which a step was only made longer or shorter."""
WRITTEN_OUT = 4096
"""Weights up to which each entry has its own: one product of matrices, where otherwise two and a copy are compiled."""
MANY = 4
"""Of so many vectors of weights on either side the sums tell about how large the parameters are."""


class Found(NamedTuple):
    """Findings about the last step, made before the next one.

    Attributes:
        altered: whether the parameters are not where it led.
        same: whether it was taken on the same batch, as far as is known; True where it was not altered.
        lower: whether the loss is lower since, on that batch; False where it was not altered, or the batch is another.
        ratio: actual over predicted decrease of the step that was taken, NaN where it is that which was tried. The
            prediction is the last step's own model's: of a step that was made longer or shorter that for the length
            that it has, else the whole one's.
        judges: whether the ratio says more than rounding.
        sums: over the parameters at present, two, and about their length.
        prints: of this batch.
    """

    altered: Bool[Array, ""]
    same: Bool[Array, ""]
    lower: Bool[Array, ""]
    ratio: Float[Array, ""]
    judges: Bool[Array, ""]
    sums: Float[Array, "3"]
    prints: UInt32[Array, "2"]


class Left(NamedTuple):
    """Record that a step leaves for the next one.

    Attributes:
        numbers: sums over the parameters that it led to, two; the same of the step itself, two; the rounding of such a
            sum; the loss before it; the decrease that the slope promised, and the one that was predicted, both 0 where
            nobody predicts any.
        prints: of its batch; zeros before the first step.
    """

    numbers: Float[Array, "8"]
    prints: UInt32[Array, "2"]

    @classmethod
    def nothing(cls, dtype: jnp.dtype) -> "Left":
        """Return the initial record, before the first step."""
        dtype = jnp.promote_types(dtype, jnp.float32)
        numbers = np.zeros(8, dtype)
        numbers[4] = jnp.finfo(dtype).max  # no sum differs by more
        return cls(jax.device_put(numbers), filled((2,), 0, jnp.uint32))

    def found(
        self,
        flat: Float[Array, " n"],
        batch: PyTree,
        loss: Float[Array, ""],
        then: Callable[[Found], Results],
    ) -> tuple[Found, Results]:
        """Return the findings about the step, and what is made of them.

        Args:
            flat: the parameters at present.
            batch: of the next step.
            loss: at present, on that batch.
            then: computes with scalars alone, in the same kernel.
        """
        (sums,), prints = sums_over(flat[None], self.numbers.dtype, MANY), prints_of(batch)

        def found() -> tuple[Found, Results]:
            # Of a sum of n numbers, each times two weights of mean square 1/3, the mean square is |w|^2 / 9.
            found = self.seen(sums, 3 * jnp.sqrt(jnp.mean(sums**2)), prints, loss)
            return found, then(found)

        return in_one_kernel(found)

    def seen(
        self, sums: Float[Array, "k k"], size: Float[Array, ""], prints: UInt32[Array, "2"], loss: Float[Array, ""]
    ) -> Found:
        """`found` from `sums_over` the parameters, their length and `prints_of` the batch: for `in_one_kernel`."""
        sums = _two(sums)
        expected, moves, rounding = self.numbers[:2], self.numbers[2:4], self.numbers[4]
        before, slope, predicted = self.numbers[5:]
        altered = jnp.any(jnp.abs(sums - expected) > rounding + SEEN * jnp.abs(moves))
        moved = moves != 0
        # Not divided by zero even where that is not read, or derivatives of the step were NaN.
        lengths = 1 + (sums - expected) / jnp.where(moved, moves, 1)
        length = (lengths[0] + lengths[1]) / 2
        uniform = jnp.all(moved) & (jnp.abs(lengths[0] - lengths[1]) <= UNIFORM * jnp.abs(length))
        shorter = length * slope - length**2 * (slope - predicted)
        same = ~altered | jnp.all(self.prints == 0) | jnp.all(self.prints == prints)
        now = loss.astype(before.dtype)
        decrease = jnp.where(altered & same, before - now, jnp.nan)
        predicted = jnp.where(uniform, shorter, predicted)
        usable = jnp.isfinite(decrease) & (predicted > 0)
        ratio = jnp.where(usable, decrease / jnp.where(usable, predicted, 1), jnp.nan)
        judges = jnp.isfinite(ratio) & ~lowered(now, decrease, predicted)[1]
        return Found(altered, same, decrease > 0, ratio, judges, jnp.append(sums, size.astype(sums.dtype)), prints)

    def after(
        self,
        found: Found,
        step: Float[Array, " n"],
        accepted: Bool[Array, ""],
        loss: Float[Array, ""],
        predicted: Float[Array, ""],
        stored: float,
        gradient: Float[Array, " n"],
        unit: Float[Array, ""] | float = 1.0,
    ) -> "Left":
        """Return the record of the next step.

        Args:
            found: of the last one.
            step: that is to be added to the parameters where it is accepted.
            accepted: whether it is; else they stay.
            loss: before it.
            predicted: decrease; NaN where nobody predicts one.
            stored: unit of rounding of the parameters as they are stored (`stored_rounding`).
            gradient: at the parameters.
            unit: what the loss was counted in when the gradient was taken.
        """
        if step.size < LARGE:
            vectors = paired(step, gradient)
            sums, product = sums_over(vectors, self.numbers.dtype), gram(vectors)[0, 1]
        else:
            sums, product = sums_over(step[None], self.numbers.dtype), inner(step, gradient)

        def left() -> Left:
            slope = -product * unit
            rounding = rounding_of(step, self.numbers.dtype, stored)
            return self.leaving(found, sums[0], accepted, loss, slope, predicted, rounding)

        return in_one_kernel(left)

    def leaving(
        self,
        found: Found,
        sums: Float[Array, "k k"],
        accepted: Bool[Array, ""],
        loss: Float[Array, ""],
        slope: Float[Array, ""],
        predicted: Float[Array, ""],
        rounding: float,
    ) -> "Left":
        """`after` from `sums_over` the step, its slope and `rounding_of` the parameters: scalars alone."""
        moves = jnp.where(accepted, _two(sums), 0)
        told = [jnp.where(accepted & jnp.isfinite(predicted), one, 0) for one in (slope, predicted)]
        scalars = [one.astype(moves.dtype) for one in (rounding * found.sums[2], loss, *told)]
        return Left(jnp.concatenate([found.sums[:2] + moves, moves, jnp.stack(scalars)]), found.prints)


def rounding_of(flat: Float[Array, " n"], dtype: jnp.dtype, stored: float) -> float:
    """Return the rounding error of a sum over the parameters, relative to their length.

    Args:
        flat: the parameters.
        dtype: of the sum.
        stored: unit of rounding of the parameters as they are stored (`stored_rounding`).
    """
    own = max(stored, float(jnp.finfo(flat.dtype).eps))
    return 4 * (own + float(jnp.finfo(dtype).eps) * (1 + flat.size**0.5 / 16))


def prints_of(batch: PyTree) -> UInt32[Array, "2"]:
    """Return numbers that differ between different batches."""
    return fingerprint(scattered(batch))


def sums_over(vectors: Float[Array, "v n"], dtype: jnp.dtype, side: int = 2) -> Float[Array, "v side side"]:
    """Sums over each vector, with weights that are products of one for the row and one for the column of a matrix.

    Weights for each entry would be as large as the parameters.

    Args:
        vectors: each of which becomes a matrix.
        dtype: of the sums.
        side: vectors of weights on either side of it.
    """
    count, n = vectors.shape
    rows, columns = _sides(n)
    padded = jnp.pad(vectors.astype(dtype), ((0, 0), (0, rows * columns - n)))
    left, right = _weights(rows, side, False, dtype), _weights(columns, side, True, dtype)
    highest = jax.lax.Precision.HIGHEST
    if n * side**2 <= WRITTEN_OUT:
        return jnp.matmul(padded, np.kron(left, right), precision=highest).reshape(count, side, side)
    inward = jnp.matmul(padded.reshape(count * rows, columns), right, precision=highest)
    # One product of two matrices, which a library computes.
    outward = jnp.matmul(np.kron(np.eye(count, dtype=dtype), left.T), inward, precision=highest)
    return outward.reshape(count, side, side)


def _sides(n: int) -> tuple[int, int]:
    """Return rows and columns of an almost square matrix with n entries, or a few more if no such numbers divide n."""
    root = math.isqrt(n)
    for rows in range(root, root // 2, -1):
        if n % rows == 0:
            return rows, n // rows
    return root + 1, -(-n // (root + 1))


def _two(sums: Float[Array, "k k"]) -> Float[Array, "2"]:
    """Return the two sums that share no weights."""
    return jnp.stack([sums[0, 0], sums[1, 1]])


def _weights(n: int, side: int, right: bool, dtype: jnp.dtype) -> np.ndarray:
    """Weights `[n, side]` between -1 and 1, mixed counts; the first columns are the same for any side."""
    places = 2 * MANY * np.arange(n, dtype=np.uint32)[:, None] + np.arange(side, dtype=np.uint32) + MANY * right + 1
    mixed = places.astype(np.uint32) * np.uint32(2654435761)
    mixed = (mixed ^ (mixed >> 15)) * np.uint32(2246822519)
    mixed = mixed ^ (mixed >> 13)
    return ((mixed >> 16) / 2**15 - 1).astype(dtype)
