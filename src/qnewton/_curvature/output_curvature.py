"""The curvature of a loss in the outputs where its program is entry by entry, but for one sum over them.

So are all losses of separate outputs, and cross-entropies: a softmax divides by one sum. Their Hessian is a diagonal
matrix and a product of two vectors, which nobody needs to form, and its Cholesky factor has a closed form.
"""

import math
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jaxtyping import Array, Float

from .._core.jaxprs import PLACEMENTS, Atom, aval
from .._core.pieces import largest_of_all
from .linear_pair import Push

# Linear functions of all operands, or of those that are not named: a number there stays as it is.
_LINEAR: dict[str, frozenset[int]] = {
    **dict.fromkeys(("add", "add_any", "sub", "neg", "convert_element_type", "copy"), frozenset[int]()),
    "mul": frozenset({0, 1}),
    "div": frozenset({1}),
    "select_n": frozenset({0}),
}
_RESHAPES = {"reshape", "squeeze", "expand_dims", *PLACEMENTS}
_CALLS = {"jit", "pjit", "closed_call"}
WRITTEN_OUT = 256
"""Entries up to which sums over those before are one product with a matrix."""


class _Parts(NamedTuple):
    """A linear function of the argument: its entries times `entries`, and the one sum times `sums`; None for zero."""

    entries: Array | None
    sums: Array | None


class OutputCurvature(NamedTuple):
    """`D = diag(entries) + left right^T` for each group of outputs, symmetric.

    Attributes:
        entries: `[batch, c]`.
        left, right: likewise; None where `D` is diagonal.
        width: entries of a group, which lie side by side.
    """

    entries: Float[Array, "batch c"]
    left: Float[Array, "batch c"] | None
    right: Float[Array, "batch c"] | None
    width: int

    @classmethod
    def of(cls, curve: Push, outputs: Float[Array, "batch c"]) -> "OutputCurvature | None":
        """Return the curvature that a linear function multiplies by; None where its program may be another one.

        Args:
            curve: `v -> D v` for all examples.
            outputs: of which only shape and type are read.
        """
        closed = jax.make_jaxpr(curve)(outputs)
        walk = _Walk(outputs.shape)
        try:
            (found,) = walk.through(closed.jaxpr, closed.consts, [_Parts(jnp.ones_like(outputs), None)])
        except _OtherError:
            return None
        if not isinstance(found, _Parts):
            return None
        entries = jnp.zeros_like(outputs) if found.entries is None else found.entries.reshape(outputs.shape)
        if found.sums is None or walk.right is None:
            return cls(entries, None, None, 1)
        left, right = (one.reshape(outputs.shape) for one in (found.sums, walk.right))
        return cls(entries, left, right, walk.width)

    @property
    def diagonal(self) -> Float[Array, "batch c"]:
        """Diagonal of `D`."""
        if self.left is None or self.right is None:
            return self.entries
        return self.entries + self.left * self.right

    @property
    def reach(self) -> Float[Array, "batch c"]:
        """Sums of the sizes in each row of `D`."""
        size = jnp.abs(self.diagonal)
        if self.left is None or self.right is None:
            return size
        others = self._grouped(jnp.abs(self.right))
        others = jnp.sum(others, axis=-1, keepdims=True) - others
        return size + jnp.abs(self.left) * others.reshape(size.shape)

    def rooted(self, signs: Float[Array, "probes batch c"]) -> Float[Array, "probes batch c"]:
        """`L e` for every example and probe, `L` the Cholesky factor of `D + delta I` as of `batched_root`.

        Where that is not definite, the root of the diagonal's positive part takes its place. With
        `s_j = 1 + sum_{k<j} u_k w_k / a_k` the factor is (Gill, Golub, Murray and Saunders 1974, method C1)

            d_j = a_j + u_j w_j / s_j,    L_jj = sqrt(d_j),    L_ij = u_i w_j / (s_j sqrt(d_j)) for i > j.
        """
        by_diagonal = jnp.sqrt(jnp.maximum(self.diagonal, 0)) * signs
        if self.left is None or self.right is None:
            return by_diagonal
        limits, size = jnp.finfo(signs.dtype), signs.shape[-1]
        trace = largest_of_all(jnp.max(jnp.sum(self.diagonal, axis=1)))
        entries = self._grouped(self.entries + (8 * size * limits.eps * trace + limits.tiny))
        left, right, given = (self._grouped(one) for one in (self.left, self.right, signs))
        product = left * right
        level = 1 + _before(product / entries)
        root = jnp.sqrt(entries + product / level)
        rooted = root * given + left * _before(right / (level * root) * given)
        rooted = rooted.reshape(signs.shape)
        return jnp.where(jnp.isfinite(jnp.sum(rooted, axis=(0, 2)))[:, None], rooted, by_diagonal)

    def _grouped(self, array: Float[Array, "*k c"]) -> Float[Array, "*k groups width"]:
        return array.reshape(*array.shape[:-1], -1, self.width)


