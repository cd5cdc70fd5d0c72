"""How the tests of this folder call an estimator: jitted once, so that equal shapes compile once for all of them."""

from collections.abc import Iterator
from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from qnewton._core.records import System, SystemEstimate
from qnewton._estimation import AbstractEstimator

_jitted = eqx.filter_jit(lambda estimator, system: estimator(system))


class Estimate(Protocol):
    def __call__(
        self,
        estimator: AbstractEstimator,
        matrix: ArrayLike,
        dtype: DTypeLike,
        *,
        symmetric: bool = True,
        floor: float | None = None,
    ) -> SystemEstimate: ...


@pytest.fixture
def estimate() -> Estimate:
    """Estimates a numpy matrix, rounded to `dtype`, under jit."""

    def run(estimator, matrix, dtype, *, symmetric=True, floor=None):
        floor = None if floor is None else jnp.asarray(floor, dtype)
        system = System.of(jnp.asarray(matrix, dtype), symmetric=symmetric, eigenvalue_floor=floor)
        assert system.matrix.dtype == dtype, "float64 needs the fixture `dtype` or `double`"
        return _jitted(estimator, system)

    return run


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision for a test that has no use for single."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def true_log_kappa() -> "TrueLogKappa":
    """`ln` of the condition number of the matrix as it is stored in `dtype`, by numpy in float64."""

    def run(matrix, dtype):
        stored = np.asarray(matrix, dtype).astype(np.float64)
        if np.array_equal(stored, stored.T):
            singular = np.abs(np.linalg.eigvalsh(stored))
        else:
            singular = np.linalg.svd(stored, compute_uv=False)
        return float(np.log(singular.max()) - np.log(singular.min()))

    return run


class TrueLogKappa(Protocol):
    def __call__(self, matrix: ArrayLike, dtype: DTypeLike) -> float: ...
