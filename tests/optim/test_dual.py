"""`dual_newton`: its steps against dense primal ones in numpy, its damping, and what it refuses."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as q
from qnewton._curvature.point import Point
from qnewton._curvature.roots import same_hessian
from qnewton._optim import dual_rows, dual_sample
from qnewton._optim.dual_rows import check_rows_fit, rows_of

# optax's types do not know which state comes back. The problems here are so small that they would count as fits.
dual_newton: Any = functools.partial(q.dual_newton, metric=q.Levenberg())

# Of each example; the last one is masked.
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.0, 3.0, 0.25, 1.0, 0.0])
LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1])


def half_squares(z: Any, y: Any) -> Any:
    return jnp.sum((z - y) ** 2, axis=-1) / 2


def cross_entropy(z: Any, y: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(z, y)


def square_derivatives(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return z - y, np.broadcast_to(np.eye(2), (len(z), 2, 2))


def entropy_derivatives(z: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return p - np.eye(2)[LABELS], np.einsum("ni,ij->nij", p, np.eye(2)) - np.einsum("ni,nj->nij", p, p)


@dataclass(frozen=True)
class Case:
    """A loss in jax, and its gradient and Hessian in the outputs in numpy; weights and l2."""

    loss: Callable[..., Any]
    derivatives: Callable[..., tuple[np.ndarray, np.ndarray]]
    labels: bool = False
    weights: bool = False
    l2: float = 0.0


CASES = {
    "squares": Case(half_squares, square_derivatives),
    "cross-entropy": Case(cross_entropy, entropy_derivatives, labels=True),
    "weighted squares": Case(half_squares, square_derivatives, weights=True),
    "weighted cross-entropy, l2": Case(cross_entropy, entropy_derivatives, labels=True, weights=True, l2=0.03),
    "squares, l2": Case(half_squares, square_derivatives, l2=0.1),
}


def set_up(case: Case, problem: Any, dtype: Any) -> tuple[q.Objective, Any]:
    x, y = problem.batch
    y = jnp.asarray(LABELS) if case.labels else y
    if not case.weights:
        return q.Objective(problem.objective.predict, case.loss, case.l2), (x, y)
    weighted = q.Objective(problem.objective.predict, lambda z, t: (case.loss(z, t[0]), t[1]), case.l2)
    return weighted, (x, (y, jnp.asarray(WEIGHTS, dtype)))


def step_of(optimizer: Any, params: PyTree, batch: Any, **arguments: Any) -> tuple[PyTree, Any]:
    """The first step."""
    return jax.jit(optimizer.update)(params, optimizer.init(params), params, batch=batch, **arguments)


def primal(case: Case, oracle: Any, damping: float, accelerated: bool, chosen: Any = range(8)) -> np.ndarray:
    """`d + a` by the dense system in the parameters, float64; of the chosen examples, which stand for all."""
    w, weights = oracle.vector, WEIGHTS if case.weights else np.ones(8)
    z, jacobian = oracle.outputs(w), oracle.jacobian(w)
    slope, curvature = case.derivatives(z, oracle.targets)
    share = np.isin(np.arange(8), chosen) * (8 / len(chosen)) * weights / weights.sum()
    matrix = np.einsum("n,nop,nor,nrq->pq", share, jacobian, curvature, jacobian)
    matrix += (damping + case.l2) * np.eye(15)
    d = -np.linalg.solve(matrix, np.einsum("n,nop,no->p", share, jacobian, slope) + case.l2 * w)
    if not accelerated:
        return d
    h = 1e-4 / np.linalg.norm(d)
    second = (oracle.outputs(w + h * d) - 2 * z + oracle.outputs(w - h * d)) / h**2
    a = -np.linalg.solve(matrix, np.einsum("n,nop,nor,nr->p", share, jacobian, curvature, second)) / 2
    return d + a * min(1, 0.375 * np.linalg.norm(d) / np.linalg.norm(a))


PRIMAL = [(name, True, "float64") for name in CASES]
PRIMAL += [(name, False, "float64") for name in ("squares", "weighted cross-entropy, l2")]
PRIMAL += [(name, True, "float32") for name in ("squares", "weighted cross-entropy, l2")]


@pytest.mark.parametrize(("name", "accelerated", "dtype"), PRIMAL, indirect=["dtype"])
def test_the_step_is_the_primal_one(name, accelerated, dtype, problem_of):
    case, problem = CASES[name], problem_of(dtype)
    objective, batch = set_up(case, problem, dtype)
    optimizer = dual_newton(objective, damping=0.5, acceleration=0.75 if accelerated else None)
    updates, state = step_of(optimizer, problem.params, batch)
    assert bool(state.info.accepted)
    expected = primal(case, problem.oracle, float(state.info.damping), accelerated)
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-5 if dtype == "float64" else 2e-3, atol=1e-4)
    after = objective(optax.apply_updates(problem.params, updates), batch)
    assert float(after) < float(state.info.loss)
    assert float(state.info.relative_residual) < (1e-12 if dtype == "float64" else 1e-4)
    # A half square's model is good where the damping keeps the step short.
    assert 0.2 < float(state.info.reduction_ratio) < 2
    assert (float(state.info.acceleration_ratio) > 0) == accelerated
    assert float(state.damping) == float(state.info.damping)


MOMENTUM = [("squares", 8, False), ("weighted cross-entropy, l2", 8, False), ("squares, l2", 8, True)]
MOMENTUM += [("squares", 6, True), ("squares, l2", 6, True)]


@pytest.mark.parametrize(("name", "count", "metric"), MOMENTUM)
def test_momentum_damps_the_distance_from_a_part_of_the_last_step(name, count, metric, x64, problem_of):
    """SPRING's step as the dense system in the parameters, with more residuals than parameters and with fewer."""
    case, problem, mu = CASES[name], problem_of("float64"), 0.8
    objective, batch = set_up(case, problem, "float64")
    batch = jax.tree.map(lambda leaf: leaf[:count], batch)
    chosen = q.Marquardt(sizes=0.0) if metric else q.Levenberg()
    optimizer: Any = q.dual_newton(objective, damping=0.5, acceleration=None, momentum=mu, metric=chosen)
    update, params, state = jax.jit(optimizer.update), problem.params, optimizer.init(problem.params)
    weights = (WEIGHTS if case.weights else np.ones(8))[:count]
    steps, before, diagonal = [np.zeros(15)], problem.oracle.vector, np.zeros(15)
    for _ in range(3):
        updates, state = update(params, state, params, batch=batch)
        assert bool(state.info.accepted)
        z, jacobian = problem.oracle.outputs(before), problem.oracle.jacobian(before)[:count]
        slope, curvature = (part[:count] for part in case.derivatives(z, problem.oracle.targets))
        share = weights / weights.sum()
        matrix = np.einsum("n,nop,nor,nrq->pq", share, jacobian, curvature, jacobian) + case.l2 * np.eye(15)
        gradient = np.einsum("n,nop,no->p", share, jacobian, slope) + case.l2 * before
        diagonal = np.maximum(diagonal, np.diag(matrix)) if metric else np.ones(15)
        damping = float(state.info.damping) * diagonal
        expected = np.linalg.solve(matrix + np.diag(damping), damping * mu * steps[-1] - gradient)
        np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-5, atol=1e-8)
        assert float(state.info.relative_residual) < 1e-10
        steps.append(expected)
        before, params = before + expected, optax.apply_updates(params, updates)


