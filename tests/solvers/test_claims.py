"""Every solver's status is its true residual against what it claims, whatever the spectrum, the scale and the type."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as qn
from qnewton._core.operators import Shifted
from qnewton._hardware import KernelTimes
from qnewton._solvers.verified import judge
from qnewton.testing import DenseBlock, symmetric_with_spectrum

N = 12
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
MACHINES = {
    dtype: qn.ClassicalMachine(
        "made by hand", dtype, (("cholesky", KernelTimes(1e-6, 0.0, 0.0)), ("lu", KernelTimes(1e-3, 0.0, 0.0)))
    )
    for dtype in EPS
}


def exactly(dtype):
    """What a solver that is exact up to rounding claims: a third of the digits of the right-hand side."""
    return EPS[dtype] ** (1 / 3)


def matrix_operator(matrix, tag=lx.positive_semidefinite_tag):
    return lx.MatrixLinearOperator(matrix, tag)


@pytest.fixture
def dtype(dtype):
    return str(dtype)


class Row(NamedTuple):
    """A solver, its claim for a float type, and the classes of matrices that it takes."""

    solver: Callable[[str], lx.AbstractLinearSolver]
    claim: Callable[[str], float] = exactly
    indefinite: bool = True
    # Condition numbers at which it succeeds for every right-hand side, as a power of the rounding unit's inverse.
    reach: float = 0.45


ROWS = {
    "lu": Row(lambda dtype: qn.LU()),
    "cholesky": Row(lambda dtype: qn.Cholesky(), indefinite=False),
    "fallback": Row(lambda dtype: qn.Cholesky(fallback=True)),
    "inverse": Row(lambda dtype: qn.Inverse(), indefinite=False),
    "gauss_jordan": Row(lambda dtype: qn.GaussJordan(), indefinite=False),
    "eigh": Row(lambda dtype: qn.Eigh()),
    "saddle_free": Row(lambda dtype: qn.SaddleFree(), indefinite=False),
    "qlsa": Row(lambda dtype: qn.QLSA()),
    "refine": Row(lambda dtype: qn.Refine(qn.LU(), tolerance=1e-10), reach=0.4),
    "cg": Row(lambda dtype: qn.CG(1e-3, max_steps=2000), lambda dtype: 1e-3, indefinite=False, reach=0.4),
    "loose_cg": Row(lambda dtype: qn.CG(0.3), lambda dtype: 0.3, indefinite=False, reach=0.3),
    "jacobi_cg": Row(
        lambda dtype: qn.CG(1e-5, preconditioner=qn.Jacobi()), lambda dtype: 1e-5, indefinite=False, reach=0.3
    ),
    "minres": Row(lambda dtype: qn.MINRES(1e-3, max_steps=2000), lambda dtype: 1e-3, reach=0.3),
    "preconditioned": Row(
        lambda dtype: qn.MINRES(1e-3, max_steps=2000, preconditioner=qn.Nystrom(4)), lambda dtype: 1e-3, reach=0.3
    ),
    "hybrid": Row(lambda dtype: qn.Hybrid(classical=MACHINES[dtype])),
}
each = pytest.mark.parametrize("name", ROWS)


@eqx.filter_jit
def _solve(solver, matrix, vector, tag):
    return lx.linear_solve(matrix_operator(matrix, tag), vector, solver, throw=False)


def solve(name, matrix, vector, dtype, tag=lx.positive_semidefinite_tag):
    """The value and the system in float64, whether it is a success, and the reported residual."""
    matrix, vector = np.asarray(matrix, dtype), np.asarray(vector, dtype)
    solution = _solve(ROWS[name].solver(dtype), jnp.asarray(matrix), jnp.asarray(vector), tag)
    success = bool(solution.result == lx.RESULTS.successful)
    reported = solution.stats.get("residual")
    return np.asarray(solution.value, np.float64), success, None if reported is None else float(reported)


def relative_residual(matrix, value, vector, dtype):
    """In extended precision, of the system as the solver was given it."""
    matrix, vector = (np.asarray(np.asarray(part, dtype), np.longdouble) for part in (matrix, vector))
    left = matrix @ value.astype(np.longdouble) - vector
    return float(np.sqrt(np.sum(left**2)) / np.sqrt(np.sum(vector**2)))


def systems(dtype, *, indefinite):
    """Matrix, right-hand side and condition number: random right-hand sides, and along the smallest eigenvector."""
    for kappa in (10.0, EPS[dtype] ** -0.3, EPS[dtype] ** -0.6, EPS[dtype] ** -0.9, EPS[dtype] ** -1.2):
        signs = np.where(np.arange(N) % 3 == 0, -1, 1) if indefinite else 1
        spectrum = np.geomspace(1, 1 / kappa, N) * signs
        matrix = symmetric_with_spectrum(spectrum, seed=int(np.log10(kappa)))
        last = np.linalg.eigh(matrix)[1][:, np.argmin(np.abs(np.linalg.eigvalsh(matrix)))]
        yield matrix, np.random.default_rng(1).standard_normal(N), kappa
        yield matrix, last, kappa


@each
def test_success_means_that_the_residual_is_as_claimed_and_easy_systems_succeed(name, dtype):
    row, claim = ROWS[name], ROWS[name].claim(dtype)
    for indefinite in {False, row.indefinite}:
        for matrix, vector, kappa in systems(dtype, indefinite=indefinite):
            tag = lx.symmetric_tag if indefinite else lx.positive_semidefinite_tag
            if indefinite and name == "fallback":
                tag = lx.positive_semidefinite_tag
            value, success, reported = solve(name, matrix, vector, dtype, tag)
            found = relative_residual(matrix, value, vector, dtype)
            # Computed in the float type itself.
            slack = 1 + 10 * EPS[dtype] * kappa / claim if claim > 1e-2 else 1.02
            if success:
                assert found <= claim * slack, (kappa, found)
            else:
                assert kappa > EPS[dtype] ** -row.reach, (kappa, found)
            if reported is not None and np.isfinite(reported):
                rounding = 20 * EPS[dtype] * float(1 + np.linalg.norm(value) / np.linalg.norm(vector))
                assert reported == pytest.approx(found, rel=1e-2, abs=rounding)


SCALES = [(2.0**-83, 1.0), (1.0, 2.0**-83), (2.0**-83, 2.0**-83), (2.0**90, 2.0**90), (2.0**100, 1.0), (1.0, 2.0**60)]


@each
def test_powers_of_two_of_matrix_and_vector_change_nothing_but_the_scale(name):
    """`solve(c A, d b) = d / c solve(A, b)`, in single precision, whose squares end at 1e-38 and 1e38."""
    matrix = symmetric_with_spectrum(np.geomspace(0.1, 1, N), seed=7)
    vector = np.random.default_rng(7).standard_normal(N)
    plain, success, _ = solve(name, matrix, vector, "float32")
    assert success
    for c, d in SCALES:
        value, success, _ = solve(name, c * matrix, d * vector, "float32")
        assert success, (c, d)
        # Only a square root of an odd power of two, and LAPACK's own scaling, round otherwise.
        np.testing.assert_allclose(value * (c / d), plain, rtol=1e-4, atol=1e-5)


@each
def test_a_solution_that_the_float_type_cannot_hold_is_no_success(name):
    matrix = np.diag(np.geomspace(1, 2, N))
    for exponent in (90, -90):
        assert not solve(name, matrix * 2.0**exponent, np.full(N, 2.0**-exponent), "float32")[1]


@each
def test_an_entry_of_the_solution_that_is_lost_counts_as_much_as_the_matrix_makes_of_it(name):
    """`x` is `(2^-200, 2^-100, ...)`, whose first entry is the half of `A x` and no number in single precision."""
    matrix = np.diag([2.0**100] + [1.0] * (N - 1))
    vector = np.full(N, 2.0**-100)
    value, success, _ = solve(name, matrix, vector, "float32")
    if success:
        assert relative_residual(matrix, value, vector, "float32") <= 1.02 * ROWS[name].claim("float32")


def test_a_residual_of_zero_that_proves_nothing_is_not_tried_for_ever():
    """Products with entries near the end of the range may lose their own, and there is nothing left to reduce."""
    matrix = np.diag(np.append(np.geomspace(1, 0.1, N - 3), np.zeros(3))) * 2.0**-100
    assert not solve("jacobi_cg", matrix, np.diag(matrix), "float32")[1]


TINY = float(np.finfo(np.float32).tiny)


def below(size):
    """A right-hand side of subnormal numbers, which arithmetic takes for zero, beside a zero."""
    return np.append(np.random.default_rng(4).standard_normal(size - 1), 0.0) * TINY / 64


@each
def test_a_right_hand_side_below_the_normal_range_is_solved_where_the_solution_is_above(name):
    matrix = symmetric_with_spectrum(np.geomspace(0.1, 1, N), seed=7)
    value, success, _ = solve(name, matrix * 2.0**-60, below(N), "float32")
    assert success
    assert relative_residual(matrix * 2.0**-60, value, below(N), "float32") <= 1.02 * ROWS[name].claim("float32")
    # The solution is as small: zero would be no solution.
    assert not solve(name, matrix, below(N), "float32")[1]


@pytest.mark.parametrize(
    "solver", [qn.Dual(), qn.EmulatedQSVT(1e-3), qn.CircuitQSVT(1e-3)], ids=lambda solver: type(solver).__name__
)
def test_so_do_those_that_are_given_roots_or_circuits(solver):
    root = np.array([[1.0, 0.5], [0.0, 1.0]], np.float32) * 2.0**-30
    block = DenseBlock.of_root(jnp.asarray(root))
    operator = lx.TaggedLinearOperator(Shifted(block, jnp.asarray(2.0**-60, "float32")), lx.positive_semidefinite_tag)
    vector = np.asarray(below(2), np.float32)
    solution = eqx.filter_jit(lx.linear_solve)(operator, jnp.asarray(vector), solver, throw=False)
    exact = np.linalg.solve(root.T.astype(np.float64) @ root + 2.0**-60 * np.eye(2), vector.astype(np.float64))
    assert solution.result == lx.RESULTS.successful
    np.testing.assert_allclose(np.asarray(solution.value, np.float64), exact, atol=5e-3 * np.abs(exact).max())


@each
def test_a_matrix_of_which_arithmetic_may_lose_entries_is_no_success(name):
    """Beside the diagonal they are subnormal, and 5 % of the matrix."""
    matrix = TINY * 8 * (np.eye(N) + 0.05 * np.ones((N, N)))
    assert not solve(name, matrix, np.full(N, 0.1), "float32")[1]


def broken():
    good = symmetric_with_spectrum(np.geomspace(0.1, 1, N), seed=3)
    yield "rank", symmetric_with_spectrum([*np.zeros(3), *np.linspace(1, 2, N - 3)], seed=5)
    yield "zero", np.zeros((N, N))
    for bad in (np.inf, -np.inf, np.nan):
        for i, j in ((1, 1), (0, 3), (3, 0)):
            spoilt = good.copy()
            spoilt[i, j] = bad
            yield f"{bad} at {i}, {j}", spoilt
    for size in (1e-2, 1.0):
        skew = np.triu(np.random.default_rng(0).standard_normal((N, N)), 1) * size
        yield f"unsymmetric by {size}", good + skew


@each
def test_what_has_no_solution_or_is_not_what_its_tag_says_is_never_a_success_by_mistake(name, dtype):
    vector = np.random.default_rng(2).standard_normal(N)
    claim = ROWS[name].claim(dtype)
    for what, matrix in broken():
        value, success, _ = solve(name, matrix, vector, dtype)
        if success:
            # Only where it is a solution all the same, as LU's of an unsymmetric matrix.
            assert np.all(np.isfinite(matrix)), what
            assert relative_residual(matrix, value, vector, dtype) <= 1.02 * claim, what


def test_a_consistent_singular_system_is_solved_and_least_squares_is_there_for_the_asking(dtype):
    matrix = np.asarray(symmetric_with_spectrum([0.0, 0, 0, *np.linspace(1, 2, N - 3)], seed=5), dtype)
    vector = np.random.default_rng(2).standard_normal(N)
    inside = matrix.astype(np.float64) @ vector
    value, success, _ = solve("eigh", matrix, inside, dtype)
    assert success
    assert relative_residual(matrix, value, inside, dtype) < 100 * EPS[dtype]
    asked = qn.Eigh(least_squares=True)
    solution = _solve(asked, jnp.asarray(matrix), jnp.asarray(vector, dtype), lx.symmetric_tag)
    assert solution.result == lx.RESULTS.successful
    expected = np.linalg.pinv(matrix.astype(np.float64), rcond=1e-5) @ vector
    np.testing.assert_allclose(solution.value, expected, atol=300 * EPS[dtype])
    spoilt = jnp.asarray(matrix).at[0, 1].add(0.5)
    below_range = jnp.asarray(matrix * (float(np.finfo(dtype).tiny) / 8))
    infinite = jnp.asarray(np.append(vector[1:], np.inf), dtype)
    refused = [(spoilt, jnp.asarray(vector, dtype)), (below_range, jnp.asarray(vector, dtype))]
    # Of a zero matrix everything is dropped; what is dropped must be a number.
    refused += [(jnp.asarray(matrix), infinite), (jnp.zeros_like(spoilt), infinite)]
    for left, right in refused:
        assert _solve(asked, left, right, lx.symmetric_tag).result != lx.RESULTS.successful


def test_the_claim_of_an_exact_solver_is_the_rule_that_is_documented():
    """A residual just inside and just outside of either bound."""
    with jax.enable_x64(True):
        eps, b = EPS["float64"], jnp.asarray([3.0, 4.0])
        x = jnp.asarray([1.0, 1.0])
        for size in (1.0, 1e3):
            # ||r||_1 against 30 eps (size ||x||_1 + ||b||_1).
            bound = 30 * eps * (size * 2 + 7)
            for factor, good in ((0.99, True), (1.01, False)):
                assert bool(judge(jnp.asarray([factor * bound, 0.0]), x, b, jnp.asarray(size))[0]) is good
        # ||r||_2 against eps^(1/3) ||b||_2, where rounding would allow more.
        for factor, good in ((0.99, True), (1.01, False)):
            accepted, relative = judge(jnp.asarray([0.0, factor * 5 * eps ** (1 / 3)]), x, b, jnp.asarray(1e15))
            assert bool(accepted) is good
            assert float(relative) == pytest.approx(factor * eps ** (1 / 3))


@pytest.mark.parametrize(
    "solver",
    [qn.LU(), qn.Cholesky(), qn.Inverse(), qn.GaussJordan(), qn.Eigh(), qn.QLSA()],
    ids=lambda solver: solver.name,
)
def test_who_judges_the_residual_himself_is_spared_the_product(solver: qn.solvers.AbstractSolver):
    matrix = jnp.asarray(symmetric_with_spectrum([0.0, *np.linspace(1, 2, N - 1)]), "float32")
    state = solver.init(matrix_operator(matrix), {"verify": False})
    held = [leaf for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array)) if leaf.shape == (N, N)]
    assert len(held) == 1
    assert "residual" not in solver.compute(state, jnp.ones(N), {"verify": False})[2]


@each
@pytest.mark.parametrize("scale", [2.0**-110, 2.0**-83, 2.0**83])
def test_who_judges_the_residual_himself_need_not_scale(name, scale):
    """Squares of 1e-25 and 1e25 are no numbers in single precision, and a zero was once returned as a success."""
    matrix = jnp.asarray(symmetric_with_spectrum(np.linspace(1, 2, N)), "float32")
    vector = np.random.default_rng(0).standard_normal(N).astype("float32")
    operator, solver = matrix_operator(matrix), ROWS[name].solver("float32")
    unscaled = {}
    for factor in (1.0, scale):
        right = jnp.asarray(np.ldexp(vector, int(np.log2(factor))))
        state = solver.init(operator, {"verify": False})
        value, result, _ = solver.compute(state, right, {})
        assert result == lx.RESULTS.successful
        unscaled[factor] = np.ldexp(np.asarray(value, np.float64), -int(np.log2(factor)))
    np.testing.assert_array_equal(unscaled[scale], unscaled[1.0])


@pytest.mark.parametrize("solver", [qn.CG(1e-3), qn.MINRES(1e-3)], ids=lambda solver: solver.name)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_a_first_guess_and_a_complex_system_need_no_scale_either(solver, dtype):
    rng = np.random.default_rng(1)
    half = rng.standard_normal((N, N)) + (1j * rng.standard_normal((N, N)) if dtype == "complex64" else 0)
    matrix = (half @ half.conj().T / N + np.eye(N)).astype(dtype)
    vector = rng.standard_normal(N).astype(dtype)
    operator, solution = matrix_operator(jnp.asarray(matrix)), np.linalg.solve(matrix, vector)
    state = solver.init(operator, {"verify": False})
    for scale in (1e-25, 1e25):
        guess = jnp.asarray((0.5 * solution * scale).astype(dtype))
        value, result, stats = solver.compute(state, jnp.asarray((vector * scale).astype(dtype)), {"y0": guess})
        assert result == lx.RESULTS.successful
        assert int(stats["num_steps"]) <= 1, "the multiple of the guess is the solution"
        np.testing.assert_allclose(np.asarray(value) / scale, solution, rtol=0, atol=3e-3)


def test_an_iteration_that_drifted_off_starts_anew_from_the_true_residual():
    """The recursion's residual was 1e-3 where the true one was 3e-2, at kappa 1e5 in single precision."""
    rng = np.random.default_rng(3)
    q = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    matrix = (q * np.geomspace(1, 1e-5, 30)) @ q.T
    matrix, vector = ((matrix + matrix.T) / 2).astype(np.float32), rng.normal(size=30).astype(np.float32)
    found = {}
    for verify in (False, True):
        solution = eqx.filter_jit(lx.linear_solve)(
            matrix_operator(jnp.asarray(matrix)),
            jnp.asarray(vector),
            qn.MINRES(1e-3),
            options={"verify": verify},
            throw=False,
        )
        assert solution.result == lx.RESULTS.successful
        found[verify] = relative_residual(matrix, np.asarray(solution.value, np.float64), vector, "float32")
    assert found[True] <= 1.02e-3
    assert found[False] > 1e-2


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_refine_claims_its_tolerance(factor):
    """Two rounds of a coarse solver leave a residual that is known, and is accepted up to the tolerance."""
    with jax.enable_x64(True):
        matrix = jnp.asarray(symmetric_with_spectrum(np.geomspace(0.02, 1, N), seed=1))
        vector = jnp.asarray(np.random.default_rng(1).standard_normal(N))
        inner = qn.CG(1e-2)
        probe = _solve(qn.Refine(inner, rounds=2, tolerance=1e-15), matrix, vector, lx.positive_semidefinite_tag)
        left = relative_residual(matrix, np.asarray(probe.value), vector, "float64")
        assert probe.result == lx.RESULTS.max_steps_reached
        assert 1e-7 < left < 1e-3
        refine = qn.Refine(inner, rounds=2, tolerance=factor * left)
        result = _solve(refine, matrix, vector, lx.positive_semidefinite_tag).result
    assert result == (lx.RESULTS.successful if factor > 1 else lx.RESULTS.max_steps_reached)


