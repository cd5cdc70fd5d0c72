"""`EmulatedQSVT` against the polynomial on exact spectra, exact solutions, the cost model, and bad input."""

import equinox as eqx
import hypothesis
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton._core.operators import DenseRoot, Shifted
from qnewton._core.records import Encoding
from qnewton._solvers import EmulatedQSVT
from qnewton._solvers.quantum.emulated import FromSuccess, KnownAmplitude, LineFit, Outcome, Repeated, UnknownAmplitude
from qnewton._solvers.quantum.encoding import Frobenius, SquareRoot
from qnewton._solvers.quantum.precision import ErrorConvention, convert
from qnewton._solvers.quantum.queries import sunderhauf2025
from qnewton._solvers.quantum.queries.qsvt import optimal_polynomial
from qnewton.qsp import InversePolynomial, inverse_degree
from qnewton.testing import DenseBlock, symmetric_with_spectrum


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def solve(matrix, b, solver, tag=lx.symmetric_tag):
    solution = lx.linear_solve(lx.MatrixLinearOperator(matrix, tag), b, solver, throw=False)
    return solution.value, solution.result, solution.stats


def spectrum(n, kappa, *, definite):
    rng = np.random.default_rng(n)
    values = np.geomspace(1 / kappa, 1, n) if n > 1 else np.ones(1)
    return values if definite else values * rng.choice([-1, 1], n)


@pytest.mark.parametrize("definite", [True, False])
@pytest.mark.parametrize(("n", "kappa"), [(5, 10.0), (64, 100.0)])
def test_is_the_polynomial(n, kappa, definite):
    values = spectrum(n, kappa, definite=definite)
    gaussian = np.random.default_rng(1).standard_normal((n, n))
    vectors = np.linalg.qr(gaussian)[0]
    b = np.random.default_rng(2).standard_normal(n)
    scale = 37.0
    matrix = scale * (vectors * values) @ vectors.T
    value, result, stats = solve(jnp.asarray((matrix + matrix.T) / 2), jnp.asarray(b), EmulatedQSVT(1e-4, kappa=kappa))
    assert result == lx.RESULTS.successful
    polynomial = InversePolynomial(kappa, int(stats["num_steps"]))
    expected = vectors @ (polynomial(np.clip(values, -1, 1)) * (vectors.T @ b)) / scale
    allowed = 1e-12 * polynomial.maximum * np.linalg.norm(b) / scale
    assert np.linalg.norm(value - expected) <= allowed
    amplitude = np.linalg.norm(expected) * scale / np.linalg.norm(b) / polynomial.maximum
    assert float(stats["success_probability"]) == pytest.approx(amplitude**2, rel=1e-6)


@hypothesis.given(st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=8), st.floats(1.0, 50.0))
def test_is_the_solution_within_what_was_asked_for(powers, kappa):
    values = np.resize([kappa**-power * (-1 if negative else 1) for power, negative in powers], 8)
    matrix, b = symmetric_with_spectrum(values), np.random.default_rng(1).standard_normal(8)
    value, result, _ = solve(jnp.asarray(matrix), jnp.asarray(b), EmulatedQSVT(1e-3))
    assert result == lx.RESULTS.successful
    exact = np.linalg.solve(matrix, b)
    assert np.linalg.norm(value - exact) <= 1e-3 * (1 + 1e-6) * np.linalg.norm(exact)


def test_the_traced_degree_is_the_one_of_the_host():
    kappas, errors = np.meshgrid([1.1, 2.0, 10.0, 100.0, 4e3, 1e5], [0.3, 1e-2, 1e-6, 1e-10])
    traced = jax.jit(optimal_polynomial)(jnp.asarray(kappas), jnp.asarray(errors))
    for kappa, error, degree, maximum in zip(
        kappas.flat, errors.flat, traced.degree.flatten(), traced.maximum.flatten(), strict=True
    ):
        assert int(degree) == inverse_degree(kappa, error)
        # Never below it; a little above where the polynomial is so coarse that the cost model bounds it by kappa.
        true = InversePolynomial(kappa, int(degree)).maximum
        assert true * (1 - 1e-5) <= float(maximum) <= (1.2 if error > 0.1 else 1 + 1e-5) * true