def test_after_a_refused_step_there_is_no_momentum(arctangent):
    objective, params, batch = arctangent
    optimizer = q.dual_newton(objective, damping=1e-6, acceleration=None, momentum=0.9, metric=q.Levenberg())
    begun: Any = optimizer.init(params)
    state: Any = begun._replace(last=jnp.ones(1))
    _, state = jax.jit(optimizer.update)(params, state, params, batch=batch)
    assert not bool(state.info.accepted)
    assert float(state.last[0]) == 0


@pytest.mark.parametrize("accelerated", [False, True], ids=["plain", "accelerated"])
@pytest.mark.parametrize("name", ["squares", "weighted cross-entropy, l2"])
def test_the_predicted_decrease_is_the_model_s(name, accelerated, problem_of, x64):
    case, problem = CASES[name], problem_of("float64")
    objective, batch = set_up(case, problem, "float64")
    optimizer = dual_newton(objective, damping=0.5, acceleration=0.75 if accelerated else None)
    updates, state = step_of(optimizer, problem.params, batch)
    actual = state.info.loss - objective(optax.apply_updates(problem.params, updates), batch)
    point = Point.of(objective, problem.params, batch)
    (block,) = q.whole(problem.params)
    matrix = jax.jit(lambda: q.GaussNewton().operator(point, block).as_matrix())() + case.l2 * np.eye(15)
    matrix = np.asarray(matrix)
    s, g = problem.vector(updates), problem.vector(jax.jit(jax.grad(objective))(problem.params, batch))
    np.testing.assert_allclose(state.info.reduction_ratio, actual / -(g @ s + s @ matrix @ s / 2), rtol=1e-8)


