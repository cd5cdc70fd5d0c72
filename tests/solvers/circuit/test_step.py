"""A circuit inside a jitted Newton step, as a candidate of the scheduler."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qnewton as q
from qnewton._solvers.quantum.circuit import CircuitQSVT

pytest.importorskip("pennylane", reason="circuits need the extra `circuits`")


def test_the_step_is_numpys_and_says_what_ran():
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((40, 5)), rng.standard_normal(40)
    hessian, gradient = inputs.T @ inputs / 40, -inputs.T @ targets / 40
    expected = -np.linalg.solve(hessian + 0.05 * np.abs(hessian).max() * np.eye(5), gradient)
    with jax.enable_x64(True):
        batch = jnp.asarray(inputs), jnp.asarray(targets)
        objective = q.Objective(lambda params, x: x @ params, lambda outputs, y: (outputs - y) ** 2 / 2)
        solver = CircuitQSVT(1e-4)
        optimizer: Any = q.newton(
            objective,
            1.0,
            curvature=q.GaussNewton(),
            conditioning=[q.Damp(0.05)],
            solver=q.Hybrid([solver], estimator=q.estimators.Exact()),
            adaptation=q.Fixed(),
        )
        params = jnp.zeros(5)
        step = jax.jit(lambda g, s, p: optimizer.update(g, s, p, batch=batch))
        updates, state = step(jnp.asarray(gradient), optimizer.init(params), params)
    assert np.linalg.norm(np.asarray(updates) - expected) <= 1e-4 * np.linalg.norm(expected)
    # The error of the polynomial is there, and on record.
    (block,) = state.info.blocks
    assert q.Status(int(block.status)) is q.Status.OK
    assert 1e-9 < float(block.relative_residual) < 1e-4
