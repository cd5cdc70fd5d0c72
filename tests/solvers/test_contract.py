"""What every solver must do. A new solver is one row of `CASES`."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

from qnewton._conditioning import ScaleDiagonal
from qnewton._core.operators import Shifted
from qnewton._core.records import Access, ClassicalWorkload, Encoding, Kind, Kinds, QuantumWorkload, SystemEstimate
from qnewton._scheduling.conditioned import Conditioned
from qnewton._solvers import (
    CG,
    LU,
    MINRES,
    QLSA,
    Cholesky,
    Dual,
    Eigh,
    EmulatedQSVT,
    EmulatedReflection,
    EmulatedWalk,
    GaussJordan,
    Inverse,
    Refine,
    SaddleFree,
)
from qnewton._solvers.base import AbstractSolver
from qnewton._solvers.quantum.circuit import CircuitQSVT
from qnewton._solvers.quantum.queries import sunderhauf2025
from qnewton.testing import DenseBlock, symmetric_with_spectrum


def _operator(matrix, dtype="float64"):
    return lx.MatrixLinearOperator(jnp.asarray(matrix, dtype), lx.positive_semidefinite_tag)


def _rooted(matrix, dtype="float64"):
    """`R^T R + s I` that equals the matrix, whose eigenvalues are at least 0.02."""
    matrix = jnp.asarray(matrix, dtype)
    shift = jnp.asarray(0.01, dtype)
    root = jnp.linalg.cholesky(matrix - shift * jnp.eye(matrix.shape[0], dtype=dtype)).T
    return Shifted(DenseBlock.of_root(root), shift)


def walk_steps(constant: float, kappa: float, precision: float) -> float:
    """Expected steps of walk and filter of arXiv 2312.07690, at the walk's best error; by scipy."""

    def cost(error: float) -> float:
        delta = error**2 - error**4 / 4
        left = precision * np.sqrt((1 - delta) * (1 - precision**2 / 4) / delta) / (1 - precision**2 / 2)
        repetitions = 1 / (1 - delta * (1 - left**2)) ** 2
        return kappa * (np.log(2 / left) / 2 * (repetitions + 1) + constant * repetitions / error)

    found: Any = scipy.optimize.minimize_scalar(cost, bounds=(0.05, 1.2), method="bounded")
    return float(found.fun)


class Case(NamedTuple):
    """A solver and what it says about itself; `cost` is its workload for n = 6, kappa = 10 in float64.

    `solves` is the widest class of matrices for which it solves the system: `general`, `symmetric` or `definite`. A
    solver that takes a matrix by another `operator` takes no other one. `claims` is the relative error that an
    approximate solver claims for a condition number, and `attains` the part of it that it makes at worst.
    """

    solver: AbstractSolver
    name: str
    runs_as: str
    execution: str | None
    needs_definite: bool
    cost: Mapping[str, Any]
    solves: str = "general"
    full_rank: bool = True
    operator: Callable[..., lx.AbstractLinearOperator] = _operator
    claims: Callable[[float], float] = lambda kappa: 0.0
    attains: float = 0.0


# Golden value at precision 1e-2, see golden_jennings_v1.json.
_JENNINGS = {"queries": 5693.272701817967, "state_preparations": 11386.545403635934, "success_probability": 0.38796}

# MINRES: the bound sqrt(10)/2 ln(2e13) = 49 steps, of 2 6^2 + 10 6 operations, over 6^2 + 12 6 doubles; the right-hand
# side. CG: sqrt(10)/2 ln(2 sqrt(10) 1e13) = 51 steps, since its bound is in the norm of the matrix.
_KRYLOV = {"flops": 0.0, "bytes": 48.0, "steps": 49.0, "step_flops": 132.0, "step_bytes": 864.0}
# 9 6^3 + 4 6^2 operations, 4 arrays.
_EIGH = {"kernel": "eigh", "flops": 2088.0, "bytes": 1152.0}

_QSVT = sunderhauf2025(Encoding(10.0, 1.0), 1e-6)