@pytest.fixture
def arctangent() -> tuple[Any, dict[str, Any], Any]:
    """One residual on which a Gauss-Newton step from 3 overshoots, and one from 0.5 does not."""
    objective = q.Objective(lambda p, x: jnp.arctan(p["w"] * x), half_squares)
    return objective, {"w": jnp.asarray([3.0])}, (jnp.ones((1, 1)), jnp.zeros((1, 1)))


def test_a_refused_step_is_zero_and_the_damping_grows(arctangent):
    objective, params, batch = arctangent
    optimizer = dual_newton(objective, damping=1e-3, acceleration=None)
    update = jax.jit(optimizer.update)
    updates, state = update(params, optimizer.init(params), params, batch=batch)
    dampings = [float(state.damping)]
    while not state.info.accepted and len(dampings) < 30:
        assert float(updates["w"][0]) == 0
        updates, state = update(params, state, params, batch=batch)
        dampings.append(float(state.damping))
    assert len(dampings) > 2
    np.testing.assert_allclose(dampings[0], 4 * 1e-3 * 0.01, rtol=1e-5)  # K = (1 / (1 + 9))^2
    np.testing.assert_allclose(np.divide(dampings[1:-1], dampings[:-2]), 4, rtol=1e-5)
    assert float(objective(optax.apply_updates(params, updates), batch)) < float(state.info.loss)


def rosenbrock(params: PyTree, which: Any) -> Any:
    x, y = params["x"], params["y"]
    return jnp.where(which == 0, 10 * (y - x**2), 1 - x)


@pytest.mark.parametrize("acceleration", [None, 0.75])
def test_rosenbrock_is_solved_to_the_last_digit(acceleration, x64):
    objective = q.Objective(rosenbrock, lambda z, y: (z - y) ** 2 / 2)
    params = {"x": jnp.asarray(-1.2), "y": jnp.asarray(1.0)}
    batch = (jnp.arange(2), jnp.zeros(2))
    optimizer = dual_newton(objective, acceleration=acceleration)

    def body(carry: Any, _: None) -> Any:
        params, state = carry
        updates, state = optimizer.update(params, state, params, batch=batch)
        return (optax.apply_updates(params, updates), state), (state.info.loss, params)

    (params, _), (losses, path) = jax.lax.scan(body, (params, optimizer.init(params)), None, length=40)
    assert float(objective(params, batch)) < 1e-28
    np.testing.assert_allclose([params["x"], params["y"]], 1, rtol=1e-12)
    # Faster than linear: the damping falls with every step, and each error is a smaller part of the one before.
    errors = np.hypot(path["x"] - 1, path["y"] - 1)
    near = errors[(errors < 1e-1) & (errors > 1e-10)]
    rates = near[1:] / near[:-1]
    assert rates.size >= 2
    assert rates[-1] < 0.05
    assert float(jnp.diff(losses).max()) <= 0


