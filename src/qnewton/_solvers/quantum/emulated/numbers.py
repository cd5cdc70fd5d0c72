"""Numbers for which a circuit is built: given, from an estimate, or from the matrix."""

import dataclasses
import math

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Int

from ...._core.decompositions import singular_values
from ...._core.records import Encoding, Kind, SystemEstimate
from ...base import Options
from ...flat import dtype_of
from ..encoding import AbstractEncoding

# What a norm is raised by where its estimate may lie below it: beyond the norm a polynomial grows exponentially.
_MARGIN = 0.05
_BOUNDS = (Kind.EXACT, Kind.CERTIFIED, Kind.BOUND, Kind.PROBABILISTIC)


class Spectrum(eqx.Module):
    """Numbers of a matrix that encodings read (`encoding.Numbers`)."""

    n: int = eqx.field(static=True)
    degree: Int[Array, ""]
    max_entry: Float[Array, ""]
    frobenius_norm: Float[Array, ""]
    spectral_norm: Float[Array, ""]
    log_condition_number: Float[Array, ""]
    definite: Bool[Array, ""]

    @classmethod
    def of(cls, operator: lx.AbstractLinearOperator) -> "Spectrum":
        """Return the numbers from a decomposition of the formed matrix: exact, which only the emulation can do."""
        matrix = operator.as_matrix()
        if lx.is_symmetric(operator) or lx.is_positive_semidefinite(operator):
            values = jnp.linalg.eigvalsh(matrix)
            sizes, definite = jnp.abs(values), values[0] > 0
        else:
            sizes, definite = singular_values(matrix), jnp.zeros((), bool)
        return cls(
            n=matrix.shape[0],
            degree=jnp.max(jnp.sum(matrix != 0, axis=1)),
            max_entry=jnp.max(jnp.abs(matrix)),
            frobenius_norm=jnp.linalg.norm(matrix),
            spectral_norm=jnp.max(sizes),
            log_condition_number=jnp.log(jnp.max(sizes)) - jnp.log(jnp.min(sizes)),
            definite=definite,
        )

    @classmethod
    def bounded(cls, n: int, dtype: jnp.dtype, definite: Bool[Array, ""], norm: float, kappa: float) -> "Spectrum":
        """Return the numbers from promises alone: nothing is formed, and the other norms have their greatest values."""
        largest = jnp.asarray(norm, dtype)
        return cls(
            n=n,
            degree=jnp.asarray(n, jnp.int32),
            max_entry=largest,
            frobenius_norm=largest * math.sqrt(n),
            spectral_norm=largest,
            log_condition_number=jnp.log(jnp.asarray(kappa, dtype)),
            definite=definite,
        )

    @classmethod
    def estimated(cls, estimate: SystemEstimate) -> "Spectrum":
        """Return an estimate's numbers, with the norm raised by 5 % if it is no bound."""
        sure = estimate.formed_kinds.spectral_norm in _BOUNDS
        raised = 1.0 if sure else 1 + _MARGIN
        return cls(
            n=estimate.n,
            degree=estimate.degree,
            max_entry=estimate.max_entry,
            frobenius_norm=estimate.frobenius_norm,
            spectral_norm=raised * estimate.spectral_norm,
            log_condition_number=estimate.log_condition_number + math.log(raised),
            definite=estimate.definite,
        )


@dataclasses.dataclass(frozen=True)
class Promise:
    """Numbers that the user guarantees.

    Attributes:
        kappa: bound on `||A|| / sigma_min`; None: not promised.
        norm: bound on `||A||`; None: not promised.
    """

    kappa: float | None
    norm: float | None

    def spectrum(self, operator: lx.AbstractLinearOperator, options: Options) -> Spectrum:
        """Return the promised numbers; the others come from the linear-solve option `estimate`, or from the matrix."""
        if self.kappa is not None and self.norm is not None:
            definite = jnp.asarray(lx.is_positive_semidefinite(operator))
            return Spectrum.bounded(operator.in_size(), dtype_of(operator), definite, self.norm, self.kappa)
        estimate = options.get("estimate")
        return self._kept(Spectrum.of(operator) if estimate is None else Spectrum.estimated(estimate))

    def estimated(self, estimate: SystemEstimate) -> Spectrum:
        """Return the numbers without a matrix: those of a circuit built from this estimate."""
        if self.kappa is not None and self.norm is not None:
            dtype = estimate.spectral_norm.dtype
            return Spectrum.bounded(estimate.n, dtype, estimate.definite, self.norm, self.kappa)
        return self._kept(Spectrum.estimated(estimate))

    def _kept(self, found: Spectrum) -> Spectrum:
        """Return the numbers with promised ones in place of those found."""
        kappa, norm, dtype = self.kappa, self.norm, found.spectral_norm.dtype
        if norm is not None:
            # The least singular value stays where it was found.
            grown = jnp.asarray(norm, dtype) / found.spectral_norm
            found = eqx.tree_at(
                lambda s: (s.spectral_norm, s.log_condition_number),
                found,
                (jnp.asarray(norm, dtype), found.log_condition_number + jnp.log(grown)),
            )
        if kappa is not None:
            log = jnp.log(jnp.asarray(kappa, dtype))
            found = eqx.tree_at(lambda s: s.log_condition_number, found, log)
        return found


class Encoded(eqx.Module):
    """A matrix in the units of its block encoding.

    Attributes:
        norm: `||A||`, or a bound.
        alpha: what the matrix is divided by.
        kappa: `alpha / sigma_min`.
        smallest_norm: least length of the solution of the encoded system for a unit right-hand side.
        definite: whether the matrix is positive definite.
    """

    norm: Float[Array, ""]
    alpha: Float[Array, ""]
    kappa: Float[Array, ""]
    smallest_norm: Float[Array, ""]
    definite: Bool[Array, ""]

    @classmethod
    def of(cls, encoding: AbstractEncoding, spectrum: Spectrum) -> "Encoded":
        """Return the record by the encoding's own numbers. A factor's norm is the root of the matrix's."""
        said: Encoding = encoding.encode(spectrum)
        norm = jnp.sqrt(spectrum.spectral_norm) if encoding.rectangular else spectrum.spectral_norm
        subnormalisation = jnp.asarray(said.subnormalisation, norm.dtype)
        return cls(
            norm=norm,
            alpha=subnormalisation * norm,
            kappa=jnp.maximum(jnp.asarray(said.condition_number, norm.dtype) * subnormalisation, 1),
            smallest_norm=subnormalisation * said.smallest_solution_norm,
            definite=spectrum.definite,
        )
