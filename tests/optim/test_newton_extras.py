"""`newton` with solvers that see no matrix, with noise, decay and frozen parameters; oracles are numpy in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from jaxtyping import Array, PyTree

import qnewton as qn
from qnewton._core.operators import Path
from qnewton._curvature.layer_operator import LayerOperator

# optax's types know states made of arrays alone; a NewtonState holds more.
newton: Any = qn.newton

SHIFT = 0.3  # an absolute one, so that the oracle needs no largest entry


def gradient_of(problem: Any) -> np.ndarray:
    return problem.oracle.gradient(problem.oracle.vector)


def damped(problem: Any, kind: str = "gauss-newton", shift: float = SHIFT) -> np.ndarray:
    return problem.oracle.curvature(kind, problem.oracle.vector) + shift * np.eye(15)


def empirical_fisher(problem: Any) -> np.ndarray:
    jacobian = problem.oracle.jacobian(problem.oracle.vector)
    residual = problem.oracle.outputs(problem.oracle.vector) - problem.oracle.targets
    gradients = np.einsum("no,nop->np", residual, jacobian)
    return gradients.T @ gradients / len(gradients)


def one_step(
    optimizer: Any, objective: Any, params: PyTree, batch: Any, key: Array | None = None
) -> tuple[PyTree, Any]:
    @jax.jit
    def update(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        gradients = jax.grad(objective)(params, batch, key)
        return optimizer.update(gradients, state, params, batch=batch, key=key)

    return update(params, optimizer.init(params))


# One table of solvers: the curvatures they take, and how close they come in float64. ------------------------------

SOLVERS: dict[str, tuple[lx.AbstractLinearSolver, float]] = {
    "CG": (qn.CG(rtol=1e-9), 1e-8),
    "CG-KFAC": (qn.CG(rtol=1e-9, preconditioner=qn.KFAC()), 1e-8),
    "MINRES": (qn.MINRES(rtol=1e-9), 1e-8),
    "Cholesky": (qn.Cholesky(), 1e-11),
    "Dual": (qn.Dual(), 1e-10),
    "Eigh": (qn.Eigh(), 1e-11),
}
ITERATIVE = {"CG", "CG-KFAC", "MINRES"}
solvers = pytest.mark.parametrize("name", SOLVERS)


@solvers
def test_every_solver_takes_the_same_step_in_one_compilation(name: str, problem_of, step_of, x64) -> None:
    """Whole network and by layers; the first against numpy, the next ones must not compile again."""
    problem = problem_of("float64")
    solver, tolerance = SOLVERS[name]
    optimizer = newton(
        problem.objective,
        solver=solver,
        partition=qn.per_layer,
        conditioning=[qn.Shift(SHIFT)],
        adaptation=qn.Fixed(),
        residual_tolerance=1e-6,
    )
    step, traces = step_of(optimizer, problem.objective)
    params, state = problem.params, optimizer.init(problem.params)
    blank = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)
    updates = None
    for _ in range(3):
        params, state, moved = step(params, state, problem.batch)
        updates = problem.vector(moved) if updates is None else updates
    assert len(traces) == 1
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == blank
    matrix, gradient, expected = damped(problem), gradient_of(problem), np.zeros(15)
    for rows in problem.oracle.blocks("per_layer"):
        expected[rows] = -np.linalg.solve(matrix[np.ix_(rows, rows)], gradient[rows])
    assert updates is not None
    np.testing.assert_allclose(updates, expected, rtol=0, atol=tolerance * float(np.linalg.norm(expected)) * 10)
    for info, rows in zip(state.info.blocks, problem.oracle.blocks("per_layer"), strict=True):
        assert int(info.status) == qn.Status.OK
        assert int(info.path) == Path.LAYERS
        # Iterations are the iterative solvers' business, and there are at most a few more than rows.
        assert (int(info.iterations) > 0) == (name in ITERATIVE)
        assert int(info.iterations) <= 2 * len(rows)
        assert float(info.damping) == SHIFT
        assert float(info.relative_residual) <= tolerance


CURVATURES = {
    "hessian-MINRES": (qn.Hessian(), qn.MINRES(rtol=1e-9), "hessian", Path.PRODUCTS, 0.0),
    "gauss-newton-of-jacobians-CG": (
        qn.GaussNewton(structure=False),
        qn.CG(rtol=1e-9),
        "gauss-newton",
        Path.JACOBIANS,
        0.0,
    ),
    "fisher-CG": (qn.EmpiricalFisher(damping_floor=0.5), qn.CG(rtol=1e-9), "fisher", Path.GRADIENTS, 0.5),
    "fisher-Dual": (qn.EmpiricalFisher(damping_floor=0.5), qn.Dual(), "fisher", Path.GRADIENTS, 0.5),
}


@pytest.mark.parametrize(("curvature", "solver", "kind", "path", "floor"), CURVATURES.values(), ids=CURVATURES)
def test_other_curvatures_without_a_matrix(curvature, solver, kind, path, floor, problem_of, x64) -> None:
    problem = problem_of("float64")
    options = {"curvature": curvature, "solver": solver, "adaptation": qn.Fixed(), "residual_tolerance": 1e-6}
    optimizer = newton(problem.objective, conditioning=[qn.Shift(SHIFT)], **options)
    updates, state = one_step(optimizer, problem.objective, problem.params, problem.batch)
    matrices = {
        "fisher": lambda: empirical_fisher(problem) + (SHIFT + floor) * np.eye(15),
        "hessian": lambda: damped(problem, "hessian"),
        "gauss-newton": lambda: damped(problem),
    }
    expected = -np.linalg.solve(matrices[kind](), gradient_of(problem))
    # The oracle's Hessian comes from differences.
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=0, atol=1e-6 * float(np.linalg.norm(expected)))
    (info,) = state.info.blocks
    assert int(info.status) == qn.Status.OK
    assert int(info.path) == path
    assert float(info.damping) == pytest.approx(SHIFT + floor)


# No matrix -----------------------------------------------------------------------------------------------------------


def sizes_in(jaxpr: Any) -> Iterator[int]:
    """Entries of all intermediate arrays, those inside loops and branches included."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars if hasattr(variable.aval, "size"))
        for value in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from sizes_in(inner)


