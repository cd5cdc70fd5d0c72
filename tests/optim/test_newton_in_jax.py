"""`newton` inside other people's jax: jit, scan, chains of transformations."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest

import qnewton as q

# optax's types know states made of arrays alone; a NewtonState holds more.
newton: Any = q.newton

ADAPTATIONS = {"fixed": q.Fixed(), "levenberg-marquardt": q.LevenbergMarquardt()}


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_trains_inside_the_users_jit_with_one_compilation(adaptation, dtype, problem_of, hybrid_of, step_of):
    problem = problem_of(dtype)
    scheduled = (adaptation == "fixed") is (dtype == jnp.float32)
    optimizer = newton(
        problem.objective,
        optax.linear_schedule(1.0, 0.5, 10) if scheduled else 1.0,
        conditioning=[q.Damp(0.1)],
        solver=hybrid_of(dtype),
        adaptation=ADAPTATIONS[adaptation],
    )
    step, traces = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    before = jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.asarray(leaf).dtype), state)
    losses = []
    for _ in range(6):
        params, state, _ = step(params, state, problem.batch)
        losses.append(float(state.info.loss))
    losses.append(problem.oracle.loss(problem.vector(params)))
    assert losses[-1] < 0.7 * losses[0]
    if adaptation == "levenberg-marquardt":
        assert all(later <= earlier for earlier, later in itertools.pairwise(losses))
    assert len(traces) == 1
    assert step._cache_size() == 1
    assert jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.asarray(leaf).dtype), state) == before
    assert int(state.count) == 6


def test_a_scan_is_a_loop(problem_of, step_of):
    problem = problem_of()
    optimizer = newton(problem.objective, conditioning=[q.Damp(0.1)], solver=lx.LU())
    step, _ = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    for _ in range(3):
        params, state, _ = step(params, state, problem.batch)

    @jax.jit
    def scanned(params, state):
        def body(carry, _):
            params, state, _ = step(*carry, problem.batch)
            return (params, state), state.info.loss

        return jax.lax.scan(body, (params, state), length=3)

    (params_scanned, state_scanned), losses = scanned(problem.params, optimizer.init(problem.params))
    np.testing.assert_allclose(problem.vector(params_scanned), problem.vector(params), rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(state_scanned) == jax.tree.structure(state)
    np.testing.assert_allclose(losses[2], state.info.loss, rtol=1e-4)
    assert losses.shape == (3,)


def test_last_in_a_chain_it_sees_what_the_others_left_of_the_gradient(problem_of):
    problem = problem_of()
    make = {"conditioning": [q.Damp(0.1)], "solver": lx.LU()}
    limit = 0.05
    chained: Any = optax.chain(optax.clip(limit), newton(problem.objective, **make))
    alone = newton(problem.objective, **make)
    gradients = jax.grad(problem.objective)(problem.params, problem.batch)
    clipped = jax.tree.map(lambda g: jnp.clip(g, -limit, limit), gradients)
    assert not np.allclose(problem.vector(clipped), problem.vector(gradients))

    @jax.jit
    def update(state):
        return chained.update(gradients, state, problem.params, batch=problem.batch)

    updates, state = update(chained.init(problem.params))
    expected, _ = jax.jit(lambda s: alone.update(clipped, s, problem.params, batch=problem.batch))(
        alone.init(problem.params)
    )
    np.testing.assert_allclose(problem.vector(updates), problem.vector(expected), rtol=1e-4, atol=1e-6)
    assert float(state[1].info.reduction_ratio) > 0


def test_extra_arguments_of_others_pass_by(problem_of):
    problem = problem_of()
    optimizer = newton(problem.objective, solver=lx.LU(), adaptation=q.Fixed())
    assert isinstance(optimizer, optax.GradientTransformationExtraArgs)
    gradients = jax.grad(problem.objective)(problem.params, problem.batch)
    state = optimizer.init(problem.params)
    extra = {"value": 1.0, "value_fn": len, "grad": gradients, "nonsense": None}

    @jax.jit
    def both(gradients, state):
        plain, _ = optimizer.update(gradients, state, problem.params, batch=problem.batch)
        crowded, _ = optimizer.update(gradients, state, problem.params, batch=problem.batch, **extra)
        return plain, crowded

    plain, crowded = both(gradients, state)
    assert problem.vector(plain).all()
    np.testing.assert_array_equal(problem.vector(plain), problem.vector(crowded))


def test_with_multi_transform_it_takes_some_tensors_and_leaves_the_rest(problem_of):
    problem = problem_of()
    labels = {"hidden": {"bias": "sgd", "weight": "newton"}, "out": {"weight": "newton"}}

    def with_bias(params, inputs):
        full = {**params, "hidden": {"weight": params["hidden"]["weight"], "bias": problem.params["hidden"]["bias"]}}
        return problem.objective.predict(full, inputs)

    # Inside multi_transform the params of the others are masked out, so the objective must do without them.
    inner = newton(q.Objective(with_bias, problem.objective.loss), solver=lx.LU(), adaptation=q.Fixed())
    optimizer: Any = optax.multi_transform({"sgd": optax.sgd(0.5), "newton": inner}, labels)
    gradients = jax.grad(problem.objective)(problem.params, problem.batch)

    @jax.jit
    def update(state):
        return optimizer.update(gradients, state, problem.params, batch=problem.batch)

    updates, _ = update(optimizer.init(problem.params))
    np.testing.assert_allclose(updates["hidden"]["bias"], -0.5 * gradients["hidden"]["bias"], rtol=1e-6)
    rows = np.arange(3, 15)
    block = problem.oracle.curvature("gauss-newton", problem.oracle.vector)[np.ix_(rows, rows)]
    damped = block + 0.5 * np.abs(block).max() * np.eye(12)
    expected = -np.linalg.solve(damped, problem.oracle.gradient(problem.oracle.vector)[rows])
    got = np.concatenate([np.ravel(updates["hidden"]["weight"]), np.ravel(updates["out"]["weight"])])
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_equinox_like_modules_and_bare_arrays_are_parameters_too():
    objective = q.Objective(lambda p, x: x @ p, lambda o, t: (o - t) ** 2)
    optimizer = newton(objective, conditioning=[q.Damp(0.0)], solver=lx.LU(), adaptation=q.Fixed())
    batch = jnp.eye(2), jnp.asarray([3.0, -1.0])
    params = jnp.zeros(2)
    updates, _ = optimizer.update(jax.grad(objective)(params, batch), optimizer.init(params), params, batch=batch)
    np.testing.assert_allclose(updates, [3.0, -1.0], rtol=1e-6)


def test_the_state_before_the_first_step_is_blank(problem_of, hybrid_of):
    problem = problem_of()
    state = newton(problem.objective, partition=q.per_tensor, solver=hybrid_of()).init(problem.params)
    assert int(state.count) == 0
    assert float(state.damping_scale) == 1.0
    assert len(state.info.blocks) == 3
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(state.info))
