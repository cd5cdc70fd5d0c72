"""Changes of coordinates, which conditioning applies to a system and the step undoes."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .layout import Layout


class AbstractCoordinates(eqx.Module):
    """An invertible change of coordinates `R`.

    Instead of `A x = g`, the system `(R^T A R) y = R^T g` is solved, and `x = R y` returned.

    A congruence keeps the signs of all eigenvalues (Sylvester), and the decrease `g.x - x.A x / 2` of the quadratic
    model that a step attains does not depend on `R`.
    """

    @abc.abstractmethod
    def into(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        """`R^T g`: a gradient in the new coordinates."""

    @abc.abstractmethod
    def back(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        """`R y`: a step in the user's coordinates."""

    @abc.abstractmethod
    def out_of(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        """`R^-T r`: a gradient or residual in the user's coordinates; undoes `into`."""

    def congruence(self, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """Return `R^T A R`, symmetric up to the order of summation where `A` is symmetric; the caller symmetrises."""
        half = jax.vmap(self.into, in_axes=1, out_axes=1)(matrix)
        return jax.vmap(self.into)(half)


class Standard(AbstractCoordinates):
    """The user's own coordinates."""

    def into(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return vector

    def back(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return vector

    def out_of(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return vector


class Scaled(AbstractCoordinates):
    """`R = diag(scale)`.

    Attributes:
        scale: positive.
    """

    scale: Float[Array, " n"]

    def into(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.scale * vector

    def back(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.scale * vector

    def out_of(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return vector / self.scale

    def congruence(self, matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
        return self.scale[:, None] * matrix * self.scale


class Kronecker(AbstractCoordinates):
    """Coordinates `R = Q_A kron Q_G` for each layer: `V -> Q_A V Q_G^T` on `[inputs, outputs]`; the rest is unchanged.

    Attributes:
        layout: where the layers lie.
        inputs, outputs: `Q_A` `[i, i]` and `Q_G` `[a, a]` per layer.
    """

    layout: Layout
    inputs: tuple[Float[Array, "i i"], ...]
    outputs: tuple[Float[Array, "a a"], ...]

    def into(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        matrices, rest = self.layout.split(vector)
        parts = zip(self.inputs, self.outputs, matrices, strict=True)
        return self.layout.merge([q_a.T @ v @ q_g for q_a, q_g, v in parts], rest)

    def back(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        matrices, rest = self.layout.split(vector)
        parts = zip(self.inputs, self.outputs, matrices, strict=True)
        return self.layout.merge([q_a @ v @ q_g.T for q_a, q_g, v in parts], rest)

    def out_of(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.back(vector)


class PerOutput(AbstractCoordinates):
    """One matrix `[inputs, inputs]` for each output of each layer, a factor for each parameter of the rest.

    Attributes:
        layout: where the layers lie.
        blocks: `[a, i, i]` per layer; the columns of each are orthogonal.
        rest: positive.
    """

    layout: Layout
    blocks: tuple[Float[Array, "a i i"], ...]
    rest: Float[Array, " rest"]

    def into(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        matrices, rest = self.layout.split(vector)
        parts = [jnp.einsum("aij,ia->ja", block, v) for block, v in zip(self.blocks, matrices, strict=True)]
        return self.layout.merge(parts, self.rest * rest)

    def back(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        matrices, rest = self.layout.split(vector)
        parts = [jnp.einsum("aij,ja->ia", block, v) for block, v in zip(self.blocks, matrices, strict=True)]
        return self.layout.merge(parts, self.rest * rest)

    def out_of(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        matrices, rest = self.layout.split(vector)
        # B^-T = B (B^T B)^-1, and B^T B is diagonal.
        parts = [
            jnp.einsum("aij,ja->ia", block, v / jnp.sum(block**2, axis=1).T)
            for block, v in zip(self.blocks, matrices, strict=True)
        ]
        return self.layout.merge(parts, rest / self.rest)


class Composed(AbstractCoordinates):
    """Composed coordinates `R = first second`: `second` acts within the coordinates of `first`."""

    first: AbstractCoordinates
    second: AbstractCoordinates

    def into(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.second.into(self.first.into(vector))

    def back(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.first.back(self.second.back(vector))

    def out_of(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.first.out_of(self.second.out_of(vector))