CASES = {
    # 2/3 6^3 + 2 6^2 operations, 3 arrays of 6 x 6 doubles.
    "lu": Case(LU(), "LU", "LU", None, False, {"kernel": "lu", "flops": 216.0, "bytes": 864.0}),
    "cholesky": Case(
        Cholesky(),
        "Cholesky",
        "Cholesky",
        None,
        True,
        {"kernel": "cholesky", "flops": 144.0, "bytes": 864.0},
        "definite",
    ),
    # 10/3 6^3 + 2 6^2 operations, 7 + 1 arrays.
    "inverse": Case(
        Inverse(), "Inverse", "Inverse", None, True, {"kernel": "inverse", "flops": 792.0, "bytes": 2304.0}, "definite"
    ),
    # 2 6^3 + 2 6^2 operations, 12 + 1 arrays.
    "gauss_jordan": Case(
        GaussJordan(),
        "GaussJordan",
        "GaussJordan",
        None,
        True,
        {"kernel": "gauss-jordan", "flops": 504.0, "bytes": 3744.0},
        "definite",
    ),
    "qlsa": Case(QLSA(), "QLSA(jennings2023v1)", "LU", "modelled", False, _JENNINGS),
    "qlsa_on_cholesky": Case(
        QLSA(stand_in=Cholesky()), "QLSA(jennings2023v1)", "Cholesky", "modelled", True, _JENNINGS, "definite"
    ),
    "cg": Case(CG(1e-13), "CG", "CG", None, True, {"kernel": "cg", **_KRYLOV, "steps": 51.0}, "definite"),
    "minres": Case(MINRES(1e-13), "MINRES", "MINRES", None, False, {"kernel": "minres", **_KRYLOV}, "symmetric"),
    "eigh": Case(Eigh(), "Eigh", "Eigh", None, False, _EIGH, "symmetric", full_rank=False),
    "saddle_free": Case(SaddleFree(), "SaddleFree", "SaddleFree", None, False, _EIGH, "definite", full_rank=False),
    # Half as many rows as columns: 2 3^2 6 for the Gram matrix, 3^3 / 3 for its factor, two solves of 2 3^2, and three
    # products of 2 6^2; four arrays of 3 x 3 doubles and the products'.
    "dual": Case(
        Dual(),
        "Dual",
        "Dual",
        None,
        True,
        {"kernel": "dual", "flops": 369.0, "bytes": 1152.0},
        "definite",
        operator=_rooted,
    ),
    "emulated_qsvt": Case(
        EmulatedQSVT(1e-6),
        "EmulatedQSVT(ideal)",
        "EmulatedQSVT(ideal)",
        "emulated",
        False,
        {"queries": float(_QSVT.queries), "state_preparations": float(_QSVT.queries) / 161},
        claims=lambda kappa: 1e-6,
        attains=0.5,
    ),
    "circuit_qsvt": Case(
        CircuitQSVT(1e-6),
        "CircuitQSVT(ideal)",
        "block-unitary circuit on default.qubit",
        "circuit",
        False,
        {"queries": float(_QSVT.queries)},
        claims=lambda kappa: 1e-6,
        attains=0.5,
    ),
    # kappa = 10, epsilon = 1e-6. Whole steps add at most two of the walk and one of the filter to each repetition. The
    # length that fits best bears the direction's error times kappa.
    "emulated_walk": Case(
        EmulatedWalk(1e-6),
        "EmulatedWalk(ideal)",
        "EmulatedWalk(ideal)",
        "emulated",
        False,
        {"queries": pytest.approx(walk_steps(3.3, 10, 1e-6), abs=5)},
        "symmetric",
        claims=lambda kappa: (1 + kappa) * 1e-6,
    ),
    "emulated_reflection": Case(
        EmulatedReflection(1e-6),
        "EmulatedReflection(ideal)",
        "EmulatedReflection(ideal)",
        "emulated",
        False,
        {"queries": pytest.approx(289.775, abs=5e-4)},
        claims=lambda kappa: (1 + kappa) * 1e-6,
    ),
    "refine": Case(
        Refine(EmulatedQSVT(1e-2), rounds=12, tolerance=1e-12),
        "Refine(EmulatedQSVT(ideal))",
        "Refine(EmulatedQSVT(ideal))",
        "emulated",
        False,
        {},
        claims=lambda kappa: kappa * 1e-12,
    ),
    # A change of basis is undone, so the solution is that of the system as it was handed over.
    "conditioned": Case(
        Conditioned(LU(), [ScaleDiagonal()]),
        "Conditioned(LU, ScaleDiagonal())",
        "Conditioned(LU, ScaleDiagonal())",
        None,
        False,
        {"kernel": "lu", "flops": 216.0, "bytes": 864.0},
    ),
}

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def those_that(hold: Callable[[Case], bool]) -> pytest.MarkDecorator:
    kept = {name: case for name, case in CASES.items() if hold(case)}
    return pytest.mark.parametrize("case", kept.values(), ids=kept.keys())


takers_of_matrices = those_that(lambda case: case.operator is _operator)
double = pytest.mark.usefixtures("x64")
# One function for all tests: a solver is compiled once for each shape.
solve = eqx.filter_jit(lx.linear_solve)


