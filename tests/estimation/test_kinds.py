"""A kind never claims what it is not: every kind against `numpy.linalg.eigvalsh` in float64 of the matrix as stored."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.operators import Shifted
from qnewton._core.records import Kind, System
from qnewton._core.ritz import ritz_values
from qnewton._estimation import (
    Automatic,
    Bracket,
    Certified,
    Exact,
    InverseLanczos,
    Lanczos,
    ProbabilisticLanczos,
    Reuse,
)
from qnewton._estimation.base import norms_of
from qnewton.testing import DenseBlock, symmetric_with_spectrum

KINDS = list(Kind)


def spectra(n, rng):
    """Positive semidefinite spectra with a norm of 1: every shape that once broke an iteration down."""
    low = 10.0 ** -rng.uniform(0, 8)
    yield np.geomspace(low, 1, n) if n > 1 else np.ones(1)
    yield np.linspace(low, 1, n)
    yield rng.choice(10.0 ** -rng.uniform(0, 8, 3), n)
    yield np.r_[low, np.ones(n - 1)]
    yield np.r_[np.full(n - 1, low), 1.0]
    yield np.r_[low, np.full(n // 2, 1.2 * low), np.ones(n)][:n]
    yield np.r_[np.zeros(n // 2), rng.uniform(0.1, 1, n - n // 2)]
    yield np.r_[np.zeros(n - 1), 1.0]


@functools.cache
def cases(n, name, turns, signs=False):
    """Stored matrices `[m, n, n]`, what is on their diagonals, and their condition numbers with numpy's own error."""
    rng, found = np.random.default_rng(n), []
    for turn in range(turns):
        for spectrum in spectra(n, rng):
            scale = 10.0 ** rng.integers(-18, 19)
            values = spectrum * rng.choice([-1, 1], n) if signs else spectrum
            matrix = (scale * symmetric_with_spectrum(values, turn)).astype(name)
            shift = np.asarray(rng.choice([0, 1, 1]) * scale * 10.0 ** -rng.uniform(0, 8), name)
            stored = matrix + shift * np.eye(n, dtype=name)
            found.append((matrix, stored, shift))
    matrices, stored, shifts = (np.stack(part) for part in zip(*found, strict=True))
    magnitudes = np.abs(np.linalg.eigvalsh(stored.astype(np.float64)))
    # numpy tells no eigenvalue below its own rounding of the largest; one that it calls zero would divide by zero.
    smallest = np.maximum(magnitudes.min(axis=1), np.finfo(float).eps ** 2 * magnitudes.max(axis=1))
    kappa = magnitudes.max(axis=1) / smallest
    return matrices, stored, shifts, kappa, 1e-15 * n**0.5 * kappa


@functools.cache
def runner(estimator, formed, floor):
    def run(matrix, shift):
        known = shift if floor else None
        if formed:
            return estimator(System.of(matrix, symmetric=True, eigenvalue_floor=known))
        return estimator(System.over(Shifted(DenseBlock(matrix=matrix), shift), symmetric=True, eigenvalue_floor=known))

    return jax.jit(run)


def check(found, kappa, own):
    """Whether one estimate is what its kind says; returns the kind."""
    kind, ratio = found.kind, float(found.condition_number) / kappa
    if kind is Kind.EXACT:
        assert abs(ratio - 1) <= 0.01 + own
    elif kind is Kind.ESTIMATE:
        assert abs(ratio - 1) <= 0.05 + own
    elif kind in (Kind.CERTIFIED, Kind.PROBABILISTIC, Kind.BOUND):
        assert ratio >= 1 - 1e-6 - own
    return kind


ESTIMATORS = {
    "automatic": (Automatic(), (True, False), (True, False)),
    "bracket": (Bracket(), (True, False), (True,)),
    "exact": (Exact(), (True,), (True, False)),
    "inverse": (InverseLanczos(), (True,), (False,)),
    "lanczos": (Lanczos(), (True,), (True, False)),
    "certified": (Certified(), (True, False), (True,)),
    "probabilistic": (ProbabilisticLanczos(), (False,), (True,)),
}


