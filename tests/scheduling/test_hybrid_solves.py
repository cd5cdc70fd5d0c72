"""`Hybrid` is a lineax solver: whichever candidate runs, the numbers are numpy's."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from jaxtyping import Array, Int

import qnewton as q
from qnewton._core.status import Verdict
from qnewton.testing import symmetric_with_spectrum


class Pinned(q.scheduling.AbstractPolicy):
    """Takes the candidate whose index it holds: the choice is traced, so one compilation serves all candidates."""

    index: Int[Array, ""]

    @property
    def remembers(self) -> bool:
        return False

    def choose(self, offers: q.scheduling.Offers, turn: q.scheduling.Turn) -> q.scheduling.Choice:
        return q.scheduling.Choice(self.index, jnp.int32(0), jnp.zeros(len(offers.names), jnp.int32))


def definite(n: int) -> np.ndarray:
    return symmetric_with_spectrum(np.geomspace(1, 10, n))


def indefinite(n: int) -> np.ndarray:
    return symmetric_with_spectrum(np.geomspace(1, 10, n) * np.where(np.arange(n) % 2 == 0, -1, 1))


def unsymmetric(n: int) -> np.ndarray:
    left = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))[0]
    return left * np.geomspace(1, 10, n)


# Kind of system: how it is made, what the caller says about it.
SYSTEMS: dict[str, tuple[Callable[[int], np.ndarray], Any]] = {
    "definite": (definite, lx.positive_semidefinite_tag),
    "indefinite": (indefinite, lx.symmetric_tag),
    "unsymmetric": (unsymmetric, ()),
}
CANDIDATES = ("Cholesky", "LU", "QLSA(jennings2023v1)", "QR")


def candidates(by_qr: q.solvers.AbstractSolver) -> list[q.solvers.AbstractSolver]:
    return [q.Cholesky(), q.LU(), q.QLSA(), by_qr]


@pytest.mark.parametrize(
    ("n", "dtype"), [(1, "float32"), (3, "float64"), (40, "float32"), (40, "float64")], indirect=["dtype"]
)
@pytest.mark.parametrize("kind", SYSTEMS)
def test_every_candidate_solves_and_differentiates_like_numpy(kind, n, dtype, by_qr, machine_of):
    make, tags = SYSTEMS[kind]
    matrix = make(n)
    rng = np.random.default_rng(n)
    vector, weights = rng.standard_normal(n), rng.standard_normal(n)
    solution = np.linalg.solve(matrix, vector)
    adjoint = np.linalg.solve(matrix.T, weights)
    traces = []

    @jax.jit
    def run(index, a, b):
        traces.append(index)

        def loss(a, b):
            hybrid = q.Hybrid(candidates(by_qr), classical=machine_of(dtype), policy=Pinned(index))
            x = lx.linear_solve(lx.MatrixLinearOperator(a, tags), b, solver=hybrid).value
            return jnp.vdot(jnp.asarray(weights, dtype), x), x

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(a, b)

    # Rounding: eps times the condition number (10), and the growth of n sums.
    tolerance = 100 * n**0.5 * float(jnp.finfo(dtype).eps)
    ran = 0
    for index, name in enumerate(CANDIDATES):
        if name == "Cholesky" and kind != "definite":
            continue
        (by_matrix, by_vector), x = run(index, jnp.asarray(matrix, dtype), jnp.asarray(vector, dtype))
        assert x.dtype == dtype
        np.testing.assert_allclose(x, solution, rtol=tolerance, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(by_vector, adjoint, rtol=tolerance, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(
            by_matrix, -np.outer(adjoint, solution), rtol=10 * tolerance, atol=10 * tolerance, err_msg=name
        )
        ran += 1
    assert ran >= 3
    assert len(traces) == 1, "another choice must not compile anew"


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_vectors_may_be_pytrees_and_their_gradients_too(jit, machine_of):
    # In- and out-structure differ, so the transposed solve must return what the vectors look like.
    matrix = unsymmetric(3)
    like = jax.eval_shape(lambda: {"first": jnp.zeros(2), "second": jnp.zeros(1)})
    a = jnp.asarray(matrix, jnp.float32)
    blocks = {"first": {"x": a[:2, :2], "y": a[:2, 2]}, "second": {"x": a[2:, :2], "y": a[2:, 2]}}
    vector = {"first": jnp.asarray([1.0, -2.0]), "second": jnp.asarray([0.5])}
    operator = lx.PyTreeLinearOperator(blocks, like)
    hybrid = q.Hybrid(classical=machine_of())

    def loss(b):
        x = lx.linear_solve(operator, b, solver=hybrid).value
        return x["x"][0] + 2 * x["x"][1] + 3 * x["y"], x

    differentiated = jax.grad(loss, has_aux=True)
    gradient, x = (jax.jit(differentiated) if jit else differentiated)(vector)

    expected = np.linalg.solve(matrix, [1.0, -2.0, 0.5])
    np.testing.assert_allclose(x["x"], expected[:2], rtol=1e-5)
    np.testing.assert_allclose(x["y"], expected[2], rtol=1e-5)
    adjoint = np.linalg.solve(matrix.T, [1.0, 2.0, 3.0])
    assert gradient["first"].shape == (2,)
    np.testing.assert_allclose(gradient["first"], adjoint[:2], rtol=1e-5)
    np.testing.assert_allclose(gradient["second"], adjoint[2:], rtol=1e-5)


def test_one_factorisation_serves_many_vectors_in_and_outside_jit(machine_of):
    matrix = definite(3)
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32), lx.symmetric_tag)
    # The first set acts. What the second would choose, LU's factors standing in for the state, is only recorded.
    dear = dataclasses.replace(q.assumptions.paper(), label="dear", loading=True, entries_per_s=1.0)
    hybrid = q.Hybrid(
        [q.Cholesky(), q.QLSA()],
        classical=machine_of(),
        quantum=q.QuantumMachine(1e-15),
        assumptions=[dear, q.assumptions.paper()],
    )
    state = hybrid.init(operator, {})
    assert state.plan.choice.tolist() == [0, 1]

    @jax.jit
    def solve(state, b):
        return lx.linear_solve(operator, b, solver=hybrid, state=state).value

    for vector in np.eye(3):
        np.testing.assert_allclose(
            solve(state, jnp.asarray(vector, jnp.float32)), np.linalg.solve(matrix, vector), 1e-5
        )


def test_tangents_go_through(machine_of):
    matrix, change = definite(3), np.random.default_rng(5).standard_normal((3, 3))
    vector = np.asarray([1.0, 2.0, -1.0])

    def solve(a):
        operator = lx.MatrixLinearOperator(a)
        return lx.linear_solve(
            operator, jnp.asarray(vector, jnp.float32), solver=q.Hybrid(classical=machine_of())
        ).value

    primal = jnp.asarray(matrix, jnp.float32)
    _, tangent = jax.jvp(solve, (primal,), (jnp.asarray(change, jnp.float32),))
    expected = -np.linalg.solve(matrix, change @ np.linalg.solve(matrix, vector))
    np.testing.assert_allclose(tangent, expected, rtol=1e-4, atol=1e-5)


def test_no_feasible_candidate_gives_nan_and_no_other_number(machine_of):
    hybrid = q.Hybrid([q.Cholesky()], classical=machine_of())

    @jax.jit
    def solve(a):
        operator = lx.MatrixLinearOperator(a, lx.symmetric_tag)
        solution = lx.linear_solve(operator, jnp.ones(2), solver=hybrid, throw=False)
        return solution.value, solution.stats["plan"]

    value, plan = solve(jnp.asarray([[1.0, 2.0], [2.0, 1.0]]))
    assert np.isnan(value).all()
    assert not plan.offers.feasible.any()
    assert np.isinf(plan.offers.seconds).all()
    # The same compiled function on a definite matrix does solve.
    value, plan = solve(jnp.asarray([[2.0, 1.0], [1.0, 2.0]]))
    np.testing.assert_allclose(value, [1 / 3, 1 / 3], rtol=1e-6)
    assert plan.offers.feasible.all()


# Systems that the only candidate would turn into numbers, had it been allowed to.
REFUSED = {
    "Cholesky reads one triangle": (q.Cholesky(), np.asarray([[1.0, 5.0], [0.0, 1.0]])),
    "the formula ends at 0.24": (q.QLSA(precision=0.5), np.eye(2)),
}


@pytest.mark.parametrize(("solver", "matrix"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_refused_candidate_would_have_returned_is_not_passed_off(solver, matrix, machine_of):
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32))
    hybrid = q.Hybrid([solver], classical=machine_of())
    solution = lx.linear_solve(operator, jnp.ones(2), solver=hybrid, throw=False)
    assert not solution.stats["plan"].offers.feasible.any()
    assert np.isnan(solution.value).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_system_that_is_not_finite_is_refused_by_every_candidate(bad, machine_of):
    matrix = jnp.asarray([[1.0, bad], [bad, 1.0]])
    operator = lx.MatrixLinearOperator(matrix, lx.symmetric_tag)
    solution = lx.linear_solve(operator, jnp.ones(2), solver=q.Hybrid(classical=machine_of()), throw=False)
    assert not solution.stats["plan"].offers.feasible.any()
    assert np.isnan(solution.value).all()


def test_a_floor_for_an_operator_not_known_to_be_symmetric_is_refused(machine_of):
    matrix = jnp.array([[2.0, 1.9], [0.0, 2.0]])
    with pytest.raises(ValueError, match=r"eigenvalue_floor.*symmetric_tag"):
        lx.linear_solve(
            lx.MatrixLinearOperator(matrix),
            jnp.ones(2),
            solver=q.Hybrid(classical=machine_of("float32")),
            options={"eigenvalue_floor": jnp.ones(())},
        )


class Nobody(q.scheduling.AbstractPolicy):
    """Says that nobody can take the system, with the first candidate where a choice has to stand."""

    @property
    def remembers(self) -> bool:
        return False

    def choose(self, offers: q.scheduling.Offers, turn: q.scheduling.Turn) -> q.scheduling.Choice:
        nothing = jnp.zeros(len(offers.names), jnp.int32)
        return q.scheduling.Choice(jnp.int32(0), jnp.int32(Verdict.NOBODY), nothing)


@pytest.mark.parametrize("verify", [True, False])
def test_where_nobody_can_there_is_no_solution_and_no_success(verify, machine_of):
    """Whatever the first candidate made of it, and whoever looks at the residual."""
    operator = lx.MatrixLinearOperator(jnp.diag(jnp.array([1.0, 2.0])))
    hybrid = q.Hybrid([q.LU()], classical=machine_of(), policy=Nobody())
    options = {"verify": verify}
    # Lineax would find the NaN by itself.
    value, result, _ = hybrid.compute(hybrid.init(operator, options), jnp.ones(2), options)
    assert np.isnan(value).all()
    assert result == lx.RESULTS.singular
    sound = q.Hybrid([q.LU()], classical=machine_of())
    assert lx.linear_solve(operator, jnp.ones(2), solver=sound, options=options).result == lx.RESULTS.successful


def test_what_is_solved_once_keeps_no_transpose_unless_it_is_its_own(machine_of):
    hybrid = q.Hybrid([q.LU()], classical=machine_of())
    matrix = jnp.array([[2.0, 1.0], [0.0, 3.0]])
    state = hybrid.init(lx.MatrixLinearOperator(matrix), {"once": True})
    with pytest.raises(ValueError, match="option `once` for an unsymmetric operator, which keeps no transpose"):
        hybrid.transpose(state, {})
    tagged = hybrid.init(lx.MatrixLinearOperator(matrix + matrix.T, lx.symmetric_tag), {"once": True})
    turned, options = hybrid.transpose(tagged, {})
    value, _, _ = hybrid.compute(turned, jnp.ones(2), options)
    np.testing.assert_allclose(value, np.linalg.solve(matrix + matrix.T, np.ones(2)), rtol=1e-5)