def _before(array: Float[Array, "*shape n"]) -> Float[Array, "*shape n"]:
    """Sums over all entries before each along the last axis."""
    n = array.shape[-1]
    if n <= WRITTEN_OUT:
        return jnp.matmul(array, np.triu(np.ones((n, n), array.dtype), 1), precision=jax.lax.Precision.HIGHEST)
    return jnp.cumsum(array, axis=-1) - array


class _OtherError(Exception):
    """A linear function that is not entry by entry, or has another sum."""


class _Walk:
    """Computation of a linear program's parts, equation by equation.

    Attributes:
        shape: of the argument.
        right: what the one sum multiplies the entries by; None as long as there is none.
        width: entries that are summed.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.right, self.width = shape, None, 1
        self._summed: Array | None = None

    def through(self, jaxpr: jex.Jaxpr, consts: list[Any], given: list[Any]) -> list[Any]:
        """Return a program's results, parts or numbers, from its constants and arguments.

        Raises:
            _OtherError: for a result that depends on the argument otherwise.
        """
        known: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True))

        def read(atom: Atom) -> Any:
            return atom.val if isinstance(atom, jex.Literal) else known[atom]

        for equation in jaxpr.eqns:
            operands = [read(atom) for atom in equation.invars]
            if not any(isinstance(operand, _Parts) for operand in operands):
                found = equation.primitive.bind(*operands, **equation.params)
                found = found if equation.primitive.multiple_results else [found]
            elif equation.primitive.name in _CALLS:
                held = equation.params["jaxpr"]
                found = self.through(held.jaxpr, held.consts, operands)
            else:
                found = [self._applied(equation, operands)]
            known.update(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _applied(self, equation: jex.JaxprEqn, operands: list[Any]) -> _Parts:
        name = equation.primitive.name
        if name in _LINEAR:
            return self._linear(equation, operands, _LINEAR[name])
        (parts,) = operands if len(operands) == 1 else (None,)
        if not isinstance(parts, _Parts):
            raise _OtherError
        before, after = aval(equation.invars[0]), aval(equation.outvars[0])
        if before.size == after.size and name in _RESHAPES | {"broadcast_in_dim", "reduce_sum"}:
            return self._each(equation, parts)
        if name == "reduce_sum":
            return self._sum(equation, parts)
        if name == "broadcast_in_dim" and parts.entries is None and _repeats(equation, after.shape):
            return self._each(equation, parts)
        raise _OtherError

    def _linear(self, equation: jex.JaxprEqn, operands: list[Any], factors: frozenset[int]) -> _Parts:
        if any(isinstance(operands[place], _Parts) for place in factors if len(factors) < len(operands)):
            raise _OtherError
        if len(factors) == len(operands) and all(isinstance(operand, _Parts) for operand in operands):
            raise _OtherError

        def part(which: str) -> Array | None:
            own = [getattr(o, which) if isinstance(o, _Parts) else None for o in operands]
            if all(one is None for one in own):
                return None
            # What is no factor, and does not depend on the argument, is zero: the function is linear.
            filled = [
                one if one is not None else operand if place in factors else jnp.zeros(of.shape, of.dtype)
                for place, (one, operand, of) in enumerate(
                    zip(own, operands, (aval(atom) for atom in equation.invars), strict=True)
                )
            ]
            return cast(Array, equation.primitive.bind(*filled, **equation.params))

        return _Parts(part("entries"), part("sums"))

    def _each(self, equation: jex.JaxprEqn, parts: _Parts) -> _Parts:
        return _Parts(*(None if one is None else equation.primitive.bind(one, **equation.params) for one in parts))

    def _sum(self, equation: jex.JaxprEqn, parts: _Parts) -> _Parts:
        shape, axes = aval(equation.invars[0]).shape, equation.params["axes"]
        kept = [axis for axis, n in enumerate(shape) if n > 1 and axis not in axes]
        gone = [axis for axis in axes if shape[axis] > 1]
        width = math.prod(shape[axis] for axis in gone)
        ordered = not kept or min(gone) > max(kept)
        if not ordered or math.prod(self.shape) != math.prod(shape) or self.shape[-1] % width:
            raise _OtherError
        if parts.entries is None:
            if width != self.width:
                raise _OtherError
            return self._each(equation, parts)
        if parts.sums is not None or (self._summed is not None and self._summed is not parts.entries):
            raise _OtherError
        self._summed, self.right, self.width = parts.entries, parts.entries, width
        (ones,) = [jnp.ones_like(equation.primitive.bind(parts.entries, **equation.params))]
        return _Parts(None, ones)


def _repeats(equation: jex.JaxprEqn, shape: tuple[int, ...]) -> bool:
    """Return whether a broadcast repeats each entry side by side, so that it stays with those it was summed from."""
    before, places = aval(equation.invars[0]).shape, equation.params["broadcast_dimensions"]
    kept = [place for place, n in zip(places, before, strict=True) if n > 1]
    return all(place < axis for place in kept for axis, n in enumerate(shape) if n > 1 and axis not in kept)
