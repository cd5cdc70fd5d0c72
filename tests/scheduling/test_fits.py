"""Fits under a scheduler: the damped least squares of a root, by its singular values or by way of its square."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnewton as q
from qnewton._core.status import Refusal
from qnewton._hardware import KernelTimes
from qnewton._pricing.group import Group, bounds
from qnewton._scheduling.contests import contests
from qnewton._scheduling.fits import Fit
from qnewton._solvers.svd import SVD

ROWS, N = 40, 5
SOLVERS = (SVD(), q.Inverse(), q.Cholesky(), q.LU(), q.CG(1e-6), q.QLSA())


def machine(dtype: str = "float32", **faster: float) -> q.ClassicalMachine:
    kernels = {"svd": 20.0, "inverse": 8.0, "cholesky": 2.0, "lu": 4.0, "cg": 30.0, "product": 0.2} | faster
    return q.ClassicalMachine(
        "test", dtype, tuple((name, KernelTimes(s * 1e-7, 0.0, s * 1e-10)) for name, s in kernels.items())
    )


def root_of(log_kappa: float, seed: int, rows: int = ROWS, n: int = N) -> np.ndarray:
    """With singular values from 1 down to `exp(-log_kappa)`."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((k, n)))[0] for k in (rows, n))
    return left * np.exp(-np.linspace(0, log_kappa, n)) @ right.T