# Each pair compiles: small ones of `Automatic` are `Exact`, large ones the others, and two rows tell as much as five.
@pytest.mark.parametrize(
    ("name", "n"),
    [
        *((name, n) for name in ("bracket", "inverse", "lanczos", "certified", "probabilistic") for n in (1, 5, 100)),
        *((name, n) for name in ("automatic", "exact") for n in (2, 16)),
        ("exact", 100),
    ],
)
def test_every_kind_is_what_it_says(name, n, dtype):
    estimator, forms, floors = ESTIMATORS[name]
    matrices, stored, shifts, kappas, own = cases(n, dtype.name, 3)
    for formed in forms:
        for floor in floors:
            run = runner(estimator, formed, floor)
            for k in range(len(kappas)):
                check(run(jnp.asarray(stored[k] if formed else matrices[k]), shifts[k]), kappas[k], own[k])


@pytest.mark.parametrize("steps", [(), (16, 8), (8, 8), (0, 8)])
def test_bracket_looks_in_ascending_order(steps):
    with pytest.raises(ValueError, match="name the numbers of products in ascending order"):
        Bracket(steps=steps)
    assert Bracket(steps=(1,)).steps == (1,)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -0.1, float("nan")])
def test_bracket_has_a_relative_tolerance(tolerance):
    with pytest.raises(ValueError, match=f"tolerance is {tolerance}: it is relative"):
        Bracket(tolerance=tolerance)


def test_bracket_takes_no_products_beyond_those_that_tell_both_ends():
    """Two eigenvalues, which two products find; eight are the first look, and four of random signs tell the norm."""
    matrix = symmetric_with_spectrum(np.r_[np.zeros(99), 1.0]).astype("float32")
    # Compiled for the cases above already.
    found = runner(ESTIMATORS["bracket"][0], False, True)(matrix, np.float32(0.1))
    assert float(found.condition_number) == pytest.approx(11, rel=0.05)
    assert int(found.matvecs) == 8 + 4


@pytest.mark.parametrize("n", [1, 3, 5, 8, 16, 64])
def test_small_blocks_are_told_exactly_as_far_as_their_width_tells(n, dtype):
    # One program for all of them: eigenvalues of a stack.
    _, stored, shifts, kappas, own = cases(n, dtype.name, 12 if n < 64 else 2)
    run = jax.jit(jax.vmap(lambda m, s: Automatic()(System.of(m, symmetric=True, eigenvalue_floor=s))))
    found = run(stored, shifts)
    ratios = np.asarray(found.condition_number, np.float64) / kappas
    kinds = np.asarray([KINDS[i] for i in np.asarray(found.kind_index)])
    assert np.all(np.abs(ratios - 1)[kinds == Kind.EXACT] <= 0.01 + own[kinds == Kind.EXACT])
    assert np.all(np.abs(ratios - 1)[kinds == Kind.ESTIMATE] <= 0.05 + own[kinds == Kind.ESTIMATE])
    assert np.all(ratios[kinds == Kind.CERTIFIED] >= 1 - 1e-6)
    assert set(kinds) <= {Kind.EXACT, Kind.ESTIMATE, Kind.CERTIFIED}
    # Two units of rounding of the norm against 1 % and 5 %: closer than that nothing but exact numbers will do.
    eps = np.finfo(dtype).eps
    assert np.all(kinds[kappas < 0.9 * 0.01 / (2 * eps)] == Kind.EXACT)
    assert np.all(kinds[kappas < 0.9 * 0.05 / (2 * eps)] != Kind.CERTIFIED)
    assert np.all(kinds[kappas > 1 / eps] == Kind.CERTIFIED)
    assert np.all(np.isinf(ratios[kappas > 1e3 / eps]))


