"""What estimators promise, on a thousand spectra that hypothesis makes up."""

import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import strategies as st

from qnewton._core.operators import Shifted
from qnewton._core.records import System
from qnewton._core.ritz import ritz_values
from qnewton._estimation import Automatic, Certified, ProbabilisticLanczos
from qnewton._estimation.hager_higham import HagerHigham, inverse_norm_1
from qnewton._estimation.probabilistic import failure_probability, largest_shortfall
from qnewton.testing import DenseBlock

# Few sizes, since each is compiled, and seldom the large ones, since each is decomposed.
SIZES = st.sampled_from([1, 2, 2, 2, 32, 32, 32, 32, 32, 32, 128, 128, 512])


def rotated(spectrum, seed):
    """A symmetric matrix with this spectrum: three reflections, which cost n^2 each."""
    rng = np.random.default_rng(seed)
    matrix = np.diag(spectrum)
    for _ in range(3):
        normal = rng.standard_normal(len(spectrum))
        normal /= np.linalg.norm(normal)
        matrix -= 2 * np.outer(normal, normal @ matrix)
        matrix -= 2 * np.outer(matrix @ normal, normal)
    return (matrix + matrix.T) / 2


@st.composite
def spectra(draw, kinds=("spread", "clustered", "singular", "even", "indefinite")):
    """Eigenvalues with a largest magnitude of 1 and a condition number up to 1e10, and a seed."""
    n, seed = draw(SIZES), draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    decades = draw(st.floats(0, 10))
    kind = draw(st.sampled_from(kinds))
    if kind == "even":
        values = np.linspace(10**-decades, 1, n)
    elif kind == "clustered":
        centres = 10 ** -rng.uniform(0, decades, 3)
        values = rng.choice(centres, n) * (1 + draw(st.sampled_from([0, 1e-9, 1e-3])) * rng.standard_normal(n))
    else:
        values = 10 ** -rng.uniform(0, decades, n)
    if kind == "singular":
        values[: rng.integers(1, n + 1)] = 0
    if kind == "indefinite":
        values *= rng.choice([-1, 1], n)
    values[-1] = 1.0
    return values, seed


@functools.cache
def jitted(estimator, formed):
    def run(matrix, shift, floor):
        if formed:
            stored = matrix + shift * jnp.eye(len(matrix), dtype=matrix.dtype)
            system = System.of(stored, symmetric=True, eigenvalue_floor=floor)
        else:
            system = System.over(Shifted(DenseBlock(matrix=matrix), shift), symmetric=True, eigenvalue_floor=floor)
        return estimator(system)

    return jax.jit(run)


def damped(spectrum, seed, dtype, damping):
    matrix = rotated(spectrum, seed).astype(dtype)
    shift = np.asarray(damping, dtype)
    stored = (matrix + shift * np.eye(len(matrix), dtype=dtype)).astype(np.float64)
    return matrix, shift, np.linalg.eigvalsh(stored)


@hypothesis.settings(max_examples=500)
@hypothesis.given(spectrum=spectra(), damping=st.floats(-10, 0), formed=st.booleans(), scale=st.integers(-12, 12))
def test_no_certified_bound_is_below_the_truth(spectrum, damping, formed, scale, dtype):
    values, seed = spectrum
    matrix, shift, truth = damped(10.0**scale * values, seed, dtype, 10.0 ** (scale + damping))
    # Of an indefinite spectrum the floor is what a curvature that is not semidefinite could state.
    floor = np.asarray(10.0**scale * min(values.min(), 0), dtype) + shift
    found = jitted(Certified(), formed)(matrix, shift, floor)
    if values.min() < 0 and float(floor) <= 0:
        assert not found.definite
    if not found.definite:
        assert found.condition_number == math.inf
        return
    assert truth[0] > 0, "called definite, and is not"
    # numpy's own error is given to the truth.
    kappa = truth[-1] / truth[0]
    error = 1e-12 * kappa * len(values) ** 0.5
    # Where that is all of it, numpy does not resolve the smallest eigenvalue.
    assert error >= 1 or float(found.log_condition_number) >= math.log(kappa * (1 - error))
    assert float(found.spectral_norm) >= truth[-1] * (1 - 1e-13 * len(values))
    assert float(found.smallest_singular_value) <= truth[0] * (1 + 1e-6 + 1e-12 * kappa)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    spectrum=spectra(("spread", "clustered", "singular", "even")), damping=st.floats(-5, 0), formed=st.just(True)
)
def test_the_default_is_within_five_per_cent_of_damped_semidefinite_matrices(spectrum, damping, formed):
    values, seed = spectrum
    with jax.enable_x64(True):
        matrix, shift, truth = damped(values, seed, np.float64, 10.0**damping)
        found = jitted(Automatic(), formed)(matrix, shift, shift)
    assert found.definite
    assert float(found.condition_number) == pytest.approx(truth[-1] / truth[0], rel=0.05)


