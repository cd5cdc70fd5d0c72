"""`kfac` against dense numpy, its bookkeeping, and models of several kinds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton._core.layout import Layout, Piece
from qnewton._core.operators import KroneckerFactors
from qnewton._core.status import Status, Verdict
from qnewton._curvature import factors as estimation
from qnewton._curvature.point import Point
from qnewton._optim.kronecker_solves import LayerSystems
from qnewton._scheduling.families import scheduler_of


def layer_systems(layout, dtype, solver=None):
    return LayerSystems.of(layout, scheduler_of(solver, "kfac"), 5, jnp.dtype(dtype))


def run(optimizer, objective, params, batch, steps, key=None):
    """All steps in one scan: final parameters and state, losses and infos by step, and the number of traces."""
    traces = []

    @jax.jit
    def train(params, state):
        def body(carry, _):
            traces.append(1)
            params, state = carry
            loss, gradients = jax.value_and_grad(objective)(params, batch, key)
            updates, state = optimizer.update(gradients, state, params, batch=batch, key=key)
            return (optax.apply_updates(params, updates), state), (loss, state.info)

        return jax.lax.scan(body, (params, state), None, length=steps)

    (params, state), (losses, infos) = train(params, start(optimizer, params))
    return params, state, np.asarray(losses), infos, len(traces)


def start(optimizer, params) -> Any:
    return optimizer.init(params)


def one_step(optimizer, objective, params, batch, key=None):
    """The first update, compiled with its gradient."""

    @jax.jit
    def step(params, state):
        return optimizer.update(jax.grad(objective)(params, batch, key), state, params, batch=batch, key=key)

    return step(params, start(optimizer, params))


def squares(z, y):
    return jnp.sum((z - y) ** 2, axis=-1) / 2


@pytest.fixture
def linear(dtype):
    """`x W` with squares: Gauss-Newton is the Hessian, and one Kronecker product."""
    rng = np.random.default_rng(0)
    w, x, y = (jnp.asarray(rng.standard_normal(shape), dtype) for shape in ((3, 2), (20, 3), (20, 2)))
    return q.Objective(lambda p, x: x @ p["w"], squares), {"w": w}, (x, y)


def test_one_linear_layer_is_solved_in_one_newton_step(linear, dtype):
    objective, params, (x, y) = linear
    rule = q.QuadraticModel(damping=1e-10, smallest=1e-12)
    # Squares of the random signs are 1; their products between outputs vanish in the mean over many probes only.
    optimizer = q.kfac(objective, step=rule, probes=500)
    updates, state = one_step(optimizer, objective, params, (x, y))
    expected = np.linalg.lstsq(np.asarray(x, float), np.asarray(y, float), rcond=None)[0] - np.asarray(params["w"])
    step = np.asarray(updates["w"])
    assert np.linalg.norm(step - expected) <= 0.1 * np.linalg.norm(expected)
    assert bool(state.info.accepted)
    # With the output factor that the probes estimate it is exact.
    factors = KroneckerFactors(state.factors.layout, (x.T @ x / 20,), (jnp.eye(2, dtype=dtype),), jnp.zeros(0, dtype))

    @jax.jit
    def solved(gradient):
        systems = layer_systems(factors.layout, dtype)
        return systems.solve(systems.set_up(factors, jnp.asarray(1e-16, dtype))[0], gradient)[0]

    direction = -solved(jnp.ravel(jax.grad(objective)(params, (x, y))["w"]))
    np.testing.assert_allclose(direction.reshape(3, 2), expected, rtol=1e-3 if dtype == jnp.float32 else 1e-6)


CANDIDATES = {
    "default": None,
    "Inverse": q.Inverse(),
    "Cholesky": q.Cholesky(),
    "LU": q.LU(),
    "Eigh": q.Eigh(),
    "CG": q.CG(rtol=1e-12),
    "stand-in": q.QLSA(),
    "chosen": q.Hybrid([q.LU(), q.Inverse(), q.QLSA()]),
}


@pytest.mark.parametrize("solver", CANDIDATES.values(), ids=list(CANDIDATES))
def test_every_candidate_solves_the_dense_split_matrix(solver, x64):
    rng = np.random.default_rng(1)
    layout = Layout(14, ((Piece(0, 3, 2), Piece(6, 1, 2)), (Piece(10, 2, 2, transposed=True),)), ((8, 2),))
    inputs, outputs = ([m @ m.T for m in (rng.standard_normal((s, s)) for s in sizes)] for sizes in ((4, 2), (2, 2)))
    rest, vector, damping = np.array([2.0, 0.5]), rng.standard_normal(14), 0.2
    factors = KroneckerFactors(
        layout, tuple(map(jnp.asarray, inputs)), tuple(map(jnp.asarray, outputs)), jnp.asarray(rest)
    )
    systems = layer_systems(layout, jnp.float64, solver)
    solution, status = jax.jit(lambda v: systems.solve(systems.set_up(factors, jnp.asarray(damping))[0], v))(vector)

    matrices = [np.concatenate([vector[:6].reshape(3, 2), vector[6:8].reshape(1, 2)]), vector[10:].reshape(2, 2).T]
    solved = []
    for a, g, v in zip(inputs, outputs, matrices, strict=True):
        pi = np.sqrt((np.trace(a) / len(a)) / (np.trace(g) / len(g)))
        damped = np.kron(a + pi * np.sqrt(damping) * np.eye(len(a)), g + np.sqrt(damping) / pi * np.eye(len(g)))
        solved.append(np.linalg.solve(damped, v.reshape(-1)).reshape(v.shape))
    expected = np.concatenate([solved[0].reshape(-1), vector[8:10] / (rest + damping), solved[1].T.reshape(-1)])
    np.testing.assert_allclose(solution, expected, rtol=1e-9)
    np.testing.assert_array_equal(status, [Status.OK] * 3)


def test_a_factor_that_cannot_be_inverted_leaves_the_gradient():
    layout = Layout(4, ((Piece(0, 2, 1),), (Piece(2, 2, 1),)))
    good, one = jnp.eye(2), jnp.ones((1, 1))
    for bad, status in ((jnp.diag(jnp.array([1.0, -5.0])), Status.NOT_SOLVED), (jnp.nan * good, Status.NOT_FINITE)):
        factors = KroneckerFactors(layout, (good, bad), (one, one), jnp.zeros(0))
        systems = layer_systems(layout, jnp.float32)
        solution, found = systems.solve(systems.set_up(factors, jnp.float32(0.1))[0], jnp.arange(4.0))
        np.testing.assert_array_equal(found, [Status.OK, status, Status.OK])
        np.testing.assert_array_equal(solution[2:], [2, 3])


@pytest.mark.parametrize("loss", [squares, optax.softmax_cross_entropy], ids=["diagonal", "root"])
def test_probed_diagonal_and_output_factor_are_right_in_the_mean(loss, x64):
    rng = np.random.default_rng(2)
    params = {"s": jnp.asarray(rng.standard_normal(3)), "w": jnp.asarray(rng.standard_normal((2, 3)))}
    x, y = jnp.asarray(rng.standard_normal((6, 2))), jnp.asarray(rng.dirichlet(np.ones(3), 6))
    objective = q.Objective(lambda p, x: jnp.tanh(x @ p["w"]) * jnp.sin(p["s"]), loss)
    point = Point.of(objective, params, (x, y))
    found, _ = jax.jit(lambda: estimation.probed_diagonal(point, [0], probes=20_000))()

    w, s = np.asarray(params["w"]), np.asarray(params["s"])
    jacobian = np.tanh(np.asarray(x) @ w)[:, :, None] * np.diag(np.cos(s))
    z = np.tanh(np.asarray(x) @ w) * np.sin(s)
    if loss is squares:
        curvature = np.broadcast_to(np.eye(3), (6, 3, 3))
    else:
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        curvature = np.einsum("ni,ij->nij", p, np.eye(3)) - np.einsum("ni,nj->nij", p, p)
    expected = np.einsum("nci,ncd,ndi->i", jacobian, curvature, jacobian) / 6
    np.testing.assert_allclose(found, expected, rtol=0.03)


@pytest.mark.parametrize("scale", [30.0, 3000.0])
def test_confident_predictions_give_finite_probes(scale):
    """Of the curvature of cross-entropy only rounding is left there, with any sign."""
    params = {"w": jnp.asarray(np.random.default_rng(6).standard_normal((3, 4)) * scale, jnp.float32)}
    batch = (jnp.asarray(np.random.default_rng(7).standard_normal((50, 3)), jnp.float32), jnp.zeros(50, int))
    objective = q.Objective(lambda p, x: x @ p["w"], optax.softmax_cross_entropy_with_integer_labels)
    _, state = one_step(q.kfac(objective), objective, params, batch)
    np.testing.assert_array_equal(state.info.status, Status.OK)


def test_info_agrees_with_the_loss_and_factors_are_refreshed_on_time(problem_of, monkeypatch):
    problem = problem_of()
    objective = q.Objective(problem.objective.predict, problem.objective.loss, l2=0.01)
    calls, original = [], estimation.probe

    def counted(*given):
        jax.debug.callback(lambda: calls.append(1))
        return original(*given)

    monkeypatch.setattr(estimation, "probe", counted)
    optimizer = q.kfac(objective, refresh=3)
    params, state, losses, infos, traces = run(optimizer, objective, problem.params, problem.batch, 10)
    jax.effects_barrier()
    assert traces == 1
    assert len(calls) == 4
    np.testing.assert_array_equal(infos.staleness, [0, 1, 2] * 3 + [0])
    np.testing.assert_allclose(infos.loss, losses, rtol=1e-6)
    taken = np.append(losses, objective(params, problem.batch))
    np.testing.assert_allclose(taken[:-1] - taken[1:], np.where(infos.accepted, infos.actual_decrease, 0), atol=1e-6)
    np.testing.assert_allclose(infos.reduction_ratio, infos.actual_decrease / infos.predicted_decrease, rtol=1e-5)
    factor = np.select(
        [~infos.accepted, infos.reduction_ratio > 0.9, infos.reduction_ratio < 0.25], [0.9**-4, 0.9, 1 / 0.9], 1
    )
    damping = np.append(infos.damping, state.damping)
    np.testing.assert_allclose(damping[1:] / damping[:-1], factor, rtol=1e-5)
    assert losses[-1] < 0.7 * losses[0]
    assert infos.momentum[0] == 0


def test_l2_enters_gradient_and_curvature(x64):
    # A pure quadratic in one weight: K-FAC and plane are exact, so that the step is -g / (x^2 + l2 + damping).
    objective = q.Objective(lambda p, x: x @ p, squares, l2=0.7)
    params, batch = jnp.array([[2.0]]), (jnp.array([[1.5]]), jnp.array([[0.5]]))
    optimizer = q.kfac(objective, step=q.QuadraticModel(damping=0.2))
    updates, _ = one_step(optimizer, objective, params, batch)
    expected = -(1.5 * (3.0 - 0.5) + 0.7 * 2.0) / (1.5**2 + 0.7 + 0.2)
    np.testing.assert_allclose(updates, [[expected]], rtol=1e-9)


def test_a_step_that_would_raise_the_loss_is_refused(x64):
    # sqrt-like valley: far out the Gauss-Newton step overshoots by far.
    objective = q.Objective(lambda p, x: jnp.arctan(p * x), squares)
    params, batch = jnp.array([[3.0]]), (jnp.ones((1, 1)), jnp.zeros((1, 1)))
    optimizer = q.kfac(objective, step=q.QuadraticModel(damping=1e-6), example=batch[0])
    updates, state = one_step(optimizer, objective, params, batch)
    assert not bool(state.info.accepted)
    np.testing.assert_array_equal(updates, [[0]])
    np.testing.assert_allclose(state.damping, 1e-6 / 0.9**4)
    assert float(state.info.actual_decrease) < 0


def test_nan_in_one_example_moves_nothing_and_does_not_last(problem_of):
    problem = problem_of()
    x, y = problem.batch
    optimizer = q.kfac(problem.objective)

    @jax.jit
    def step(state, batch):
        return optimizer.update(jax.grad(problem.objective)(problem.params, batch), state, problem.params, batch=batch)

    _, clean = step(start(optimizer, problem.params), (x, y))
    bad = (x.at[0, 0].set(jnp.nan), y)
    for before in (start(optimizer, problem.params), clean):
        updates, state = step(before, bad)
        assert all(bool(jnp.all(leaf == 0)) for leaf in jax.tree.leaves(updates))
        assert not bool(state.info.accepted)
        np.testing.assert_array_equal(state.info.status, Status.NOT_FINITE)
        updates, state = step(state, (x, y))
        assert bool(state.info.accepted)
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves((updates, state.factors, state.last)))


def conv(p, x):
    z = jax.lax.conv_general_dilated(x, p["k"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jnp.tanh(z + p["c"]).reshape(x.shape[0], -1) @ p["w"] + p["b"]


def normed_and_shared(p, x):
    h = jnp.tanh(jnp.tanh(x @ p["in"]) @ p["shared"]) @ p["shared"]
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
    return (h * p["scale"]) @ p["w"] + p["b"]


MODELS = {
    "conv": (conv, {"k": (3, 3, 1, 4), "c": (4,), "w": (64, 3), "b": (3,)}, (12, 4, 4, 1), 2),
    "layer norm, shared weight": (
        normed_and_shared,
        {"in": (5, 4), "shared": (4, 4), "scale": (4,), "w": (4, 3), "b": (3,)},
        (12, 5),
        4,
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rule", ["quadratic", "clip"])
def test_models_with_parameters_outside_of_layers_are_trained(name, rule):
    """In the median of draws: how far 15 steps lead from one start is luck.

    Of 40 draws of the second model, the median of what is left of the loss was 0.23 (quadratic) and 0.34 (clip) while
    its shared weight and its gain had a diagonal, and 0.14 and 0.42 since they are layers; single draws went either way
    by a factor of three.
    """
    predict, shapes, inputs, layers = MODELS[name]
    objective = q.Objective(predict, optax.softmax_cross_entropy_with_integer_labels)
    step = q.KLClip(clip=0.01) if rule == "clip" else q.QuadraticModel()
    optimizer = q.kfac(objective, step=step, example=jax.ShapeDtypeStruct(inputs, jnp.float32))

    @jax.jit
    def train(params, state: Any, batch):
        def body(carry: Any, _):
            params, state = carry
            loss, gradients = jax.value_and_grad(objective)(params, batch)
            after: Any
            updates, after = optimizer.update(gradients, state, params, batch=batch)
            return (optax.apply_updates(params, updates), after), (loss, after.info.status)

        return jax.lax.scan(body, (params, state), None, length=15)[1]

    left = []
    for seed in range(4, 13):
        rng = np.random.default_rng(seed)
        params = {k: jnp.asarray(rng.standard_normal(s) * 0.5, jnp.float32) for k, s in shapes.items()}
        batch = jnp.asarray(rng.standard_normal(inputs), jnp.float32), jnp.asarray(rng.integers(0, 3, inputs[0]))
        state = start(optimizer, params)
        assert len(state.factors.inputs) == layers
        losses, status = train(params, state, batch)
        np.testing.assert_array_equal(status, Status.OK)
        left.append(losses[-1] / losses[0])
    assert np.median(left) < 0.6


def test_clip_and_momentum_by_hand(x64):
    objective = q.Objective(lambda p, x: x @ p, squares)
    params, batch = jnp.array([[2.0]]), (jnp.array([[1.0]]), jnp.array([[0.0]]))
    rule = q.KLClip(rate=0.5, momentum=0.9, clip=0.01, damping=1e-12)
    optimizer = q.kfac(objective, step=rule)
    update = jax.jit(lambda g, state: optimizer.update(g, state, params, batch=batch))
    first, state = update(jnp.array([[2.0]]), start(optimizer, params))
    # d = g = 2, so rate^2 d.g = 1 and the factor is 0.1.
    np.testing.assert_allclose(first, [[-0.1]], rtol=1e-4)
    second, state = update(jnp.array([[0.1]]), state)
    np.testing.assert_allclose(second, [[0.9 * -0.1 - 0.5 * 0.1]], rtol=1e-4)
    # The whole step is shortened, with its momentum.
    third, state = update(jnp.array([[2.0]]), state)
    np.testing.assert_allclose(third, 0.1 * (0.9 * second - 0.5 * 2.0), rtol=1e-4)
    np.testing.assert_allclose((state.info.learning_rate, state.info.momentum), (0.05, 0.09), rtol=1e-4)
    assert np.isnan(state.info.reduction_ratio)


def test_the_key_reaches_the_model():
    def predict(p, x, key):
        return (x * jax.random.bernoulli(key, 0.5, x.shape)) @ p["w"]

    rng = np.random.default_rng(5)
    params = {"w": jnp.asarray(rng.standard_normal((3, 2)), jnp.float32)}
    x, y = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in ((8, 3), (8, 2)))
    batch = (x, y)
    objective = q.Objective(predict, squares)
    optimizer = q.kfac(objective)
    key = jax.random.key(3)
    updates, state = one_step(optimizer, objective, params, batch, key)
    after = objective(optax.apply_updates(params, updates), batch, key)
    np.testing.assert_allclose(state.info.loss - after, state.info.actual_decrease, rtol=1e-4)
    np.testing.assert_allclose(state.info.loss, objective(params, batch, key), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: q.kfac(o, refresh=0), "refresh is 0"),
        (lambda o: q.kfac(o, average=1.0), "average is 1.0"),
        (lambda o: q.kfac(o, probes=0), "probes is 0"),
        (lambda o: q.QuadraticModel(damping=0.0), "damping starts at 0.0"),
        (lambda o: q.QuadraticModel(shrink=1.5), "shrink is 1.5"),
        (lambda o: q.KLClip(rate=0.0), "rate is 0.0"),
        (lambda o: q.KLClip(damping=-1.0), "damping is -1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message, problem_of):
    with pytest.raises(ValueError, match=message):
        make(problem_of().objective)


def test_what_is_missing_is_asked_for(problem_of):
    problem = problem_of()
    optimizer = q.kfac(problem.objective)
    with pytest.raises(ValueError, match=r"needs update\(grads, state, params, batch"):
        optimizer.update(problem.params, start(optimizer, problem.params), problem.params)
    images = q.Objective(conv, squares)
    params = {k: jnp.ones(s) for k, s in MODELS["conv"][1].items()}
    with pytest.raises(TypeError, match="convolution requires") as raised:
        q.kfac(images).init(params)
    assert any("Pass example=inputs" in note for note in raised.value.__notes__)


def test_factors_that_no_parameter_changes_are_found_once_and_change_with_the_batch():
    rng = np.random.default_rng(5)
    params = {"w": jnp.asarray(rng.standard_normal((150, 3)) / 12, jnp.float32), "v": jnp.ones((3, 2))}
    objective = q.Objective(lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], squares)
    first, second = (
        tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((40, 150), (40, 2))) for _ in range(2)
    )
    optimizer, wide = q.kfac(objective, refresh=1, average=0.0), 1  # the leaves' order

    @jax.jit
    def step(params, state, batch):
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for batch in (first, first, second, second, first):
        params, state = step(params, state, batch)
        expected = np.asarray(batch[0], float).T @ np.asarray(batch[0], float) / 40
        np.testing.assert_allclose(state.factors.inputs[wide], expected, atol=1e-5)
    # A factor that is wrong but for the fingerprint stays, so nothing was computed.
    wrong = state._replace(factors=eqx.tree_at(lambda f: f.inputs[wide], state.factors, jnp.eye(150)))
    _, after = step(params, wrong, first)
    np.testing.assert_array_equal(after.factors.inputs[wide], np.eye(150))


def test_what_nobody_can_take_follows_the_gradient_and_says_so():
    """A count that holds up to a condition number, and layers beyond it."""
    layout = Layout(6, ((Piece(0, 3, 1),), (Piece(3, 3, 1),)))
    one, far = jnp.ones((1, 1)), jnp.diag(jnp.array([1.0, 1.0, 1e5]))
    factors = KroneckerFactors(layout, (jnp.eye(3), far), (one, one), jnp.zeros(0))
    alone = q.Hybrid([q.QLSA()], policy=q.scheduling.KappaThreshold(1e4))
    for solver, refused in ((alone, [Status.NO_CANDIDATE] * 2), (q.Hybrid([q.QLSA()]), [Status.OK] * 2)):
        systems = layer_systems(layout, jnp.float32, solver)
        solves, plans = systems.set_up(factors, jnp.float32(1e-8))
        solution, status = systems.solve(solves, jnp.arange(6.0))
        # Layers of equal shape are one group, with one choice by the worst of them.
        np.testing.assert_array_equal(status[:2], refused)
        assert (int(plans.plans[0].verdict[0]) == Verdict.NOBODY) == (refused[0] == Status.NO_CANDIDATE)
        if refused[0] == Status.NO_CANDIDATE:
            np.testing.assert_array_equal(solution, np.arange(6.0))