def wide_problem() -> tuple[qn.Objective, PyTree, Any]:
    """n = 2,100 parameters and few of everything else, so that `n` entries squared stand out."""
    rng = np.random.default_rng(0)
    params = {"a": jnp.asarray(rng.standard_normal((30, 40)), jnp.float32) / 6}
    params["b"] = jnp.asarray(rng.standard_normal((40, 20)), jnp.float32) / 6
    params["c"] = jnp.asarray(rng.standard_normal((20, 5)), jnp.float32) / 6
    batch = jnp.asarray(rng.standard_normal((4, 30)), jnp.float32), jnp.zeros((4, 5))
    objective = qn.Objective(
        lambda p, x: jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1)
    )
    return objective, params, batch


FREE: dict[str, tuple[Any, Any]] = {
    "gauss-newton-CG": (qn.GaussNewton(), qn.CG()),
    "gauss-newton-CG-Jacobi": (qn.GaussNewton(), qn.CG(preconditioner=qn.Jacobi())),
    "gauss-newton-MINRES": (qn.GaussNewton(), qn.MINRES()),
    "gauss-newton-Dual": (qn.GaussNewton(), qn.Dual()),
    "gauss-newton-of-jacobians-CG": (qn.GaussNewton(structure=False), qn.CG()),
    "fisher-CG": (qn.EmpiricalFisher(), qn.CG()),
    "fisher-Dual": (qn.EmpiricalFisher(), qn.Dual()),
    # Its largest entry, which Damp asks for, takes as many products as rows, but `chunk` of them at a time.
    "hessian-MINRES": (qn.Hessian(chunk=1), qn.MINRES()),
}