@pytest.mark.parametrize(("n", "steps", "shortfall"), [(300, 6, 0.2), (100, 3, 0.5), (300, 12, 0.05)])
def test_a_probabilistic_bound_fails_no_more_often_than_it_says(n, steps, shortfall):
    # All other eigenvalues where the extremal polynomial has its extrema, the worst that a spectrum can do.
    angles = (2 * np.arange(steps) + 1) * np.pi / (2 * (2 * steps - 1)) - np.pi / (2 * (2 * steps - 1))
    crowd = (1 - shortfall) * (1 - np.cos(angles) ** 2)
    spectrum = jnp.asarray(np.r_[np.resize(crowd, n - 1), 1.0], jnp.float32)
    starts = jax.random.normal(jax.random.key(n), (4000, n))
    largest = jax.jit(jax.vmap(lambda start: ritz_values(lambda v: spectrum * v, start, steps)[-1]))(starts)
    failed = float(np.mean(np.asarray(largest) < 1 - shortfall))
    allowed = failure_probability(n, steps, shortfall)
    assert failed <= allowed + 3 * (allowed / 4000) ** 0.5
    assert failed >= allowed / 20, "the case is meant to be one where the bound is nearly met"


def test_failure_probability_is_below_the_published_formula_and_its_inverse():
    for n in (2, 100, 10_000):
        for steps in (1, 5, 32):
            for shortfall in (1e-3, 0.05, 0.9):
                ours = failure_probability(n, steps, shortfall)
                # Kuczynski and Wozniakowski (1992), theorem 4.2.
                published = 1.648 * n**0.5 * math.exp(-(shortfall**0.5) * (2 * steps - 1))
                assert ours <= published * (1 + 1e-12)
                if 0 < ours < 1:
                    assert largest_shortfall(n, steps, ours) == pytest.approx(shortfall, rel=1e-9)
    # Golden: 4 % at 10,000 rows, 32 products, a thousandth.
    assert largest_shortfall(10_000, 32, 1e-3) == pytest.approx(0.0355, abs=5e-4)
    assert failure_probability(5, 5, 0.1) == largest_shortfall(5, 5, 0.1) == 0


@hypothesis.settings(max_examples=40)
@hypothesis.given(spectrum=spectra(("spread", "clustered", "singular", "even")), damping=st.floats(-4, 0))
def test_a_probabilistic_bound_holds_and_is_close(spectrum, damping):
    values, seed = spectrum
    with jax.enable_x64(True):
        matrix, shift, truth = damped(values, seed, np.float64, 10.0**damping)
        found = jitted(ProbabilisticLanczos(failure=1e-6), False)(matrix, shift, shift)
    assert float(found.spectral_norm) >= truth[-1] * (1 - 1e-12)
    assert float(found.condition_number) >= truth[-1] / truth[0] * (1 - 1e-9)
    assert float(found.spectral_norm) <= truth[-1] * 1.08


@hypothesis.settings(max_examples=100)
@hypothesis.given(spectrum=spectra(("spread", "clustered", "even", "indefinite")), symmetric=st.booleans())
def test_hager_and_higham_stay_below_the_norm_of_the_inverse(spectrum, symmetric):
    values, seed = spectrum
    values = np.sign(values) * np.maximum(np.abs(values), 1e-6)
    matrix = rotated(values, seed) if symmetric else rotated(np.abs(values), seed) @ rotated(values, seed + 1)
    inverse = np.linalg.inv(matrix)
    with jax.enable_x64(True):
        run = _inverse_norm(len(matrix))
        found, solves = run(jnp.asarray(inverse))
    truth = np.abs(inverse).sum(axis=0).max()
    assert float(found) <= truth * (1 + 1e-9)
    assert float(found) >= truth / 3  # in practice; Higham (1988) saw no factor above 2 on random matrices
    assert int(solves) <= 12


def test_hager_and_higham_are_what_lapack_says():
    """`dgecon` climbs and guards by the same algorithm."""
    getrf, gecon = scipy.linalg.get_lapack_funcs(("getrf", "gecon"), dtype="float64")
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((n, n)) * 10 ** rng.uniform(-3, 3, n) for n in (2, 3, 6, 12) * 12]
    with jax.enable_x64(True):
        for matrix in matrices:
            factor, _, _ = getrf(matrix)
            size = np.abs(matrix).sum(axis=0).max()
            reciprocal, _ = gecon(factor, size, norm="1")
            found, _ = _inverse_norm(len(matrix))(jnp.asarray(np.linalg.inv(matrix)))
            assert float(found) == pytest.approx(1 / (reciprocal * size), rel=1e-7)
        # An inverse whose large part vanishes where the climb looks: on the mean, and on the column it goes to first.
        left, right = np.array([1.0, -1, 2, -2, 3, -3]), np.array([0.0, 2, -1, 1, -1, -1])
        hidden = np.outer(left, right) + 2.0**-10 * np.eye(6)
        found, solves = _inverse_norm(6)(jnp.asarray(hidden))
        # Of a number its inverse is all there is to know.
        assert [int(_inverse_norm(n)(jnp.eye(n))[1]) for n in (1, 2)] == [1, 4]
        assert int(HagerHigham()(System.of(jnp.eye(2), symmetric=True)).matvecs) == 4
        # A column that is no better than the mean ends the climb, even if signs change.
        assert int(_inverse_norm(2)(jnp.diag(jnp.array([1.0, -1.0])))[1]) == 4
    alternating = (-1.0) ** np.arange(6) * (1 + np.arange(6) / 5)
    assert float(found) == pytest.approx(2 / 18 * np.abs(hidden @ alternating).sum(), rel=1e-9)
    # The mean, the gradient there, one column, and the guard.
    assert int(solves) == 4


@functools.cache
def _inverse_norm(n):
    like = jax.ShapeDtypeStruct((n,), "float64")
    return jax.jit(lambda inverse: inverse_norm_1(lambda b: inverse @ b, lambda b: inverse.T @ b, like))
