"""Curvature blocks as operators: the queries that solvers may make of a block without forming it."""

import abc
import enum
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int, PyTree

from .costs import Cost, cost_of
from .layout import Layout
from .records import Access


class Path(enum.IntEnum):
    """The way in which a curvature computes a block."""

    GIVEN = 0
    """As a matrix from outside."""
    LAYERS = 1
    """From the inputs of layers and the curvature in their outputs."""
    JACOBIANS = 2
    """From Jacobians of the outputs in the parameters."""
    GRADIENTS = 3
    """From the gradients of single examples."""
    PRODUCTS = 4
    """From Hessian-vector products."""
    BATCH = 5
    """From products with derivatives of the whole batch, whose examples influence each other or may do so."""


class KroneckerFactors(eqx.Module):
    """A block approximated by `A_u kron G_u` for each of its layers u, and by a diagonal for the rest.

    With `V` the layer's matrix `[inputs, outputs]`, the layer's part of the block maps `V` to `A V G` (K-FAC: Martens
    and Grosse 2015, section 3; for positions that share a weight: Grosse and Martens 2016, section 3).

    Attributes:
        layout: where the layers' matrices lie in the block.
        inputs: `A_u` `[i, i]`, the mean of `x x^T`; symmetric, positive semidefinite. Of a layer with several copies
            `[copies, i, i]`.
        outputs: `G_u` `[a, a]`, or `[copies, a, a]`, the mean curvature in the layer's outputs; symmetric.
        rest: diagonal of the block where no layer is; empty or None where layers are everywhere.
    """

    layout: Layout
    inputs: tuple[Float[Array, "*c i i"], ...]
    outputs: tuple[Float[Array, "*c a a"], ...]
    rest: Float[Array, " rest"] | None


class AbstractRoot(eqx.Module):
    """A rectangular `R` with `R^T R` equal to the block; the dual (Woodbury) solve works with `R R^T`."""

    @property
    @abc.abstractmethod
    def rows(self) -> int:
        """Number of rows of `R`, which is examples times outputs."""

    @abc.abstractmethod
    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " rows"]:
        """`R v`."""

    @abc.abstractmethod
    def transpose_mv(self, vector: Float[Array, " rows"]) -> Float[Array, " n"]:
        """`R^T u`."""

    @abc.abstractmethod
    def gram(self) -> Float[Array, "rows rows"]:
        """`R R^T`."""


class DenseRoot(AbstractRoot):
    """A root `R` that is held as `matrix` `[rows, n]`."""

    matrix: Float[Array, "rows n"]

    @property
    def rows(self) -> int:
        return self.matrix.shape[0]

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " rows"]:
        return self.matrix @ vector

    def transpose_mv(self, vector: Float[Array, " rows"]) -> Float[Array, " n"]:
        return self.matrix.T @ vector

    def gram(self) -> Float[Array, "rows rows"]:
        return self.matrix @ self.matrix.T