def test_a_scan_compiles_once_and_learns_a_physics_informed_network(x64):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(size=(40, 2)), [[e, t] for e in (0, 1) for t in rng.uniform(size=4)]])
    points = jnp.asarray(np.concatenate([points, points[40:, ::-1]]))
    inputs = points, jnp.arange(56) >= 40
    params = [
        {"w": jnp.asarray(rng.standard_normal((a, b)) / a**0.5), "b": jnp.zeros(b)} for a, b in ((2, 12), (12, 1))
    ]

    def u(params: PyTree, x: Any) -> Any:
        hidden = jnp.tanh(x @ params[0]["w"] + params[0]["b"])
        return (hidden @ params[1]["w"] + params[1]["b"])[0]

    def residual(params: PyTree, inputs: Any) -> Any:
        def one(x: Any, on_edge: Any) -> Any:
            def along(e: Any) -> Any:
                return jax.jvp(lambda x: jax.jvp(lambda x: u(params, x), (x,), (e,))[1], (x,), (e,))[1]

            source = 2 * jnp.pi**2 * jnp.prod(jnp.sin(jnp.pi * x))
            return jnp.where(on_edge, 10 * u(params, x), along(jnp.eye(2)[0]) + along(jnp.eye(2)[1]) + source)

        return jax.vmap(one)(*inputs)

    traces = []

    def counted(params: PyTree, inputs: Any) -> Any:
        traces.append(1)
        return residual(params, inputs)

    objective = q.Objective(counted, lambda z, y: (z - y) ** 2 / 2)
    batch = inputs, jnp.zeros(56)
    optimizer = dual_newton(objective)

    @jax.jit
    def run(params: PyTree, state: Any) -> Any:
        def body(carry: Any, _: None) -> Any:
            params, state = carry
            updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
            return (optax.apply_updates(params, updates), state), state.info

        return jax.lax.scan(body, (params, state), None, length=60)

    (params, state), info = run(params, optimizer.init(params))
    first = len(traces)
    (params, state), _ = run(params, state)
    assert len(traces) == first
    losses = 56 * np.asarray(info.loss)
    assert losses[0] > 100
    assert losses[-1] < 1e-2
    assert int(state.count) == 120
    assert (np.asarray(info.status) == q.Status.OK).all()
    # The better trial is sometimes the one, sometimes the other.
    assert set(np.asarray(info.winner)) == {0, 1}


def test_a_step_under_a_key_is_the_step_under_its_noise(x64):
    def dropped(params: PyTree, x: Any, *, key: Any) -> Any:
        return jnp.tanh(x * jax.random.bernoulli(key, 0.7, x.shape)) @ params["w"]

    rng = np.random.default_rng(3)
    params = {"w": jnp.asarray(rng.standard_normal((6, 2)))}
    x, y = jnp.asarray(rng.standard_normal((4, 6))), jnp.asarray(rng.standard_normal((4, 2)))
    key = jax.random.key(5)
    masks = jnp.stack([jax.random.bernoulli(k, 0.7, (1, 6))[0] for k in jax.random.split(key, 4)])
    frozen = q.Objective(lambda p, x: jnp.tanh(x) @ p["w"], half_squares)
    noisy = q.Objective(dropped, half_squares)
    steps = []
    for objective, batch, arguments in ((noisy, (x, y), {"key": key}), (frozen, (x * masks, y), {})):
        optimizer = dual_newton(objective)
        steps.append(step_of(optimizer, params, batch, **arguments)[0]["w"])
    np.testing.assert_allclose(*steps, rtol=1e-10)
    assert np.abs(steps[0]).max() > 0.01