COMPLEX = {
    "lu": qn.LU(),
    "cholesky": qn.Cholesky(),
    "fallback": qn.Cholesky(fallback=True),
    "inverse": qn.Inverse(),
    "gauss_jordan": qn.GaussJordan(),
    "eigh": qn.Eigh(),
    "saddle_free": qn.SaddleFree(),
    "qlsa": qn.QLSA(),
    "refine": qn.Refine(qn.LU(), tolerance=1e-14),
    "cg": qn.CG(1e-13),
    "jacobi": qn.CG(1e-13, preconditioner=qn.Jacobi()),
    "nystrom": qn.CG(1e-13, preconditioner=qn.Nystrom(3)),
    "minres": qn.MINRES(1e-13),
}
REFUSED = {
    "hybrid": qn.Hybrid(classical=MACHINES["float64"]),
    "qsvt": qn.EmulatedQSVT(1e-3),
    "walk": qn.EmulatedWalk(1e-3),
    "circuit": qn.CircuitQSVT(1e-3),
}


def hermitian(dtype="complex128"):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
    vector = rng.standard_normal(6) + 1j * rng.standard_normal(6)
    return (root @ root.conj().T / 6 + 0.5 * np.eye(6)).astype(dtype), vector.astype(dtype)


@pytest.mark.parametrize("name", COMPLEX)
def test_hermitian_systems_are_solved_and_so_are_their_transposes(name):
    with jax.enable_x64(True):
        matrix, vector = hermitian()
        solver, operator = COMPLEX[name], matrix_operator(jnp.asarray(matrix))

        @eqx.filter_jit
        def all_three(operator, vector):
            state = solver.init(operator, {})
            turned, options = solver.transpose(state, {})
            conjugate, more = solver.conj(state, {})
            return [
                solver.compute(*given)
                for given in ((state, vector, {}), (turned, vector, options), (conjugate, vector, more))
            ]

        answers = all_three(operator, jnp.asarray(vector))
    for (value, result, _), system in zip(answers, (matrix, matrix.T, matrix.conj()), strict=True):
        assert result == lx.RESULTS.successful
        assert np.linalg.norm(system @ np.asarray(value) - vector) <= 1e-12 * np.linalg.norm(vector)


