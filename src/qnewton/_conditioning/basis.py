"""Changes of basis: lossless, since the step undoes them, and leaving a better behaved matrix to condition."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from .._core.coordinates import AbstractCoordinates, Composed, Kronecker, PerOutput, Scaled
from .._core.layout import Layout
from .._core.records import ExactSystem, System
from .base import AbstractConditioner
from .guarantee import Conditioning, Definiteness, Guarantee


class ScaleDiagonal(AbstractConditioner):
    """Jacobi's scaling: `R = diag(|a_ii|)^-1/2`, after which the diagonal is 1 (or -1, where it was negative).

    For a positive definite matrix every other entry is then below 1, so that the sparse-access subnormalisation is the
    degree. A zero on the diagonal stays as it is.
    """

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(
            "none",
            Definiteness.KEPT,
            Conditioning.BOUNDED,
            "kappa <= n min over diagonal D of kappa(D A D) (van der Sluis 1969, theorem 4.1); largest entry 1",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Scale; `scale` is not used."""
        system = system.formed()
        factors = _inverse_root(jnp.diagonal(system.matrix))
        return rebased(system, Scaled(factors), jnp.min(factors**2), jnp.max(factors**2))


class Rotate(AbstractConditioner):
    """K-FAC's eigenbasis: `R = Q_A kron Q_G` for each layer (Martens and Grosse 2015; George et al. 2018).

    The two factors are the partial traces of the layer's part of the block, `A = sum_a H[(i,a),(j,a)]` and
    `G = sum_i H[(i,a),(i,b)]`: of a Gauss-Newton block `E[tr(D) x x^T]` and `E[|x|^2 D]`. So they hold for every
    curvature and for weights that serve many positions, and cost one pass over the matrix. Parameters outside of layers
    stay as they are.

    Attributes:
        strict: whether a block without recognised layers is an error; if not, it is left alone.
    """

    strict: bool = eqx.field(static=True, default=True)

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee("none", Definiteness.KEPT, Conditioning.SAME, "orthogonal: the spectrum does not change")

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Rotate; `scale` is not used.

        Raises:
            ValueError: if the block has no recognised layers and `strict` is set.
        """
        layout = _layout(system, "Rotate") if self.strict else system.layout
        if layout is None or not layout.layers:
            return system
        system = system.formed()
        inputs, outputs = [], []
        for tensor in _layer_tensors(layout, system.matrix):
            inputs.append(jnp.linalg.eigh(jnp.einsum("iaja->ij", tensor))[1])
            outputs.append(jnp.linalg.eigh(jnp.einsum("iaib->ab", tensor))[1])
        one = jnp.ones((), system.matrix.dtype)
        return rebased(system, Kronecker(layout, tuple(inputs), tuple(outputs)), one, one)


class WhitenOutputs(AbstractConditioner):
    """Whitening of outputs, `R = blockdiag_a(V_a |L_a|^-1/2)`: the block of each output becomes the identity.

    `V_a L_a V_a^T` is the diagonal block of output `a`. After `Rotate` that is the best basis we measured (a third to
    all of EKFAC's condition number); without it, one block per neuron. An eigenvalue of zero, which an undamped block
    can have, is raised to rounding level; parameters outside of layers are scaled by their diagonal.

    Attributes:
        strict: whether a block without recognised layers is an error; if not, its diagonal is scaled.
    """

    strict: bool = eqx.field(static=True, default=True)

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee(
            "none",
            Definiteness.KEPT,
            Conditioning.BOUNDED,
            "kappa <= b min over block-diagonal D of kappa(D^T A D), b the number of blocks (Demmel 1983); unit "
            "diagonal, so that the largest entry is 1",
        )

    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """Whiten; `scale` is not used.

        Raises:
            ValueError: if the block has no recognised layers and `strict` is set.
        """
        layout = _layout(system, "WhitenOutputs") if self.strict else system.layout
        if layout is None:
            return ScaleDiagonal()(system, scale)
        system = system.formed()
        factors = _inverse_root(layout.split(jnp.diagonal(system.matrix))[1])
        blocks, squares = [], [factors**2]
        for tensor in _layer_tensors(layout, system.matrix):
            # One by one: two batched factorisations at once wait for each other for ever (jaxlib 0.10.2).
            values, vectors = jax.lax.map(jnp.linalg.eigh, jnp.einsum("iaja->aij", tensor))
            size = values.shape[-1]
            largest = jnp.max(jnp.abs(values), axis=1, keepdims=True)
            roots = _inverse_root(jnp.maximum(jnp.abs(values), size * jnp.finfo(values.dtype).eps * largest))
            blocks.append(vectors * roots[:, None, :])
            squares.append(roots.reshape(-1) ** 2)
        # R^T R is diagonal.
        together = jnp.concatenate(squares)
        return rebased(system, PerOutput(layout, tuple(blocks), factors), jnp.min(together), jnp.max(together))


def rebased(system: System, change: AbstractCoordinates, least: Float[Array, ""], most: Float[Array, ""]) -> System:
    """The system after a change of coordinates.

    Args:
        system: formed.
        change: `R`.
        least: square of the smallest singular value of `R`, or a bound below it.
        most: square of the largest, or a bound above it.
    """

    def congruent(operator: lx.AbstractLinearOperator) -> lx.MatrixLinearOperator:
        matrix = change.congruence(operator.as_matrix())
        if system.symmetric:
            # Exactly symmetric; the mean of both triangles would not be once XLA has contracted it.
            matrix = jnp.tril(matrix) + jnp.tril(matrix, -1).T
        return lx.MatrixLinearOperator(matrix, lx.symmetric_tag if system.symmetric else ())

    def moved(floor: Float[Array, ""] | None) -> Float[Array, ""] | None:
        # y.(R^T A R) y >= floor |R y|^2.
        return None if floor is None else floor * jnp.where(floor > 0, least, most)

    exact = system.exact
    return dataclasses.replace(
        system,
        operator=congruent(system.operator),
        eigenvalue_floor=moved(system.eigenvalue_floor),
        coordinates=Composed(system.coordinates, change),
        exact=None if exact is None else ExactSystem(congruent(exact.operator), moved(exact.eigenvalue_floor)),
        dropped=None,
        # Damping from here on could only raise it.
        user_floor=system.unrepaired.eigenvalue_floor if system.user_floor is None else system.user_floor,
    )


def _layout(system: System, name: str) -> Layout:
    if system.layout is None:
        raise ValueError(
            f"{name} needs the layers of the block, and this block of {system.operator.in_size()} parameters has none "
            f"that was recognised: use ScaleDiagonal(), {name}(strict=False), or a curvature with structure=True"
        )
    return system.layout


def _layer_tensors(layout: Layout, matrix: Float[Array, "n n"]) -> list[Float[Array, "i a j b"]]:
    """Return the part of the matrix that belongs to each layer alone.

    Its indices are `[(i,a), (j,b)]` with `i, j` inputs, `a, b` outputs.
    """
    rows = jax.vmap(lambda column: layout.split(column)[0], in_axes=1, out_axes=-1)(matrix)
    return [jax.vmap(jax.vmap(lambda row, k=k: layout.split(row)[0][k]))(part) for k, part in enumerate(rows)]


def _inverse_root(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`|values|^-1/2`, and 1 where that is not finite; NaN stays visible in the matrix itself."""
    roots = 1 / jnp.sqrt(jnp.abs(values))
    return jnp.where(jnp.isfinite(roots), roots, 1)