@eqx.filter_jit
def compute(solver, state, vector, options):
    return solver.compute(state, vector, options)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def _definite(n):
    return symmetric_with_spectrum(np.geomspace(0.02, 1, n) if n > 1 else [0.3], seed=n)


def assert_solves(case, got, expected, rtol, kappa=50.0):
    """Entry by entry, or within what an approximate solver claims for the condition number, in the 2-norm."""
    claimed = case.claims(kappa)
    if claimed == 0:
        np.testing.assert_allclose(got, expected, rtol=rtol)
    else:
        difference = np.asarray(got) - expected
        assert np.linalg.norm(difference) <= (claimed + rtol) * np.linalg.norm(expected)


def _vector(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


@each
@pytest.mark.parametrize(("n", "dtype"), [(1, "float32"), (33, "float32"), (33, "float64")], indirect=["dtype"])
def test_solution_equals_numpy(case, n, dtype):
    matrix, vector = _definite(n), _vector(n)

    solution = solve(case.operator(matrix, dtype), jnp.asarray(vector, dtype), case.solver)
    assert solution.result == lx.RESULTS.successful
    assert solution.value.dtype == dtype
    expected = np.linalg.solve(matrix, vector)
    # Backward stable: the forward error is a small multiple of eps kappa.
    allowed = 500 * jnp.finfo(dtype).eps + case.claims(50.0)
    assert np.linalg.norm(solution.value - expected) <= allowed * np.linalg.norm(expected)


@double
@those_that(lambda case: case.claims(1.0) > 0)
def test_error_is_as_large_as_claimed_and_no_larger(case):
    # Right-hand sides along the eigenvectors, where the polynomials' errors are largest, and a mixed one.
    values, vectors = np.linalg.eigh(_definite(33))
    sides = [*vectors.T[[0, 1, 8, 16, 24, 31, 32]], _vector(33)]
    state = case.solver.init(case.operator(_definite(33)), {})
    errors = []
    for side in sides:
        value, result, _ = compute(case.solver, state, jnp.asarray(side), {})
        assert result == lx.RESULTS.successful
        exact = vectors @ ((vectors.T @ side) / values)
        errors.append(np.linalg.norm(value - exact) / np.linalg.norm(exact))
    claimed = case.claims(50.0)
    assert case.attains * claimed <= max(errors) <= claimed * (1 + 1e-4)


@double
@those_that(lambda case: case.solves == "general")
def test_any_matrix(case):
    matrix = np.random.default_rng(1).standard_normal((7, 7))
    solution = solve(lx.MatrixLinearOperator(jnp.asarray(matrix)), jnp.asarray(_vector(7)), case.solver)
    assert_solves(case, solution.value, np.linalg.solve(matrix, _vector(7)), 1e-10, np.linalg.cond(matrix))


@double
@those_that(lambda case: case.solves != "definite")
def test_symmetric_without_definiteness(case):
    matrix = symmetric_with_spectrum([-3.0, -1, -0.1, 0.2, 1, 2, 5])
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix), lx.symmetric_tag)
    solution = solve(operator, jnp.asarray(_vector(7)), case.solver)
    assert_solves(case, solution.value, np.linalg.solve(matrix, _vector(7)), 1e-10)


@double
@pytest.mark.parametrize(
    "solver", [Cholesky(), Cholesky(fallback=True), CG(rtol=1e-12), MINRES(rtol=1e-12), Eigh()], ids=repr
)
def test_a_negative_definite_operator_is_solved_with_its_derivatives(solver):
    matrix, vector = -_definite(7), jnp.asarray(_vector(7))
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix), lx.negative_semidefinite_tag)
    value, gradient = jax.value_and_grad(lambda b: jnp.sum(lx.linear_solve(operator, b, solver).value ** 2))(vector)
    expected = np.linalg.solve(matrix, _vector(7))
    np.testing.assert_allclose(value, np.sum(expected**2), rtol=1e-9)
    np.testing.assert_allclose(gradient, np.linalg.solve(matrix.T, 2 * expected), rtol=1e-8, atol=1e-10)


