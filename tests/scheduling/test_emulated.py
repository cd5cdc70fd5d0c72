"""Emulated solvers as candidates of the scheduler, and in the step."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._solvers.quantum.encoding import SquareRoot
from qnewton.testing import symmetric_with_spectrum


def _hybrid(*solvers, **seconds):
    return q.Hybrid(solvers, quantum=q.QuantumMachine(1e-30), **seconds)


def test_the_circuit_is_built_for_the_estimate_and_reports_what_it_executed(machine_of):
    matrix = symmetric_with_spectrum(np.geomspace(0.05, 1, 8))
    b = np.random.default_rng(0).standard_normal(8)
    solver = q.EmulatedQSVT(1e-4)
    hybrid = _hybrid(q.LU(), solver, classical=machine_of("float32", lu=1.0))

    @eqx.filter_jit
    def solve(matrix, b):
        operator = lx.MatrixLinearOperator(matrix, lx.positive_semidefinite_tag)
        return lx.linear_solve(operator, b, hybrid, throw=False)

    solution = solve(jnp.asarray(matrix, jnp.float32), jnp.asarray(b, jnp.float32))
    assert int(solution.stats["plan"].choice[0]) == 1
    np.testing.assert_allclose(solution.value, np.linalg.solve(matrix, b), rtol=1e-2, atol=1e-3)
    alone = lx.linear_solve(
        lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32), lx.positive_semidefinite_tag),
        jnp.asarray(b, jnp.float32),
        solver,
        throw=False,
    )
    assert int(solution.stats["num_steps"]) == pytest.approx(int(alone.stats["num_steps"]), rel=0.02)
    executed = solution.stats["executed"]
    assert float(executed.queries) == pytest.approx(float(alone.stats["queries"]), rel=0.05)
    assert float(executed.success_probability) == pytest.approx(float(alone.stats["success_probability"]), rel=0.05)
    # Charged for the worst right-hand side.
    assert float(executed.queries) <= float(solution.stats["plan"].offers.queries[0, 1])


def test_a_circuit_for_a_given_condition_number_is_charged_for_that_one():
    system = q.curvature.System.of(jnp.diag(jnp.asarray([1.0, 0.2])), symmetric=True)
    estimate = eqx.filter_jit(q.estimators.Exact())(system)
    for kappa, expected in ((None, 5), (50.0, 50)):
        for solver in (q.CircuitQSVT(kappa=kappa), q.Refine(q.CircuitQSVT(kappa=kappa))):
            assert float(solver.built_for(estimate).condition_number) == pytest.approx(expected, rel=1e-5)


def test_a_classical_choice_executes_no_query(machine_of):
    hybrid = q.Hybrid([q.LU()], classical=machine_of())
    solution = lx.linear_solve(lx.MatrixLinearOperator(jnp.eye(2)), jnp.ones(2), hybrid)
    assert float(solution.stats["executed"].queries) == 0
    assert float(solution.stats["executed"].success_probability) == 1


def _problem():
    def predict(params, inputs):
        return jnp.tanh(inputs @ params["w"]) @ params["v"]

    objective = q.Objective(predict, lambda outputs, targets: jnp.sum((outputs - targets) ** 2, axis=-1))
    keys = jax.random.split(jax.random.key(0), 4)
    params = {"w": jax.random.normal(keys[0], (3, 4)), "v": jax.random.normal(keys[1], (4, 2))}
    return objective, params, (jax.random.normal(keys[2], (10, 3)), jax.random.normal(keys[3], (10, 2)))


@pytest.mark.parametrize(
    ("solver", "conditioning"),
    [
        (_hybrid(q.EmulatedQSVT(1e-4)), (q.Damp(0.1),)),
        # What is encoded is what was conditioned: pruned, in the basis that conditioning changed to.
        (q.EmulatedQSVT(1e-4), (q.Damp(0.1), q.ScaleDiagonal(), q.Prune(0.6), q.Damp(0.1))),
        (q.EmulatedQSVT(1e-4, encoding=SquareRoot(rows=20)), (q.Damp(0.1),)),
    ],
    ids=["hybrid", "conditioned", "square root"],
)
def test_a_newton_step_is_that_of_a_classical_solve_within_what_was_asked_for(solver, conditioning):
    objective, params, batch = _problem()

    def step(solver):
        optimizer = q.newton(objective, conditioning=conditioning, solver=solver, adaptation=q.Fixed())

        @jax.jit
        def update(params, batch):
            gradients = jax.grad(objective)(params, batch)
            return optimizer.update(gradients, optimizer.init(params), params, batch=batch)

        updates, state = update(params, batch)
        return jax.flatten_util.ravel_pytree(updates)[0], state.info.blocks[0]

    (found, info), (exact, _) = step(solver), step(q.LU())
    assert int(info.status) == q.Status.OK
    assert np.linalg.norm(found - exact) <= 1e-2 * np.linalg.norm(exact)
    if isinstance(solver, q.Hybrid):
        assert float(info.executed.queries) > int(info.iterations) > 10