def test_executed_queries_are_those_that_are_charged_for_the_same_norm_and_error():
    matrix = symmetric_with_spectrum(spectrum(12, 30.0, definite=False))
    b = np.random.default_rng(3).standard_normal(12)
    encoding = Encoding(30.0, 1.0)
    norm = float(np.linalg.norm(np.linalg.solve(matrix, b)) / np.linalg.norm(b))
    absolute = convert(1e-6, ErrorConvention.STATE, ErrorConvention.ABSOLUTE)
    charged = sunderhauf2025(encoding, absolute, norm, convention=ErrorConvention.ABSOLUTE)
    solver = EmulatedQSVT(1e-6, kappa=30.0, norm=1.0)
    _, _, stats = solve(jnp.asarray(matrix), jnp.asarray(b), solver)
    assert float(stats["queries"]) == pytest.approx(float(charged.queries), rel=1e-5)
    _, _, repeated = solve(jnp.asarray(matrix), jnp.asarray(b), EmulatedQSVT(1e-6, amplification=Repeated()))
    degree = inverse_degree(30.0, float(absolute))
    assert float(repeated["queries"]) == pytest.approx(degree / float(repeated["success_probability"]), rel=1e-5)
    # Where the amplitude is the least there can be, the schedule makes what is charged for an unknown norm.
    first = np.linalg.eigh(matrix @ matrix)[1][:, -1]
    _, _, worst = solve(jnp.asarray(matrix), jnp.asarray(first), EmulatedQSVT(1e-6, amplification=UnknownAmplitude()))
    assert float(worst["queries"]) == pytest.approx(float(sunderhauf2025(encoding, 1e-6).queries), rel=1e-3)
    assert solver.amplification == KnownAmplitude()


@pytest.mark.parametrize("solver", [EmulatedQSVT(1e-4, kappa=25.0), EmulatedQSVT(1e-4, norm=0.8)])
def test_a_bound_below_the_truth_is_found_out_by_the_residual(solver):
    matrix, b = symmetric_with_spectrum(spectrum(16, 50.0, definite=True)), np.random.default_rng(4).standard_normal(16)
    _, result, stats = solve(jnp.asarray(matrix), jnp.asarray(b), solver)
    assert result == lx.RESULTS.conlim
    assert "give a larger kappa or norm" in Outcome(int(stats["outcome"])).remedy


@pytest.mark.parametrize(
    ("matrix", "solver", "outcome", "result"),
    [
        (np.diag([1.0, 0.5, 0.0]), EmulatedQSVT(), Outcome.NO_BOUND, lx.RESULTS.singular),
        (np.diag([1.0, 1e-4, 1e-9]), EmulatedQSVT(), Outcome.TOO_LONG, lx.RESULTS.max_steps_reached),
        (np.diag([1.0, -1.0, -0.5]), EmulatedQSVT(length=LineFit()), Outcome.NOT_DEFINITE, lx.RESULTS.breakdown),
        (np.diag([1.0, np.nan, 1.0]), EmulatedQSVT(), Outcome.NO_BOUND, lx.RESULTS.singular),
    ],
    ids=["singular", "too long", "indefinite", "not finite"],
)
def test_what_cannot_be_solved_says_so(matrix, solver, outcome, result):
    value, found, stats = solve(jnp.asarray(matrix), jnp.ones(3), solver, lx.positive_semidefinite_tag)
    assert Outcome(int(stats["outcome"])) is outcome
    assert found == result
    assert np.all(np.isnan(value))


def test_a_precision_below_the_rounding_of_the_emulation_is_not_claimed():
    """Against what a backward stable solver leaves in single precision, by residuals in double precision."""
    n, told = 5, []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
        matrix = (left * np.geomspace(1, 1 / 300, n)) @ right.T
        b = (matrix @ rng.standard_normal(n)).astype(np.float32).astype(float)
        a = matrix.astype(np.float32).astype(float)
        value, result, stats = solve(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), EmulatedQSVT(1e-6), ())
        x, size = np.asarray(value, float), np.linalg.norm(b)
        stable = 64 * n * np.finfo(np.float32).eps * (np.linalg.norm(a, 2) * np.linalg.norm(x) / size + 1)
        told.append(result == lx.RESULTS.successful)
        assert not told[-1] or np.linalg.norm(a @ x - b) <= (stable + 1e-5) * size, seed
        assert told[-1] or Outcome(int(stats["outcome"])) is Outcome.RESIDUAL
    assert 0 < sum(told) < len(told)


def test_an_indefinite_matrix_that_is_tagged_so_has_no_length_problem():
    matrix, b = symmetric_with_spectrum(spectrum(7, 20.0, definite=False)), np.random.default_rng(5).standard_normal(7)
    value, result, _ = solve(jnp.asarray(matrix), jnp.asarray(b), EmulatedQSVT(1e-6, length=LineFit()))
    assert result == lx.RESULTS.successful
    np.testing.assert_allclose(value, np.linalg.solve(matrix, b), rtol=1e-4)


def test_a_larger_subnormalisation_makes_a_longer_circuit_and_the_same_solution():
    matrix, b = symmetric_with_spectrum(spectrum(9, 5.0, definite=True)), np.random.default_rng(6).standard_normal(9)
    _, _, ideal = solve(jnp.asarray(matrix), jnp.asarray(b), EmulatedQSVT(1e-6))
    value, result, stats = solve(jnp.asarray(matrix), jnp.asarray(b), EmulatedQSVT(1e-6, encoding=Frobenius()))
    assert result == lx.RESULTS.successful
    np.testing.assert_allclose(value, np.linalg.solve(matrix, b), rtol=1e-4)
    longer = np.linalg.norm(matrix) / np.linalg.norm(matrix, 2)
    assert float(stats["num_steps"] / ideal["num_steps"]) == pytest.approx(longer, rel=0.1)