@takers_of_matrices
@double
@pytest.mark.parametrize(
    "tag", [None, lx.symmetric_tag, lx.positive_semidefinite_tag], ids=["untagged", "symmetric", "definite"]
)
def test_an_operator_without_the_tags_that_a_solver_needs_is_refused(case, tag):
    # As large as the systems of the two tests above, whose programs then serve here too.
    operator = lx.MatrixLinearOperator(jnp.asarray(_definite(7)), () if tag is None else tag)
    if case.solver.capabilities.needs_definite and tag is not lx.positive_semidefinite_tag:
        with pytest.raises(ValueError, match="positive or negative definite"):
            solve(operator, jnp.ones(7), case.solver)
    elif case.solver.capabilities.needs_symmetric and tag is None:
        with pytest.raises(ValueError, match=r"tag it with lineax\.symmetric_tag"):
            solve(operator, jnp.ones(7), case.solver)
    else:
        value = solve(operator, jnp.ones(7), case.solver).value
        assert_solves(case, value, np.linalg.solve(_definite(7), np.ones(7)), 1e-10)


@each
@double
def test_rectangular_is_refused(case):
    operator = lx.MatrixLinearOperator(jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"square|definite|Dual solves"):
        solve(operator, jnp.ones(3), case.solver)


@takers_of_matrices
@double
def test_pytree_operator_and_vector(case):
    matrix = _definite(6)
    tree = {"weight": _vector(4).reshape(2, 2), "bias": (_vector(1, 1)[0], _vector(1, 2))}
    like = jax.tree.map(jnp.asarray, tree)
    flat, unravel = ravel_pytree(like)
    operator = lx.FunctionLinearOperator(
        lambda x: unravel(jnp.asarray(matrix) @ ravel_pytree(x)[0]),
        jax.eval_shape(lambda: like),
        lx.positive_semidefinite_tag,
    )
    value = solve(operator, like, case.solver).value
    assert jax.tree.structure(value) == jax.tree.structure(like)
    expected = unravel(jnp.asarray(np.linalg.solve(matrix, np.asarray(flat))))
    for got, want in zip(jax.tree.leaves(value), jax.tree.leaves(expected), strict=True):
        assert got.shape == want.shape
    assert_solves(case, ravel_pytree(value)[0], ravel_pytree(expected)[0], 1e-10)


@each
@double
def test_state_serves_several_right_hand_sides_and_is_left_alone(case):
    matrix = _definite(6)
    state = case.solver.init(case.operator(matrix), {})
    before = jax.tree.map(np.array, eqx.filter(state, eqx.is_array))
    for seed in (0, 1, 0):
        value, result, _ = compute(case.solver, state, jnp.asarray(_vector(6, seed)), {})
        assert result == lx.RESULTS.successful
        assert_solves(case, value, np.linalg.solve(matrix, _vector(6, seed)), 1e-10)
    assert eqx.tree_equal(before, jax.tree.map(np.array, eqx.filter(state, eqx.is_array)))
    # lineax's own way of passing a state on.
    value = solve(case.operator(matrix), jnp.asarray(_vector(6, 3)), case.solver, state=state).value
    assert_solves(case, value, np.linalg.solve(matrix, _vector(6, 3)), 1e-10)


@each
@double
def test_state_of_the_transpose_and_of_the_conjugate(case):
    matrix = np.random.default_rng(1).standard_normal((6, 6)) if case.solves == "general" else _definite(6)
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix)) if case.solves == "general" else case.operator(matrix)
    state = case.solver.init(operator, {})
    vector = jnp.asarray(_vector(6))
    turned, options = case.solver.transpose(state, {})
    kappa = np.linalg.cond(matrix)
    assert_solves(
        case, compute(case.solver, turned, vector, options)[0], np.linalg.solve(matrix.T, vector), 1e-9, kappa
    )
    back, options = case.solver.transpose(turned, options)
    assert_solves(case, compute(case.solver, back, vector, options)[0], np.linalg.solve(matrix, vector), 1e-9, kappa)


@each
@double
def test_conjugate_of_a_real_symmetric_state_solves_the_same_system(case):
    matrix, vector = _definite(6), jnp.asarray(_vector(6))
    state, options = case.solver.conj(case.solver.init(case.operator(matrix), {}), {})
    assert_solves(case, compute(case.solver, state, vector, options)[0], np.linalg.solve(matrix, vector), 1e-10)


@each
@double
def test_gradients_through_the_solve(case):
    matrix, vector, weights = _definite(6), _vector(6), _vector(6, 1)

    @jax.jit
    @jax.grad
    def gradients(arguments):
        matrix, vector = arguments
        return jnp.vdot(weights, solve(case.operator(matrix), vector, case.solver).value)

    by_matrix, by_vector = gradients((jnp.asarray(matrix), jnp.asarray(vector)))
    # d (w . A^-1 b) = y . db - y . dA x, with A^T y = w and A x = b.
    adjoint, solution = np.linalg.solve(matrix.T, weights), np.linalg.solve(matrix, vector)
    assert_solves(case, by_vector, adjoint, 1e-9)
    # The tag says that the matrix stays symmetric, so only the symmetric part of the gradient has a meaning.
    outer = -np.outer(adjoint, solution)
    allowed = 1e-9 + 3 * case.claims(50.0)
    both = outer + outer.T
    np.testing.assert_allclose(by_matrix + by_matrix.T, both, rtol=1e-9, atol=allowed * np.linalg.norm(outer))