def test_layers_and_dense_jacobian_make_the_same_rows(x64, monkeypatch):
    rng = np.random.default_rng(1)
    sizes = (12, 60, 50, 2)
    params = [
        {"b": jnp.asarray(rng.standard_normal(b)), "w": jnp.asarray(rng.standard_normal((a, b)) / a**0.5)}
        for a, b in itertools.pairwise(sizes)
    ]

    def predict(params: PyTree, x: Any) -> Any:
        for layer in params[:-1]:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    objective = q.Objective(predict, half_squares)
    # More rows than one strip of the dense path holds.
    batch = jnp.asarray(rng.standard_normal((100, 12))), jnp.asarray(rng.standard_normal((100, 2)))
    (block,) = q.whole(params)
    v, u = jnp.asarray(rng.standard_normal((2, block.n))), jnp.asarray(rng.standard_normal((2, 200)))

    def products() -> tuple[bool, Any]:
        layered = []

        @jax.jit
        def compute(params: PyTree) -> Any:
            point = Point.of(objective, params, batch)
            layered.append(dual_rows._layers_that_pay(point, block) is not None)
            rows = rows_of(point, block)
            slope = rows.scale.divisor * rows.pull(rows.residual[None])[0]
            return rows.residual, rows.push(v), rows.pull(u), jnp.tril(rows.gram()), slope

        results = compute(params)
        return layered[0], results

    layered, first = products()
    monkeypatch.setattr(dual_rows, "LAYER_OVERHEAD", 10**9)
    dense, second = products()
    assert layered
    assert not dense
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    gradient = block.take(jax.jit(jax.grad(objective))(params, batch))
    np.testing.assert_allclose(first[-1], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_curvature_that_all_examples_share_is_theirs(width, x64):
    """`R^T R` and `R^T r` against the dense Gauss-Newton matrix and gradient of a coupled square, in numpy."""
    rng = np.random.default_rng(width)
    root, x, y = rng.standard_normal((width, width)), rng.standard_normal((7, 3)), rng.standard_normal((7, width))
    metric = root @ root.T + np.eye(width)
    objective = q.Objective(
        lambda p, x: jnp.tanh(x @ p["w"]) ** 3,
        lambda z, t: jnp.einsum("na,ab,nb->n", z - t, jnp.asarray(metric), z - t),
    )
    w, batch = rng.standard_normal((3, width)), (jnp.asarray(x), jnp.asarray(y))
    (block,) = q.whole({"w": jnp.asarray(w)})

    @jax.jit
    def compute(params: PyTree) -> Any:
        point = Point.of(objective, params, batch)
        assert same_hessian(point.examples, batch[1]) is not None
        rows = rows_of(point, block, dense=True)
        assert rows.matrix is not None
        unit = rows.scale.divisor
        return unit * rows.matrix.T @ rows.matrix, unit * rows.residual @ rows.matrix

    slopes = 3 * np.tanh(x @ w) ** 2 * (1 - np.tanh(x @ w) ** 2)
    jacobian = np.einsum("ni,nc,cd->ncid", x, slopes, np.eye(width)).reshape(7, width, -1)
    dense = 2 * np.einsum("nai,ab,nbj->ij", jacobian, metric, jacobian) / 7
    gradient = 2 * np.einsum("nai,ab,nb->i", jacobian, metric, np.tanh(x @ w) ** 3 - y) / 7
    for found, expected in zip(compute({"w": jnp.asarray(w)}), (dense, gradient), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


SHARED = {
    "squares": (half_squares, True),
    "outputs enter": (lambda z, y: jnp.sum(jnp.cosh(z - y), axis=-1), False),
    "targets enter": (lambda z, y: jnp.sum((z * y) ** 2, axis=-1), False),
    "weights": (lambda z, y: (half_squares(z, y), y[:, 0] ** 2), False),
    "piecewise": (lambda z, y: jnp.sum(optax.huber_loss(z, y), axis=-1), False),
    "no curvature": (lambda z, y: jnp.sum(z * y, axis=-1), False),
}


@pytest.mark.parametrize("name", list(SHARED))
def test_curvature_is_shared_where_the_program_shows_it(name):
    loss, shared = SHARED[name]
    found = []

    def look(w: Any) -> Any:
        batch = jnp.ones((4, 3)), jnp.ones((4, 2))
        found.append(same_hessian(Point.of(q.Objective(lambda p, x: x @ p, loss), w, batch).examples, batch[1]))
        return w

    jax.eval_shape(look, jnp.ones((3, 2)))
    assert (found[0] is not None) is shared


def test_a_loss_without_curvature_still_has_a_slope():
    # Huber's loss far out: linear, so the step is the damped gradient.
    objective = q.Objective(lambda p, x: x @ p["w"], lambda z, y: optax.huber_loss(z[:, 0], y))
    params = {"w": jnp.zeros((4, 1))}
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)), jnp.float32)
    y = jnp.asarray([0.1, 50.0, -70.0])
    optimizer = dual_newton(objective, damping=3.0)
    updates, state = step_of(optimizer, params, (x, y))
    gradient = jax.grad(objective)(params, (x, y))["w"][:, 0]
    curvature = jnp.outer(x[0], x[0]) / 3 + state.info.damping * jnp.eye(4)
    expected = -jnp.linalg.solve(curvature, gradient)
    np.testing.assert_allclose(updates["w"][:, 0], expected, rtol=1e-4)
    assert float(state.info.relative_residual) < 1e-5