class AbstractCurvatureOperator(lx.AbstractLinearOperator):
    """A real symmetric block `[n, n]` on vectors `[n]` that can be applied without being formed."""

    @property
    @abc.abstractmethod
    def path(self) -> Path:
        """Way in which the block is computed, for records."""

    @property
    @abc.abstractmethod
    def like(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of the vectors that the block acts on."""

    @abc.abstractmethod
    def diagonal(self) -> Float[Array, " n"]:
        """The diagonal."""

    @property
    def reductions(self) -> tuple[int, ...]:
        """Sizes, ascending and below n, that the block can be reduced to if rows and columns of it are zero."""
        return ()

    def support(self) -> Int[Array, ""]:
        """Return the least size of the block without the rows and columns that are known to be zero."""
        return jnp.asarray(self.like.shape[0], jnp.int32)

    def reduced(self, size: int) -> "tuple[AbstractCurvatureOperator, Int[Array, ' size']]":
        """The block without zero rows and columns, and the positions of those that stay.

        Args:
            size: one of `reductions`, at least `support()`.
        """
        raise ValueError(f"this block has no reduction to {size} rows; it has {self.reductions}")

    def upper_triangle(self) -> Float[Array, "n n"]:
        """Return the block with its upper triangle in place; entries below the diagonal are undefined."""
        return self.as_matrix()

    @abc.abstractmethod
    def max_entry(self) -> Float[Array, ""]:
        """Largest absolute entry."""

    def arrangement(self) -> Layout | None:
        """Return the positions of the matrices of the block's layers; None without recognised layers."""
        return None

    @abc.abstractmethod
    def kronecker(self) -> KroneckerFactors | None:
        """Return the Kronecker factors of the block's layers; None without recognised layers."""

    @abc.abstractmethod
    def rotated_diagonal(
        self, bases: Sequence[tuple[Float[Array, "i i"], Float[Array, "a a"]]]
    ) -> list[Float[Array, "i a"]]:
        """Return the diagonal of each layer's block in the basis `U_A kron U_G` (EKFAC: George et al. 2018, eq. 9).

        Args:
            bases: `(U_A, U_G)` per layer of `kronecker()`, orthogonal, columns are the basis vectors.
        """

    @abc.abstractmethod
    def root(self) -> AbstractRoot | None:
        """A square root with examples times outputs as rows; None where the curvature has none."""

    @property
    def root_rows(self) -> int:
        """Number of rows of `root()` without computing it; 0 if there is none."""
        root = eqx.filter_eval_shape(self.root)
        return 0 if root is None else root.rows

    @property
    def has_layers(self) -> bool:
        """Whether `kronecker()` has a result, without computing it."""
        return eqx.filter_eval_shape(self.kronecker) is not None

    def transpose(self) -> "AbstractCurvatureOperator":
        return self

    def in_structure(self) -> jax.ShapeDtypeStruct:
        return self.like

    def out_structure(self) -> jax.ShapeDtypeStruct:
        return self.like


class Shifted(lx.AbstractLinearOperator):
    """`base + shift I`: a block with damping and weight penalty.

    Attributes:
        base: the block, a `AbstractCurvatureOperator` or any symmetric operator on vectors `[n]`.
        shift: scalar.
        definite: whether to claim that the sum is positive semidefinite.
    """

    base: lx.AbstractLinearOperator
    shift: Float[Array, ""]
    definite: bool = eqx.field(static=True, default=False)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the product: one product with the base and one scaled addition."""
        return self.base.mv(vector) + self.shift * vector

    def as_matrix(self) -> Float[Array, "n n"]:
        """The dense block, formed."""
        matrix = self.base.as_matrix()
        rows = jnp.arange(matrix.shape[0])
        # In place; with the identity it would be a second matrix.
        return matrix.at[rows, rows].add(jnp.asarray(self.shift, matrix.dtype))

    def transpose(self) -> "Shifted":
        return self

    def in_structure(self) -> jax.ShapeDtypeStruct:
        return self.base.in_structure()

    def out_structure(self) -> jax.ShapeDtypeStruct:
        return self.base.out_structure()


def max_entry(operator: lx.AbstractLinearOperator) -> Float[Array, ""]:
    """Return the largest absolute entry, without forming the operator if it offers a way.

    For a block with a shift it is the block's plus the shift. That is exact if the block's is on the diagonal, as in a
    semidefinite block, and an upper bound otherwise.
    """
    if isinstance(operator, AbstractCurvatureOperator):
        return operator.max_entry()
    if isinstance(operator, Shifted):
        return max_entry(operator.base) + operator.shift
    return jnp.max(jnp.abs(operator.as_matrix()))


def block_of(operator: lx.AbstractLinearOperator) -> AbstractCurvatureOperator | None:
    """Return the curvature block inside tags and shifts; None without such a block, as in a formed matrix."""
    if isinstance(operator, Shifted):
        return block_of(operator.base)
    if isinstance(operator, lx.TaggedLinearOperator):
        return block_of(operator.operator)
    return operator if isinstance(operator, AbstractCurvatureOperator) else None


def path_of(operator: lx.AbstractLinearOperator) -> Path:
    """Return the way in which the operator's block is computed."""
    block = block_of(operator)
    return Path.GIVEN if block is None else block.path


def access_of(operator: lx.AbstractLinearOperator) -> Access:
    """Return the cost of using the operator: counted for a block that was not formed, else that of a dense matrix."""
    like, block = operator.in_structure(), block_of(operator)
    if block is None:
        return Access.dense(like.shape[0], like.dtype)
    rows = block.root_rows
    # As arguments: where jax evaluates at compile time, what depends on none is computed at once, and not counted.
    arrays, rest = eqx.partition(operator, eqx.is_array)

    def product(arrays: PyTree, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return eqx.combine(arrays, rest).mv(vector)

    def matrix(arrays: PyTree) -> Float[Array, "n n"]:
        return eqx.combine(arrays, rest).as_matrix()

    def gram(arrays: PyTree) -> Float[Array, "rows rows"]:
        block = block_of(eqx.combine(arrays, rest))
        root = None if block is None else block.root()
        assert root is not None
        return root.gram()

    return Access.of(
        product=cost_of(product, arrays, like),
        forming=cost_of(matrix, arrays),
        gram=cost_of(gram, arrays) if rows else Cost(0.0, 0.0),
        rows=rows,
        dtype=like.dtype,
    )


def _never(operator: lx.AbstractLinearOperator) -> bool:
    return False


_CLAIMS_NOTHING: tuple[Callable, ...] = (
    lx.is_diagonal,
    lx.is_tridiagonal,
    lx.has_unit_diagonal,
    lx.is_lower_triangular,
    lx.is_upper_triangular,
    lx.is_negative_semidefinite,
)
for _property in _CLAIMS_NOTHING:
    _property.register(AbstractCurvatureOperator)(_never)
    _property.register(Shifted)(_never)
lx.is_positive_semidefinite.register(AbstractCurvatureOperator)(_never)
lx.is_positive_semidefinite.register(Shifted)(lambda operator: operator.definite)
for _kind in (AbstractCurvatureOperator, Shifted):
    lx.is_symmetric.register(_kind)(lambda operator: True)
    lx.linearise.register(_kind)(lambda operator: operator)
    lx.conj.register(_kind)(lambda operator: operator)
    lx.materialise.register(_kind)(lambda operator: lx.MatrixLinearOperator(operator.as_matrix(), lx.symmetric_tag))
lx.diagonal.register(AbstractCurvatureOperator)(lambda operator: operator.diagonal())
lx.diagonal.register(Shifted)(lambda operator: lx.diagonal(operator.base) + operator.shift)