@each
@double
def test_vmap_over_right_hand_sides_and_over_matrices(case):
    matrices = np.stack([_definite(4), 2 * _definite(4)])
    vectors = np.stack([_vector(4), _vector(4, 1)])

    @jax.jit
    def value(matrix, vector):
        return solve(case.operator(matrix), vector, case.solver).value

    shared = jax.vmap(value, in_axes=(None, 0))(jnp.asarray(matrices[0]), jnp.asarray(vectors))
    assert_solves(case, shared, np.linalg.solve(matrices[0], vectors.T).T, 1e-10)
    own = jax.vmap(value)(jnp.asarray(matrices), jnp.asarray(vectors))
    assert_solves(case, own, np.linalg.solve(matrices, vectors[..., None])[..., 0], 1e-10)


@each
@double
def test_right_hand_side_of_zero(case):
    assert np.array_equal(solve(case.operator(_definite(33)), jnp.zeros(33), case.solver).value, np.zeros(33))


@each
def test_says_what_it_is(case):
    solver = case.solver
    assert (solver.name, solver.runs_as, solver.execution) == (case.name, case.runs_as, case.execution)
    assert solver.capabilities.needs_definite is case.needs_definite
    assert solver.capabilities.needs_symmetric is (case.solves != "general")
    assert solver.assume_full_rank() is case.full_rank


def _estimate(n, dtype="float64", kappa=10.0):
    # A dense matrix, and beside it a root of half as many rows, for those that want one.
    access = Access.dense(n, jnp.dtype(dtype))
    rows = (n + 1) // 2
    access = eqx.tree_at(lambda a: (a.gram.flops, a.rows), access, (2.0 * rows**2 * n, jnp.asarray(rows)))
    number = jnp.asarray(1.0, dtype)
    estimate = SystemEstimate(
        n=n,
        degree=jnp.asarray(n),
        max_entry=number,
        frobenius_norm=number,
        spectral_norm=number,
        log_condition_number=jnp.log(number * kappa),
        definite=jnp.asarray(True),
        presumed_definite=jnp.asarray(True),
        access=access,
        matvecs=jnp.asarray(0),
        formed=jnp.asarray(True),
        formed_kinds=Kinds.all(Kind.EXACT),
    )
    return estimate, Encoding(condition_number=number * kappa, subnormalisation=number)


@each
@double
def test_workload(case):
    workload = case.solver.workload(*_estimate(6))
    assert isinstance(workload, ClassicalWorkload if case.execution is None else QuantumWorkload)
    for field, expected in case.cost.items():
        found = getattr(workload, field)
        if isinstance(expected, str):
            assert found == expected
        else:
            wanted = pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else expected
            assert float(found) == wanted, field


@each
@pytest.mark.parametrize(
    ("n", "dtype"), [(1, "float32"), (2, "float64"), (1000, "float64"), (10**6, "float32")], indirect=["dtype"]
)
def test_workload_is_positive_finite_and_the_same_twice(case, n, dtype):
    first, again = (case.solver.workload(*_estimate(n, dtype)) for _ in range(2))
    assert eqx.tree_equal(first, again)
    numbers = (
        ("total_flops", "total_bytes")
        if case.execution is None
        else ("queries", "state_preparations", "success_probability")
    )
    for field in numbers:
        assert 0 < float(getattr(first, field)) < math.inf, field


@each
@double
def test_workload_reads_static_facts_under_jit(case):
    jitted = eqx.filter_jit(case.solver.workload)(*_estimate(6))
    eager = case.solver.workload(*_estimate(6))
    assert eqx.tree_equal(eager, jitted, rtol=1e-12, atol=0)


@each
def test_is_static_and_hashable(case):
    # The scheduler closes over solvers and caches calibrations by them.
    assert jax.tree.leaves(case.solver) == []
    twin = copy.deepcopy(case.solver)
    assert twin == case.solver
    assert hash(twin) == hash(case.solver)


def test_classical_workload_scales_with_the_width_of_a_float(dtype):
    for solver in (LU(), Cholesky()):
        workload = solver.workload(*_estimate(10, dtype))
        assert isinstance(workload, ClassicalWorkload)
        assert workload.bytes == 300 * np.dtype(dtype).itemsize