def test_a_batch_with_nan_moves_nothing_and_the_next_one_does(problem_of):
    problem = problem_of()
    optimizer = dual_newton(problem.objective, damping=0.5)
    update = jax.jit(optimizer.update)
    x, y = problem.batch
    state = optimizer.init(problem.params)
    updates, state = update(problem.params, state, problem.params, batch=(x.at[3, 1].set(jnp.nan), y))
    assert (problem.vector(updates) == 0).all()
    assert q.Status(int(state.info.status)) is q.Status.NOT_FINITE
    assert not bool(state.info.accepted)
    assert float(state.damping) == 0  # no scale yet
    updates, state = update(problem.params, state, problem.params, batch=(x, y))
    damping = float(state.damping)
    assert q.Status(int(state.info.status)) is q.Status.OK
    assert np.abs(problem.vector(updates)).max() > 0
    _, state = update(problem.params, state, problem.params, batch=(x.at[3, 1].set(jnp.inf), y))
    assert float(state.damping) == damping


def test_at_a_minimum_nothing_moves_and_nothing_fails():
    # Neither slope nor curvature: the rows are all zero.
    objective = q.Objective(lambda p, x: (x @ p["w"]) ** 2, half_squares)
    params = {"w": jnp.zeros((3, 1))}
    optimizer = dual_newton(objective)
    updates, state = step_of(optimizer, params, (jnp.ones((2, 3)), jnp.zeros((2, 1))))
    assert not bool(state.info.accepted)
    assert q.Status(int(state.info.status)) is q.Status.OK
    assert float(jnp.abs(updates["w"]).max()) == 0
    assert np.isfinite(float(state.damping))


def test_where_a_loss_is_not_convex_the_positive_part_of_its_diagonal_stands_for_it(problem_of):
    """Mean and variance of a Gaussian as outputs: indefinite wherever there is a residual."""

    def predict(p, x):
        h = jnp.tanh(x @ p["w"])
        return {"mean": h @ p["v"], "log": h @ p["u"]}

    def loss(z, y):
        return (z["log"] + (z["mean"] - y) ** 2 * jnp.exp(-z["log"])) / 2

    keys = jax.random.split(jax.random.key(0), 5)
    params = {k: jax.random.normal(key, s) for k, key, s in zip("wvu", keys, [(3, 4), (4,), (4,)], strict=False)}
    batch = jax.random.normal(keys[3], (8, 3)), jax.random.normal(keys[4], (8,))
    objective = q.Objective(predict, loss)
    z, jacobian = predict(params, batch[0]), jax.jacobian(predict)(params, batch[0])
    error, precision = z["mean"] - batch[1], jnp.exp(-z["log"])
    diagonal = {"mean": precision, "log": error**2 * precision / 2}
    (block,) = q.whole(params)
    found = rows_of(Point.of(objective, params, batch), block, dense=True)
    expected = jnp.zeros((block.n, block.n))
    for name, weight in diagonal.items():
        rows = jnp.concatenate([leaf.reshape(8, -1) for leaf in jax.tree.leaves(jacobian[name])], axis=1)
        expected += rows.T @ (weight[:, None] * rows) / 8
    assert found.matrix is not None
    matrix = found.matrix * found.unit_root
    np.testing.assert_allclose(matrix.T @ matrix, expected, atol=1e-4 * float(jnp.abs(expected).max()))
    gradient = block.take(jax.grad(objective)(params, batch))
    np.testing.assert_allclose(found.matrix.T @ found.residual * found.unit_root**2, gradient, rtol=1e-3, atol=1e-5)

    # Concave throughout: there is no curvature left to divide by, and no step.
    problem = problem_of()
    optimizer = dual_newton(q.Objective(problem.objective.predict, lambda z, y: -half_squares(z, y)))
    updates, state = step_of(optimizer, problem.params, problem.batch)
    assert q.Status(int(state.info.status)) is q.Status.NOT_SOLVED
    assert (problem.vector(updates) == 0).all()