def exact(root: np.ndarray, dampings: Any, along: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """`(R^T R + m I)^-1 (R^T u + v)` in double precision, each from a least-squares problem and a solve of its own."""
    found = []
    for m, u, v in zip(np.asarray(dampings, float), along, slopes, strict=True):
        tall = np.vstack([root, np.sqrt(m) * np.eye(root.shape[1])])
        bulk = np.linalg.lstsq(tall, np.concatenate([u, np.zeros(root.shape[1])]), rcond=None)[0]
        found.append(bulk + np.linalg.solve(tall.T @ tall, v))
    return np.stack(found)


def opened(hybrid: q.Hybrid, root: np.ndarray, dampings: Any, dtype: str, squared_in: str) -> Any:
    rows, n = root.shape
    group = Group("fit", (n,), 2, 2, dtype=dtype, root_rows=rows, squared_in=squared_in, need=0.1)
    (solver,) = contests(hybrid, [group])

    @jax.jit
    def run(root: Any, dampings: Any, along: Any, slopes: Any) -> Any:
        plan, solve = Fit(root, dampings, jnp.ones((), bool), jnp.dtype(squared_in)).opened(solver)
        return plan.choice[0], solve(along, slopes), solve(along, None)

    rng = np.random.default_rng(4)
    along, slopes = rng.standard_normal((2, rows)), rng.standard_normal((2, n))
    choice, both, without = run(*(jnp.asarray(one, dtype) for one in (root, dampings, along, slopes)))
    return solver, int(choice), (both, without), (along, slopes)


@pytest.mark.parametrize("one", SOLVERS, ids=lambda one: one.name)
def test_every_candidate_solves_both_dampings(one):
    root, dampings = root_of(1.5, 1), [0.1, 0.6]
    hybrid = q.Hybrid([one], classical=machine(), quantum=q.QuantumMachine(1e-15))
    _, choice, (both, without), (along, slopes) = opened(hybrid, root, dampings, "float32", "float32")
    assert choice == 0
    tolerance = 0.2 if one.capabilities.iterative else 1e-4
    for found, right in ((both, slopes), (without, np.zeros_like(slopes))):
        expected = exact(root, dampings, along, right)
        assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


@jax.enable_x64(True)
def test_the_choice_follows_the_machines_and_the_precision():
    """Singular values need no permission; who squares has it where narrow numbers are squared in wide ones."""
    cases = {
        "SVD": ("float32", "float64", {"svd": 1e-3}, 1e-3),
        "Cholesky": ("float32", "float64", {}, 1e-3),
        "LU": ("float32", "float64", {"lu": 0.1}, 1e-3),
        "QLSA(jennings2023v1)": ("float32", "float64", {}, 1e-18),
    }
    for winner, (dtype, squared_in, faster, gate) in cases.items():
        hybrid = q.Hybrid(
            SOLVERS[:1] + SOLVERS[2:4] + SOLVERS[5:], classical=machine(dtype, **faster), quantum=q.QuantumMachine(gate)
        )
        root, dampings = root_of(3.0, 2), [1e-3, 6e-3]
        _, choice, (both, _), (along, slopes) = opened(hybrid, root, dampings, dtype, squared_in)
        assert hybrid.names[choice] == winner
        expected = exact(root, dampings, along, slopes)
        assert np.linalg.norm(both - expected) <= 1e-3 * np.linalg.norm(expected)
    # In one type alone no damping is large enough for the square.
    for dtype in ("float32", "float64"):
        group = Group("fit", (N,), 2, 2, dtype=dtype, root_rows=ROWS, squared_in=dtype, need=0.1)
        asked = SOLVERS, [q.assumptions.paper()], machine(dtype), q.QuantumMachine(1e-3)
        ((least, _),) = bounds([group], *asked)
        assert least.refusal[0].tolist() == [0] + [Refusal.SQUARED] * 4 + [0]
        # Unless nobody does without it: then it is what was asked for.
        ((least, _),) = bounds([group], SOLVERS[1:4], *asked[1:])
        assert not least.refusal.any()


@given(log_kappa=st.floats(0, 40), seed=st.integers(0, 1000), n=st.integers(1, 30), extra=st.integers(0, 200))
def test_where_squares_are_resolved_they_err_by_no_more_than_the_step_bears(log_kappa, seed, n, extra):
    """At the least damping that a fit tries, 0.4 rounding units of the mean square of a residual's row."""
    rows = n + extra
    group = Group("fit", (n,), 2, dtype="float32", root_rows=rows, squared_in="float64", need=0.1)
    assert group.resolves_squares
    root = root_of(log_kappa, seed, rows, n).astype(np.float32).astype(float)
    m = 0.4 * float(np.finfo(np.float32).eps) * np.sum(root**2) / rows
    u = np.random.default_rng(seed).standard_normal(rows)
    tall = np.vstack([root, np.sqrt(m) * np.eye(n)])
    exactly = np.linalg.lstsq(tall, np.concatenate([u, np.zeros(n)]), rcond=None)[0]
    found = np.linalg.solve(root.T @ root + m * np.eye(n), root.T @ u)
    assert np.linalg.norm(tall @ (found - exactly)) <= group.need * np.linalg.norm(tall @ exactly) + 1e-6


def test_a_fit_reaches_the_same_loss_whoever_solves_it():
    x = jnp.linspace(0, 4, 60)
    objective = q.Objective(lambda p, x: p["a"] * jnp.exp(-p["b"] * x) + p["c"], lambda o, t: (o - t) ** 2)
    start = {"a": jnp.ones(()), "b": jnp.ones(()), "c": jnp.zeros(())}
    batch = (x, 3 * jnp.exp(-0.7 * x) + 0.5)
    fast = q.Hybrid([q.Cholesky(), q.QLSA()], quantum=q.QuantumMachine(1e-18))
    for solver, name in ((None, "SVD"), (q.LU(), "LU"), (fast, "QLSA(jennings2023v1)")):
        optimizer: Any = q.dual_newton(objective, solver=solver)

        def step(carry: Any, _: None, optimizer: Any = optimizer) -> Any:
            params, state = carry
            updates, state = optimizer.update(None, state, params, batch=batch)
            return (jax.tree.map(jnp.add, params, updates), state), state.info.loss

        (_, state), losses = jax.jit(
            lambda optimizer=optimizer, step=step: jax.lax.scan(step, (start, optimizer.init(start)), None, length=15)
        )()
        (plan,) = state.info.systems
        assert plan.offers.names[int(plan.choice[0])] == name
        assert plan.size.tolist() == [3, 2, 2, 1]
        assert float(losses[-1]) < 1e-8