@pytest.mark.parametrize("name", REFUSED)
def test_who_takes_no_complex_system_says_who_does(name):
    with jax.enable_x64(True):
        matrix, vector = hermitian()
        with pytest.raises(ValueError, match="solves real systems, got complex128: use LU, or Cholesky"):
            lx.linear_solve(matrix_operator(jnp.asarray(matrix)), jnp.asarray(vector), REFUSED[name])


def test_a_complex_matrix_that_is_only_tagged_symmetric_is_no_hermitian_one():
    matrix, vector = hermitian("complex64")
    for solver in (qn.Eigh(), qn.MINRES()):
        with pytest.raises(ValueError, match=r"needs a Hermitian operator.*complex64"):
            lx.linear_solve(matrix_operator(jnp.asarray(matrix), lx.symmetric_tag), jnp.asarray(vector), solver)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_factorised_by_none_and_iterated_by_some(dtype):
    matrix, vector = jnp.asarray([[2.0, 1.0], [1.0, 3.0]], dtype), jnp.asarray([1.0, 2.0], dtype)
    inverses = qn.Inverse(), qn.GaussJordan()
    for solver in (qn.LU(), qn.Cholesky(), *inverses, qn.Eigh(), qn.SaddleFree(), qn.QLSA(), qn.Refine(qn.LU())):
        with pytest.raises(ValueError, match=f"got {dtype}: cast the operator and the right-hand side to float32"):
            lx.linear_solve(matrix_operator(matrix), vector, solver)
    block = Shifted(DenseBlock.of_root(matrix), jnp.ones((), dtype))
    with pytest.raises(ValueError, match=f"got {dtype}: cast"):
        lx.linear_solve(block, vector, qn.Dual())
    value = lx.linear_solve(matrix_operator(matrix), vector, qn.CG(0.05)).value
    np.testing.assert_allclose(np.asarray(value, np.float64), [0.2, 0.6], atol=0.05)


def test_whole_numbers_are_solved_as_single_precision():
    value = lx.linear_solve(matrix_operator(jnp.asarray([[2, 1], [1, 3]])), jnp.asarray([1, 2]), qn.Cholesky()).value
    np.testing.assert_allclose(value, [0.2, 0.6], rtol=1e-6)