def test_of_a_matrix_without_symmetry_the_smallest_singular_value_is_told(dtype):
    eps, rng = np.finfo(dtype).eps, np.random.default_rng(3)
    run = jax.jit(jax.vmap(lambda m: Automatic()(System.of(m, symmetric=False))))
    left, right = (np.linalg.qr(rng.standard_normal((40, 6, 6)))[0] for _ in range(2))
    decades = np.linspace(0, -np.log10(eps) + 1, 40)
    values = 10.0 ** -(decades[:, None] * np.sort(rng.uniform(0, 1, (40, 6)), axis=1) ** 0.5)
    stored = np.einsum("kij,kj,kjl->kil", left, values, right).astype(dtype)
    singular = np.linalg.svd(stored.astype(np.float64), compute_uv=False)
    kappas = singular[:, 0] / singular[:, -1]
    found = run(stored)
    ratios = np.asarray(found.condition_number, np.float64) / kappas
    kinds = np.asarray([KINDS[i] for i in np.asarray(found.kind_index)])
    slack = 1e-15 * kappas
    assert np.all((np.abs(ratios - 1) <= 0.01 + slack)[kinds == Kind.EXACT])
    assert np.all((np.abs(ratios - 1) <= 0.05 + slack)[kinds == Kind.ESTIMATE])
    assert np.all(ratios[kinds == Kind.CERTIFIED] >= 1 - 1e-6)
    assert np.all(kinds[kappas < 0.9 * 0.01 / (2 * eps)] == Kind.EXACT)


@pytest.mark.parametrize("formed", [True, False], ids=["formed", "unformed"])
def test_a_floor_that_is_short_is_not_taken_for_the_smallest_eigenvalue(formed):
    # 15 % between the floor and the smallest eigenvalue: more than the tolerance of 5 %, less than four times as much.
    spectrum = np.r_[np.full(50, 1.15e-2), np.ones(50)]
    shift = np.float32(1e-2)
    matrix = symmetric_with_spectrum(spectrum - 1e-2).astype(np.float32)
    stored = matrix + shift * np.eye(100, dtype=np.float32) if formed else matrix
    found = runner(Bracket(), formed, True)(jnp.asarray(stored), shift)
    assert float(found.condition_number) == pytest.approx(1 / 1.15e-2, rel=0.01)
    assert found.kind is Kind.ESTIMATE
    assert found.failure_probability == 0


@pytest.mark.parametrize("smallest", [5e-2, 1e-3])
def test_what_is_formed_and_stays_open_is_told_by_its_factor(smallest):
    # The floor is far too low, and eight products find no end of evenly spaced eigenvalues: solves with a factor do.
    spectrum, shift = np.linspace(smallest, 1, 100), np.float32(1e-4)
    found = runner(Bracket(), True, True)(jnp.asarray(symmetric_with_spectrum(spectrum).astype(np.float32)), shift)
    assert float(found.condition_number) == pytest.approx(1 / smallest, rel=0.05)
    assert found.kind in (Kind.EXACT, Kind.ESTIMATE)
    assert 8 < int(found.matvecs) <= 96 + 48


def test_what_is_not_formed_and_stays_open_is_bounded_by_its_floor():
    # Evenly spaced eigenvalues leave a Ritz value no gap; the floor is 50 times too low.
    spectrum = np.linspace(5e-2, 1, 300)
    matrix, shift = symmetric_with_spectrum(spectrum - 1e-3).astype(np.float32), np.float32(1e-3)
    found = runner(Bracket(steps=(8,)), False, True)(jnp.asarray(matrix), shift)
    assert found.kind is Kind.PROBABILISTIC
    assert found.kinds.smallest_singular_value is Kind.PROBABILISTIC
    assert found.failure_probability == 1e-3
    assert 1000 <= float(found.condition_number) <= 3000


def test_norms_of_what_is_not_formed_by_their_definitions():
    """Random signs keep the length of a column each: of a diagonal matrix every draw is the Frobenius norm itself."""
    entries = np.array([3.0, -1.0, 2.0, 0.5, 4.0, -2.5], "float32")
    operator = DenseBlock(matrix=jnp.asarray(np.diag(entries)))
    norms = norms_of(System.over(operator, symmetric=True))
    assert float(norms.frobenius) == pytest.approx(np.linalg.norm(entries), rel=1e-6)
    assert (float(norms.max_entry), int(norms.degree), norms.matvecs) == (4, 6, 4)
    assert float(norms.upper) == entries.sum()