@pytest.mark.parametrize(("curvature", "solver"), FREE.values(), ids=FREE)
def test_no_intermediate_is_as_large_as_a_matrix(curvature: Any, solver: Any) -> None:
    objective, params, batch = wide_problem()
    n = sum(leaf.size for leaf in jax.tree.leaves(params))

    def largest(solver: Any) -> int:
        optimizer = newton(objective, solver=solver, curvature=curvature, conditioning=[qn.Damp(0.1)])
        state, gradients = optimizer.init(params), jax.tree.map(jnp.zeros_like, params)
        jaxpr = jax.make_jaxpr(lambda g, s: optimizer.update(g, s, params, batch=batch))(gradients, state)
        return max(sizes_in(jaxpr.jaxpr))

    # Jacobians of 4 examples and 5 outputs are the most that is allowed, and far less than the matrix.
    assert largest(solver) <= 2 * 4 * 5 * n
    assert largest(qn.LU()) >= n**2, "the measure sees no matrix where there is one"


def test_an_iterative_solver_never_asks_for_the_matrix(problem_of, monkeypatch) -> None:
    """Of the operators, and by counting: `as_matrix` and `upper_triangle` are not called, for any curvature."""
    problem = problem_of()
    called: list[str] = []
    kinds = [LayerOperator]
    for module, name in (("gram_operator", "GramOperator"), ("product_operator", "ProductOperator")):
        kinds.append(getattr(__import__(f"qnewton._curvature.{module}", fromlist=[name]), name))
    for kind in kinds:
        for method in ("as_matrix", "upper_triangle"):
            original = getattr(kind, method)

            def counted(self: Any, method: str = method, original: Callable = original) -> Any:
                called.append(method)
                return original(self)

            monkeypatch.setattr(kind, method, counted)

    def trace(curvature: Any, solver: Any) -> int:
        called.clear()
        optimizer = newton(problem.objective, solver=solver, curvature=curvature, partition=qn.per_layer)
        state = optimizer.init(problem.params)
        jax.make_jaxpr(lambda g, s: optimizer.update(g, s, problem.params, batch=problem.batch))(problem.params, state)
        return len(called)

    for curvature in (qn.GaussNewton(), qn.GaussNewton(chunk_bytes=1), qn.EmpiricalFisher()):
        assert trace(curvature, qn.CG()) == trace(curvature, qn.Dual()) == 0
        assert trace(curvature, qn.LU()) >= 2
    assert trace(qn.Hessian(), qn.MINRES()) == 0


# Cholesky of what was not formed -------------------------------------------------------------------------------------


def test_cholesky_leaves_dead_inputs_out_exactly(x64) -> None:
    """Inputs that are zero over the whole batch, anywhere; with a penalty their gradient is not zero.

    One compilation serves all batches, whatever is dead in them.
    """

    def loss(outputs: Array, targets: Array) -> Array:
        return jnp.sum((outputs - targets) ** 2, axis=-1) / 2 + outputs[:, 0] * outputs[:, 1] / 2

    objective = qn.Objective(lambda p, x: x @ p["w"].T + p["b"], loss, l2=0.25)
    optimizer = newton(objective, solver=qn.Cholesky(), conditioning=[qn.Damp(0.1)], adaptation=qn.Fixed())
    traces = []

    @jax.jit
    def update(params: PyTree, state: Any, batch: Any) -> tuple[PyTree, Any]:
        traces.append(1)
        return optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)

    curved = np.array([[1, 0.5], [0.5, 1]])
    for alive in (0, 3, 24, 25, 26, 40, 75, 76, 100):
        rng = np.random.default_rng(alive)
        x, w, b = rng.standard_normal((9, 100)), rng.standard_normal((2, 100)), rng.standard_normal(2)
        x[:, rng.permutation(100)[alive:]] = 0
        params = {"b": jnp.asarray(b), "w": jnp.asarray(w)}
        updates, state = update(params, optimizer.init(params), (jnp.asarray(x), jnp.zeros((9, 2))))
        inputs = np.hstack([np.ones((9, 1)), x])
        # In the order [outputs, inputs]; the block has the biases first, then the weights.
        dense = np.kron(curved, inputs.T @ inputs / 9) + 0.25 * np.eye(202)
        order = np.concatenate([[0, 101], np.delete(np.arange(202), [0, 101])])
        joined = np.hstack([b[:, None], w])
        gradient = (curved @ (inputs @ joined.T).T @ inputs / 9 + 0.25 * joined).reshape(-1)
        damping = 0.1 * np.max(np.abs(dense))
        expected = -np.linalg.solve(dense + damping * np.eye(202), gradient)[order]
        actual = np.concatenate([updates["b"], np.ravel(updates["w"])])
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))
        (info,) = state.info.blocks
        assert (int(info.status), int(info.path)) == (qn.Status.OK, Path.LAYERS)
        np.testing.assert_allclose(info.damping, damping, rtol=1e-12)
    assert len(traces) == 1


