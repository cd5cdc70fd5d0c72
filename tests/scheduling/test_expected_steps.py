"""Iterations that are expected against those that are taken, on known spectra; what is observed corrects them."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.recurrence import Recurrence
from qnewton._hardware import KernelTimes
from qnewton.testing import symmetric_with_spectrum

N = 200
# Condition numbers say the same of some of these that take a tenth of the other's steps.
SPECTRA = {
    "linear": np.linspace(1, 100, N),
    "log-spaced": np.geomspace(1, 1e4, N),
    "a few large": np.concatenate([np.ones(N - 10), np.geomspace(10, 1e4, 10)]),
    "of low rank": np.concatenate([np.ones(N - 40), 1 + np.geomspace(1e-2, 1e3, 40)]),
    "two": np.concatenate([np.ones(N // 2), np.full(N // 2, 1e4)]),
}


@pytest.mark.parametrize("solver", [q.CG(1e-3), q.MINRES(1e-3)], ids=lambda solver: solver.name)
@pytest.mark.parametrize("name", SPECTRA)
def test_expected_steps_on_known_spectra(name, solver):
    matrix = symmetric_with_spectrum(SPECTRA[name])
    # numpy in double precision takes the steps.
    vector = np.random.default_rng(1).standard_normal(N)
    taken = steps_of(matrix, vector, 1e-3, minimal=solver.name == "MINRES")
    expected, by_kappa = (float(steps) for steps in both_ways(solver, jnp.asarray(matrix, jnp.float32)))
    assert expected <= by_kappa
    # Bracket ends once both ends are known: where eight products do, little is known of what lies between.
    assert taken / 2 <= expected <= 10 * taken
    if name in ("a few large", "of low rank", "two"):
        assert expected <= by_kappa / 1.7


@functools.partial(jax.jit, static_argnums=0)
def both_ways(solver, matrix):
    """Steps by the Ritz values and by the condition number alone."""
    estimate = q.estimators.Bracket()(
        q.curvature.System.of(matrix, symmetric=True, eigenvalue_floor=jnp.float32(0.999))
    )
    alone = dataclasses.replace(estimate, recurrence=None)
    return solver.workload(estimate, None).steps, solver.workload(alone, None).steps


def steps_of(matrix, vector, rtol, *, minimal):
    """Steps after which the best element of the Krylov space, by the definition, has a residual that small."""
    basis, images = [vector / np.linalg.norm(vector)], []
    for count in range(1, len(vector) + 1):
        image = matrix @ basis[-1]
        images.append(image)
        space = np.stack(images[:count], axis=1)
        if minimal:
            value = np.linalg.lstsq(space, vector, rcond=None)[0]
        else:
            value = np.linalg.solve(np.stack(basis[:count]) @ space, np.stack(basis[:count]) @ vector)
        if np.linalg.norm(space @ value - vector) <= rtol * np.linalg.norm(vector):
            return count
        for _ in range(2):
            for one in basis:
                image = image - one * (one @ image)
        basis.append(image / np.linalg.norm(image))
    return len(vector)


def test_the_recurrence_is_cg_on_its_own_vector():
    # Of the iteration's own first vector nothing is an estimate.
    matrix = symmetric_with_spectrum(np.geomspace(1, 50, 30), seed=3)
    vector = np.random.default_rng(5).standard_normal(30)
    basis, diagonal, beside = [vector / np.linalg.norm(vector)], [], []
    for _ in range(20):
        image = matrix @ basis[-1]
        diagonal.append(basis[-1] @ image)
        for _ in range(2):
            for one in basis:
                image = image - one * (one @ image)
        beside.append(np.linalg.norm(image))
        basis.append(image / beside[-1])
    with jax.enable_x64(True):
        recurrence = Recurrence.of(jnp.asarray(diagonal), jnp.asarray(beside), jnp.asarray(20))
        for minimal in (False, True):
            logs = np.asarray(recurrence.log_minres if minimal else recurrence.log_cg)
            for rtol in (0.3, 0.1, 0.03):
                expected = steps_of(matrix, vector, rtol, minimal=minimal)
                assert int(np.argmax(logs <= np.log(rtol))) + 1 == expected
                found = recurrence.steps_to(float(np.log(rtol)), jnp.asarray(1e-9), minimal=minimal)
                assert int(found) == expected


def test_a_breakdown_is_the_end():
    recurrence = Recurrence.of(jnp.asarray([2.0, 2.0, 2.0]), jnp.asarray([0.0, 0.0, 0.0]), jnp.asarray(3))
    assert float(recurrence.steps_to(np.log(1e-3), jnp.asarray(0.1), minimal=False)) == 1


def test_set_up_that_serves_several_solves_is_charged_once(machine_of):
    n = 60
    matrix = symmetric_with_spectrum(np.linspace(1, 10, n))
    times = KernelTimes(1e-6, 2e-10, 3e-11)
    machine = q.ClassicalMachine("made by hand", "float32", (("cg", times), ("cholesky", times), ("lu", times)))
    solvers = [q.LU(), q.Cholesky(), q.CG(1e-3)]
    for solves in (1, 10):
        hybrid = q.Hybrid(
            solvers,
            classical=machine,
            solves=solves,
            estimator=q.estimators.Exact(),
            second=q.estimators.DeterminantNorm(),
        )
        operator = lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32), lx.symmetric_tag)
        plan = jax.jit(lambda hybrid=hybrid, operator=operator: hybrid.init(operator, {}).plan)()
        square = n**2 * 4
        moved = 2e-10 * square * (1 + 2 / solves)
        expected = [1e-6 + moved + 3e-11 * (part * n**3 / solves + 2 * n**2) for part in (2 / 3, 1 / 3)]
        # Without Ritz values the bound sqrt(10) / 2 ln(2000 sqrt(10)), which is 13.84. An iteration is a product with
        # the matrix and five operations on vectors, each of which reads two and writes one but for the inner products.
        iteration = 1e-6 + 2e-10 * (square + 12 * n * 4) + 3e-11 * (2 * n**2 + 10 * n)
        expected.append(1e-6 + 2e-10 * n * 4 + 14 * iteration)
        np.testing.assert_allclose(plan.offers.seconds[0], expected, rtol=1e-5)
        assert plan.offers.expected_steps.tolist() == [0, 0, 14]
        # The second estimate is kept beside, and nothing rests on it: its bound would let expect far more steps.
        assert float(plan.estimate.condition_number) == pytest.approx(10, rel=1e-4)
        assert plan.second is not None
        assert float(plan.second.condition_number) > 100
    with pytest.raises(ValueError, match="solves is 0"):
        q.Hybrid([q.LU()], solves=0)


def test_observed_iterations_correct_the_next_prediction(machine_of):
    matrix = symmetric_with_spectrum(np.geomspace(1, 1e3, 40))
    hybrid = q.Hybrid([q.CG(1e-4), q.LU()], classical=machine_of(cg=1e-9, lu=1.0))
    system = q.curvature.System.of(jnp.asarray(matrix, jnp.float32), symmetric=True, eigenvalue_floor=jnp.float32(0.99))
    turn = hybrid.first_turn(1.0, jnp.dtype("float32"))
    expected, plan_of = [], jax.jit(lambda turn: hybrid.plan(system, turn=turn))
    factors, plan = jnp.ones(2), plan_of(turn)
    for _ in range(10):
        assert turn.factors is not None
        plan = plan_of(turn)
        expected.append(float(plan.offers.expected_steps[0]))
        factors = hybrid.observed(turn.factors, plan, jnp.asarray(7))
        turn = q.scheduling.Turn(turn.last, turn.share, factors)
    assert expected[0] > 14
    assert expected[-1] == pytest.approx(7, rel=0.02)
    assert plan.offers.expected_steps[1] == 0
    # A solver that was not chosen, or does not iterate, teaches nothing.
    assert hybrid.observed(factors, plan, jnp.asarray(0)).tolist() == factors.tolist()


def test_the_next_factor_is_the_geometric_mean_of_the_last_and_the_right_one(machine_of):
    hybrid = q.Hybrid([q.CG(1e-4), q.LU()], classical=machine_of(cg=1e-9, lu=1.0))
    matrix = symmetric_with_spectrum(np.geomspace(1, 1e3, 40))
    system = q.curvature.System.of(jnp.asarray(matrix, jnp.float32), symmetric=True, eigenvalue_floor=jnp.float32(0.99))
    turn = hybrid.first_turn(1.0, jnp.dtype("float32"))
    plan = jax.jit(lambda turn: hybrid.plan(system, turn=turn))(turn)
    expected = float(plan.offers.expected_steps[0])
    for last, taken in ((1.0, 9), (3.0, 100), (0.5, 20)):
        # Expected steps hold the last factor already; without it they would have been this many.
        right = taken / (expected / last)
        found = hybrid.observed(jnp.asarray([last, 1.0]), plan, jnp.asarray(taken))
        np.testing.assert_allclose(found, [(last * right) ** 0.5, 1.0], rtol=1e-5)
    # Within a hundredfold, whatever was seen.
    assert float(hybrid.observed(jnp.asarray([50.0, 1.0]), plan, jnp.asarray(10**9))[0]) == 100


def test_a_preconditioner_that_may_help_gets_a_try_and_is_then_taken_at_its_count(machine_of):
    class Hopeful(q.Jacobi):
        share: float = 0.25

        @property
        def name(self) -> str:
            return "Hopeful"

        @property
        def prior(self) -> float:
            return self.share

    matrix = symmetric_with_spectrum(np.geomspace(1, 1e3, 40))
    plain, hopeful = q.CG(1e-4), q.CG(1e-4, preconditioner=Hopeful())
    hybrid = q.Hybrid([plain, hopeful], classical=machine_of(cg=1e-9))
    system = q.curvature.System.of(jnp.asarray(matrix, jnp.float32), symmetric=True, eigenvalue_floor=jnp.float32(0.99))
    turn = hybrid.first_turn(1.0, jnp.dtype("float32"))
    alone = hybrid.plan(system)
    assert alone.offers.expected_steps[0] == alone.offers.expected_steps[1], (
        "nothing would put right what a single solve hopes for"
    )
    plan = hybrid.plan(system, turn=turn)
    bare, hoped = (float(steps) for steps in plan.offers.expected_steps)
    assert hoped == pytest.approx(bare / 4)
    assert plan.choice[0] == 1
    assert turn.factors is not None
    # It was no help at all: one look is enough to be charged for what it takes, and the tie goes to the first.
    factors = hybrid.observed(turn.factors, plan, jnp.asarray(int(bare) + 1))
    after = hybrid.plan(system, turn=q.scheduling.Turn(turn.last, turn.share, factors))
    assert float(after.offers.expected_steps[1]) == pytest.approx(int(bare) + 1)
    assert after.choice[0] == 0
    with pytest.raises(ValueError, match=r"prior of CG\(Hopeful\) is 1.5"):
        q.Hybrid([q.CG(1e-4, preconditioner=Hopeful(1.5))])


def test_a_training_learns_its_counts_in_one_compilation(problem):
    objective, params, batch = problem
    machine = q.ClassicalMachine(
        "by hand", "float32", (("cg", KernelTimes(1e-9, 0, 0)), ("lu", KernelTimes(1.0, 0, 0)))
    )
    hybrid = q.Hybrid([q.CG(1e-5)], classical=machine, estimator=q.estimators.Bracket())
    optimizer = q.newton(objective, 0.1, solver=hybrid, conditioning=[q.Shift(1e-2)], adaptation=q.Fixed())
    traces = []

    @jax.jit
    def step(params, state):
        traces.append(params)
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return jax.tree.map(jnp.add, params, updates), state

    state: Any = optimizer.init(params)
    assert [factors.tolist() for factors in state.factors] == [[1.0]]
    for _ in range(5):
        params, state = step(params, state)
    (info,) = state.info.blocks
    assert float(info.plan.offers.expected_steps[0]) == pytest.approx(int(info.iterations), rel=0.35)
    assert len(traces) == 1


@pytest.fixture
def problem():
    """Least squares on a small tanh network."""
    rng = np.random.default_rng(0)
    inputs, targets = (jnp.asarray(rng.standard_normal((20, k)), jnp.float32) for k in (6, 2))

    def predict(params, x):
        return jnp.tanh(x @ params["a"]) @ params["b"]

    params = {k: jnp.asarray(rng.standard_normal(s), jnp.float32) for k, s in (("a", (6, 5)), ("b", (5, 2)))}
    objective = q.Objective(predict, lambda outputs, targets: jnp.sum((outputs - targets) ** 2, axis=-1) / 2)
    return objective, params, (inputs, targets)