def test_nothing_is_formed_where_both_bounds_are_promised():
    class Unformable(DenseBlock):
        def as_matrix(self):
            raise AssertionError("formed")

    operator = Shifted(Unformable(jnp.diag(jnp.asarray([0.5, 1.5, 3.5]))), jnp.asarray(0.5), definite=True)
    solver = EmulatedQSVT(1e-8, kappa=4.0, norm=4.0)
    value, result, _ = solver.compute(solver.init(operator, {}), jnp.ones(3), {})
    assert result == lx.RESULTS.successful
    np.testing.assert_allclose(value, [1.0, 0.5, 0.25], rtol=1e-7)
    with pytest.raises(AssertionError, match="formed"):
        EmulatedQSVT(1e-8, kappa=4.0).init(operator, {})


class TestRoot:
    rows, n, shift = 6, 9, 0.05

    def system(self):
        root = np.random.default_rng(7).standard_normal((self.rows, self.n)) / 3
        operator = Shifted(DenseBlock.of_root(jnp.asarray(root)), jnp.asarray(self.shift), definite=True)
        return root, operator, root.T @ root + self.shift * np.eye(self.n)

    @pytest.mark.parametrize("given", [True, False])
    def test_encodes_the_factor_and_its_right_hand_side(self, given):
        root, operator, matrix = self.system()
        residuals = np.random.default_rng(8).standard_normal(self.rows)
        gradient = root.T @ residuals
        solver = EmulatedQSVT(1e-8, encoding=SquareRoot(rows=self.rows))
        options = {"preimage": jnp.asarray(residuals)} if given else {}
        state = solver.init(operator, options)
        value, result, stats = solver.compute(state, jnp.asarray(gradient), options)
        assert result == lx.RESULTS.successful
        exact = np.linalg.solve(matrix, gradient)
        np.testing.assert_allclose(value, exact, rtol=1e-6)
        # The amplitude is that of L^+ b alone: with the residuals as right-hand side ||x|| / ||b||.
        size = np.linalg.norm(residuals) if given else np.linalg.norm(gradient) / np.sqrt(self.shift)
        kappa = float(state.encoded.kappa)
        maximum = InversePolynomial(kappa, int(stats["num_steps"])).maximum
        amplitude = np.linalg.norm(exact) * float(state.encoded.alpha) / size / maximum
        assert float(stats["success_probability"]) == pytest.approx(amplitude**2, rel=1e-4)
        values = np.linalg.eigvalsh(matrix)
        bound = np.sqrt(self.n) * np.linalg.norm(matrix)
        assert kappa == pytest.approx(np.sqrt(min(bound, self.n * np.abs(matrix).max()) / values[0]), rel=1e-6)

    def test_a_negative_shift_is_told(self):
        root = jnp.asarray(np.random.default_rng(7).standard_normal((3, 3)))
        operator = Shifted(DenseBlock.of_root(root), jnp.asarray(-0.1), definite=True)
        solver = EmulatedQSVT(1e-2, encoding=SquareRoot(rows=3))
        _, result, stats = solver.compute(solver.init(operator, {}), jnp.ones(3), {})
        assert Outcome(int(stats["outcome"])) is Outcome.NOT_DEFINITE
        assert result == lx.RESULTS.breakdown

    def test_a_matrix_without_a_root_is_refused(self):
        solver = EmulatedQSVT(encoding=SquareRoot(rows=3))
        with pytest.raises(ValueError, match=r"encodes the factor of a damped block.*encoding=Ideal\(\)"):
            solver.init(lx.MatrixLinearOperator(jnp.eye(3), lx.positive_semidefinite_tag), {})

    def test_a_preimage_of_the_wrong_size_is_refused(self):
        _, operator, _ = self.system()
        solver = EmulatedQSVT(encoding=SquareRoot(rows=6))
        with pytest.raises(ValueError, match=r"preimage has shape \(4,\), and the root 6 rows"):
            solver.compute(solver.init(operator, {}), jnp.ones(9), {"preimage": jnp.ones(4)})

    def test_any_root_serves(self):
        assert isinstance(DenseBlock.of_root(jnp.eye(2)).root(), DenseRoot)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": 0.0}, "precision is 0.0"),
        ({"kappa": 0.5}, "kappa is 0.5: a bound on the condition number is finite and at least 1"),
        ({"norm": 0.0}, r"norm is 0.0: a bound on \|\|A\|\|"),
        ({"depolarising": 1.0}, "depolarising is 1.0: a probability per query"),
        ({"max_queries": 0}, "max_queries is 0"),
    ],
)
def test_bad_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmulatedQSVT(**arguments)


def test_a_length_precision_out_of_range_is_refused():
    with pytest.raises(ValueError, match="precision is 2: it must lie in"):
        FromSuccess(2)