# Key, decay, frozen parameters ---------------------------------------------------------------------------------------


def test_the_key_reaches_loss_and_curvature(x64) -> None:
    """The step is that of the masked inputs, which are drawn here from the examples' keys."""
    rng = np.random.default_rng(3)
    x, w, y = rng.standard_normal((8, 5)), rng.standard_normal(5), rng.standard_normal(8)

    def predict(p: Array, x: Array, key: Array | None = None) -> Array:
        return (x if key is None else x * jax.random.bernoulli(key, 0.5, x.shape[1:])) @ p

    objective = qn.Objective(predict, lambda z, y: (z - y) ** 2 / 2)
    make = {"solver": qn.CG(rtol=1e-10), "conditioning": [qn.Shift(SHIFT)], "adaptation": qn.LevenbergMarquardt()}
    key = jax.random.key(1)
    batch = jnp.asarray(x), jnp.asarray(y)
    updates, state = one_step(newton(objective, **make), objective, jnp.asarray(w), batch, key)
    masks = np.stack([jax.random.bernoulli(k, 0.5, (5,)) for k in jax.random.split(key, 8)])
    noisy = x * masks
    residual = noisy @ w - y
    expected = -np.linalg.solve(noisy.T @ noisy / 8 + SHIFT * np.eye(5), noisy.T @ residual / 8)
    np.testing.assert_allclose(updates, expected, rtol=1e-8)
    np.testing.assert_allclose(state.info.loss, np.mean(residual**2) / 2, rtol=1e-12)
    # The trial step is seen through the same noise: of a quadratic loss the model is exact.
    np.testing.assert_allclose(state.info.reduction_ratio, 1, rtol=1e-8)


@pytest.mark.parametrize("name", ["CG", "Cholesky", "Eigh"])
def test_weight_decay_is_decoupled(name: str, problem_of, x64) -> None:
    """`-rate (x + decay w)` with `x` the step without it; the clip is on the direction alone."""
    problem = problem_of("float64")
    make = {"solver": SOLVERS[name][0], "conditioning": [qn.Shift(SHIFT)], "adaptation": qn.Fixed(), "clip": 0.2}
    optimizer = newton(problem.objective, 0.5, weight_decay=0.1, **make)
    updates, _ = one_step(optimizer, problem.objective, problem.params, problem.batch)
    direction = np.clip(np.linalg.solve(damped(problem), gradient_of(problem)), -0.2, 0.2)
    assert np.any(np.abs(direction) == 0.2)
    expected = -0.5 * (direction + 0.1 * problem.oracle.vector)
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf")])
def test_a_decay_that_is_none_is_refused(decay: float, problem_of) -> None:
    with pytest.raises(ValueError, match=rf"weight_decay is {decay}: it must be finite and at least 0"):
        newton(problem_of().objective, weight_decay=decay)