@pytest.mark.parametrize("floor", [True, False])
def test_the_small_end_of_lanczos_is_a_bound_where_a_floor_stands_for_it(floor):
    # Half of the eigenvalues are the floor, so that both ends are known for certain.
    matrix = symmetric_with_spectrum(np.r_[np.full(50, 1e-2), np.ones(50)]).astype(np.float32)
    found = runner(Lanczos(), True, floor)(jnp.asarray(matrix), np.float32(1e-2))
    kinds = found.kinds
    assert found.kind is kinds.spectral_norm is Kind.ESTIMATE
    assert kinds.smallest_singular_value is (Kind.BOUND if floor else Kind.ESTIMATE)


def test_lanczos_is_rough_while_an_end_is_open():
    # After four products the small end is known to 0.5 %, by a Ritz value at the floor, and the large one to 5 %.
    matrix = symmetric_with_spectrum(np.r_[np.full(90, 0.5), np.linspace(0.6, 1, 10)]).astype(np.float32)
    assert runner(Lanczos(steps=4), True, True)(jnp.asarray(matrix), np.float32(0.5)).kind is Kind.ROUGH
    # After six of another spectrum to 0.1 % and 1.3 %; a floor that lies far below leaves the small end open.
    matrix = symmetric_with_spectrum(np.r_[np.full(50, 0.5), np.linspace(0.7, 1, 50)]).astype(np.float32)
    kinds = {
        floor: runner(Lanczos(steps=6), True, True)(jnp.asarray(matrix), np.float32(floor)).kind
        for floor in (0.5, 0.01)
    }
    assert kinds == {0.5: Kind.ESTIMATE, 0.01: Kind.ROUGH}


def test_reuse_never_raises_a_kind():
    matrix = symmetric_with_spectrum(np.geomspace(1e-2, 1, 8)).astype(np.float32)
    system = eqx.tree_at(
        lambda s: s.damping,
        System.of(jnp.asarray(matrix), symmetric=True, eigenvalue_floor=jnp.float32(1e-3)),
        jnp.float32(1e-3),
    )
    kinds = {}
    for name, estimator in (("exact", Exact()), ("bound", Certified()), ("guess", Lanczos(steps=1))):
        reuse = Reuse(estimator)
        first, remembered = reuse.after(system, reuse.init(jnp.dtype("float32")))
        second, _ = reuse.after(system, remembered)
        kinds[name] = first.kind, second.kind
    assert kinds == {
        "exact": (Kind.ESTIMATE, Kind.ROUGH),
        "bound": (Kind.ROUGH, Kind.ROUGH),
        "guess": (Kind.ROUGH, Kind.ROUGH),
    }


@pytest.mark.parametrize("failure", [1e-3, 1e-9])
def test_a_start_that_is_all_but_blind_to_the_top_fails_no_more_often_than_is_said(failure):
    # All eigenvalues but one are 1: the first product looks like an invariant subspace wherever the start has little of
    # the other, which at a millionth of single precision's starts it has.
    n, steps = 40, 8
    spectrum = np.r_[np.ones(n - 1), 10.0]
    starts = np.random.default_rng(1).standard_normal((400, n))
    starts[:, -1] *= 10.0 ** -np.random.default_rng(2).uniform(0, 5, 400)
    tops = jax.jit(jax.vmap(lambda s: ritz_values(lambda v: jnp.asarray(spectrum, s.dtype) * v, s, steps)[-1]))
    shares = np.abs(starts[:, -1]) / np.linalg.norm(starts, axis=1)
    seen = np.asarray(tops(starts.astype(np.float32))) > 9.5
    # Whatever is well above the rounding of the start's other entries is found.
    assert np.all(seen[shares > 1e-5])
    estimator = ProbabilisticLanczos(steps=steps, failure=failure)
    matrix = symmetric_with_spectrum(spectrum - 1e-2).astype(np.float32)
    found = runner(estimator, False, True)(jnp.asarray(matrix), np.float32(1e-2))
    trace = np.trace(matrix) + 40 * 1e-2
    if failure == 1e-9:
        # Of what single precision's starts cannot show, the trace alone is left.
        assert float(found.spectral_norm) == pytest.approx(trace, rel=1e-3)
    else:
        # 30 % is what eight products leave open at that probability.
        assert 10 <= float(found.spectral_norm) <= 10 / 0.69