def test_residuals_that_do_not_fit_are_refused(problem_of, monkeypatch):
    with pytest.raises(MemoryError, match=r"60,000 examples of 10 outputs make 600,000 residuals.*GiB are free"):
        check_rows_fit(60_000, 10, 0, 4, available=2.0**36)
    check_rows_fit(480, 1, 1185, 8, available=2.0**27)
    problem = problem_of()
    optimizer = dual_newton(problem.objective)
    monkeypatch.setattr(dual_rows, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match="16 residuals"):
        optimizer.update(problem.params, optimizer.init(problem.params), problem.params, batch=problem.batch)


def test_what_cannot_be_trained_is_refused(problem_of):
    problem = problem_of()
    optimizer = dual_newton(problem.objective)
    with pytest.raises(TypeError, match="int32"):
        optimizer.init({"w": jnp.arange(3)})
    with pytest.raises(ValueError, match="holds no arrays"):
        optimizer.init({})
    with pytest.raises(ValueError, match=r"batch=\(inputs, targets\)"):
        optimizer.update(problem.params, optimizer.init(problem.params), problem.params)


@pytest.mark.parametrize("name", ["squares", "weighted cross-entropy, l2"])
def test_an_early_step_is_the_primal_one_of_a_part(name, x64, problem_of, monkeypatch):
    monkeypatch.setattr(dual_sample, "SMALLEST", 1)
    case, problem = CASES[name], problem_of("float64")
    objective, batch = set_up(case, problem, "float64")
    optimizer = dual_newton(objective, damping=0.5, sample=2)
    part = dual_sample.part_of(Point.of(objective, problem.params, batch).examples, 2, jnp.int32(0))
    assert part is not None
    updates, state = step_of(optimizer, problem.params, batch)
    assert bool(state.info.accepted)
    assert int(state.info.examples) == 4
    expected = primal(case, problem.oracle, float(state.info.damping), True, np.asarray(part.chosen))
    np.testing.assert_allclose(problem.vector(updates), expected, rtol=1e-5, atol=1e-4)
    # Judged on the whole batch all the same.
    np.testing.assert_allclose(state.info.loss, objective(problem.params, batch), rtol=1e-12)
    after = objective(optax.apply_updates(problem.params, updates), batch)
    assert float(after) < float(state.info.loss)


@pytest.mark.parametrize("arguments", [{"damping": 0.0}, {"damping": np.inf}, {"acceleration": 0.0}, {"momentum": 1.0}])
def test_settings_out_of_range_are_refused(arguments, problem_of):
    with pytest.raises(ValueError, match=r"must be positive|in \[0, 1\)"):
        dual_newton(problem_of().objective, **arguments)


def test_classes_that_are_nearly_certain_do_not_end_the_training():
    """Where all examples are, their curvature is as small as its rounding."""
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((12, 20)), rng.integers(0, 4, 12)
    objective = q.Objective(lambda w, x: x @ w, optax.softmax_cross_entropy_with_integer_labels)
    batch = (jnp.asarray(x, jnp.float32), jnp.asarray(labels))
    # Logits of 9 for the right class.
    params = jnp.asarray(9 * np.linalg.pinv(x) @ np.eye(4)[labels], jnp.float32)
    _, state = step_of(dual_newton(objective, sample=None), params, batch)
    assert float(state.info.loss) < 1e-3
    assert bool(state.info.accepted)
    assert q.Status(int(state.info.status)) is q.Status.OK