def test_only_the_rest_is_trained_where_parameters_are_frozen(problem_of, x64) -> None:
    problem = problem_of("float64")
    trained, merge = qn.freeze(problem.params, "hidden.weight")
    objective = qn.Objective(lambda p, x: problem.objective.predict(merge(p), x), problem.objective.loss)
    optimizer = newton(objective, solver=qn.CG(rtol=1e-10), conditioning=[qn.Shift(SHIFT)], adaptation=qn.Fixed())
    updates, _ = one_step(optimizer, objective, trained, problem.batch)
    assert updates["hidden"]["weight"] is None
    rows = np.r_[0:3, 9:15]
    expected = -np.linalg.solve(damped(problem)[np.ix_(rows, rows)], gradient_of(problem)[rows])
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=0, atol=1e-9)
    moved = merge(jax.tree.map(jnp.add, trained, updates))
    np.testing.assert_array_equal(moved["hidden"]["weight"], problem.params["hidden"]["weight"])


# Failure is data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CG-KFAC", "MINRES", "Cholesky", "Dual"])
def test_an_example_that_is_not_a_number_stops_the_step(name: str, problem_of) -> None:
    """No step at all: the gradient is not finite either."""
    problem = problem_of()
    inputs, targets = problem.batch
    batch = inputs.at[2, 0].set(jnp.nan), targets
    optimizer = newton(problem.objective, solver=SOLVERS[name][0], partition=qn.per_layer, adaptation=qn.Fixed())
    updates, state = one_step(optimizer, problem.objective, problem.params, batch)
    np.testing.assert_array_equal(problem.vector(updates), np.zeros(15))
    assert [int(info.status) for info in state.info.blocks] == [qn.Status.NOT_FINITE] * 2


def test_what_stays_because_its_gradient_is_not_finite_does_not_decay(problem_of) -> None:
    """As the docstring of `newton` has it: such a block stays. Else a run of bad batches shrinks the network to 0."""
    problem = problem_of()
    inputs, targets = problem.batch
    optimizer = newton(problem.objective, solver=qn.CG(), weight_decay=0.1, adaptation=qn.Fixed())
    updates, _ = one_step(optimizer, problem.objective, problem.params, (inputs.at[2, 0].set(jnp.nan), targets))
    np.testing.assert_array_equal(problem.vector(updates), np.zeros(15))


@pytest.mark.parametrize("name", ["CG", "Cholesky", "Dual"])
def test_curvature_that_is_not_finite_leaves_the_gradient(name: str) -> None:
    """`|z|^1.5` at 0 has gradient 0 and no second derivative; the other examples have both."""
    objective = qn.Objective(lambda p, x: x @ p, lambda z, y: jnp.sum(jnp.abs(z) ** 1.5, axis=-1))
    params, inputs = jnp.asarray([[1.0, -2.0]]), jnp.asarray([[1.0], [0.0], [2.0]])
    gradient = jax.grad(objective)(params, (inputs, inputs))
    assert np.all(np.isfinite(gradient))
    optimizer = newton(objective, solver=SOLVERS[name][0], adaptation=qn.Fixed())
    updates, state = one_step(optimizer, objective, params, (inputs, inputs))
    assert int(state.info.blocks[0].status) == qn.Status.NOT_FINITE
    np.testing.assert_array_equal(updates, -gradient)


@pytest.mark.parametrize("solver", [qn.CG(max_steps=1, rtol=1e-6), qn.MINRES(max_steps=1, rtol=1e-6)], ids=str)
def test_running_out_of_iterations_is_a_status(solver: Any, problem_of) -> None:
    problem = problem_of()
    make = {"conditioning": [qn.Shift(1e-6)], "adaptation": qn.Fixed(), "residual_tolerance": 1e-3}
    updates, state = one_step(
        newton(problem.objective, solver=solver, **make), problem.objective, problem.params, problem.batch
    )
    (info,) = state.info.blocks
    assert (int(info.status), int(info.iterations)) == (qn.Status.NOT_SOLVED, 1)
    np.testing.assert_allclose(problem.vector(updates), -gradient_of(problem), rtol=1e-5, atol=1e-6)
