"""`fisher_newton` against dense numpy, its invariance, its bookkeeping, and what it refuses."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as qn
from qnewton._core.status import Status
from qnewton._hardware import KernelTimes
from qnewton._optim.unit_fisher import units_of
from qnewton._optim.unit_solves import UNSEEN, UnitSystems
from qnewton._scheduling.families import scheduler_of, scheduler_of_many

DAMPING, MOMENTUM, AVERAGE, DECAY, RATE, BOUND = 0.2, 0.7, 0.6, 0.05, 0.1, 0.7


def predict(params: Any, x: Any) -> Any:
    return jnp.tanh(jnp.einsum("nti,oi->nto", x, params["a"]["weight"]) + params["a"]["bias"]) @ params["b"]


def loss(z: Any, y: Any) -> Any:
    targets, weights = y
    return jnp.sum((z - targets) ** 2, axis=-1), weights


def problem(dtype: Any, seed: int = 0) -> tuple[qn.Objective, Any, list]:
    """Sequences of positions, some of which do not count; one sequence in which only one does."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return jnp.asarray(rng.standard_normal(shape), dtype)

    params = {"a": {"weight": draw(4, 3), "bias": draw(4)}, "b": draw(4, 2)}

    def batch() -> Any:
        weights = (rng.random((6, 5)) < 0.6).astype(dtype)
        weights[0] = [1, 0, 0, 0, 0]
        return draw(6, 5, 3), (draw(6, 5, 2), jnp.asarray(weights))

    return qn.Objective(predict, loss, l2=0.01), params, [batch() for _ in range(5)]


def trained(optimizer: Any, objective: qn.Objective, params: Any, given: list) -> tuple[Any, Any, list]:
    traces, infos = [], []

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> Any:
        traces.append(1)
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for batch in given:
        params, state = step(params, state, batch)
        infos.append(state.info)
    assert len(traces) == 1
    return params, state, infos


def dense(objective: qn.Objective, params: Any, given: list, largest: int) -> Any:
    """The same training from gradients taken example by example, and `np.linalg.solve` for each unit."""
    leaves, structure = jax.tree.flatten(params)
    units = {"a": [(1, 4), (4, 3), (4, 2)], "b": [(4, 1), (12, 1), (4, 2)]}["a" if largest > 4 else "b"]
    bare = qn.Objective(objective.predict, objective.loss)
    gradient_of, each_of = jax.jit(jax.grad(objective)), jax.jit(jax.grad(bare))
    sizes = [leaf.size for leaf in leaves]
    past, weights = [np.zeros(size) for size in sizes], 0.0
    blocks = [np.zeros((count, size, size)) for count, size in units]
    at = [np.asarray(leaf, float) for leaf in leaves]
    solve_with, refreshes = blocks, 0
    for step, (x, (y, w)) in enumerate(given):
        tree = jax.tree.unflatten(structure, [jnp.asarray(leaf, x.dtype) for leaf in at])
        if step % 2 == 0:
            fresh = [np.zeros_like(block) for block in blocks]
            for n in range(len(x)):
                one = jax.tree.leaves(each_of(tree, (x[n : n + 1], (y[n : n + 1], w[n : n + 1]))))
                for k, leaf in enumerate(one):
                    rows = np.asarray(leaf, float).reshape(units[k])
                    share = float(np.sum(w[n]) / np.sum(w))
                    fresh[k] += share * np.stack([np.outer(row, row) for row in rows])
            weight = min(AVERAGE, refreshes / (refreshes + 1))
            blocks = [weight * old + (1 - weight) * new for old, new in zip(blocks, fresh, strict=True)]
            refreshes, solve_with = refreshes + 1, blocks
        gradient = jax.tree.leaves(gradient_of(tree, (x, (y, w))))
        past = [MOMENTUM * old + np.ravel(np.asarray(new, float)) for old, new in zip(past, gradient, strict=True)]
        weights = MOMENTUM * weights + 1
        for k, (count, size) in enumerate(units):
            mean = np.trace(solve_with[k], axis1=1, axis2=2) / size
            direction = np.stack(
                [
                    (1 + DAMPING)
                    * np.sqrt(mean[u])
                    * np.linalg.solve(
                        solve_with[k][u] + (DAMPING * mean[u] + UNSEEN * mean.mean()) * np.eye(size),
                        past[k].reshape(count, size)[u] / weights,
                    )
                    for u in range(count)
                ]
            )
            direction *= np.minimum(1, BOUND / np.sqrt(np.mean(direction**2, axis=1, keepdims=True)))
            at[k] = at[k] - RATE * (direction.reshape(at[k].shape) + DECAY * at[k])
    return jax.tree.unflatten(structure, at)


def made(objective: qn.Objective, **changed: Any) -> Any:
    settings = {
        "damping": DAMPING,
        "momentum": MOMENTUM,
        "average": AVERAGE,
        "weight_decay": DECAY,
        "refresh": 2,
        "bound": BOUND,
    }
    return qn.fisher_newton(objective, RATE, **settings | changed)


@pytest.mark.parametrize("largest", [256, 2])
def test_it_is_what_the_formula_says(dtype: Any, largest: int) -> None:
    objective, params, given = problem(dtype)
    found, _, infos = trained(made(objective, largest=largest), objective, params, given)
    expected = dense(objective, params, given, largest)
    tolerance = 1e-10 if dtype == jnp.float64 else 2e-4
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert [int(info.staleness) for info in infos] == [0, 1, 0, 1, 0]
    np.testing.assert_allclose(infos[0].loss, objective(params, given[0]), rtol=1e-5)
    assert all(bool(info.accepted) and not np.any(info.status) for info in infos)


def test_the_scale_of_the_loss_does_not_matter() -> None:
    """Without the factor, a loss a thousand times smaller would take steps a thousand times longer."""
    _, params, given = problem(jnp.float32)
    found = []
    for scale in (1.0, 1e-3):

        def scaled(z: Any, y: Any, scale: float = scale) -> Any:
            return scale * loss(z, y)[0], y[1]

        objective = qn.Objective(predict, scaled)
        found.append(trained(made(objective), objective, params, given)[0])
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_given_is_reported_and_not_found_again() -> None:
    objective, params, (batch, *_) = problem("float32")
    optimizer = qn.fisher_newton(objective)
    gradients, state = jax.grad(objective)(params, batch), optimizer.init(params)
    step, found = cast(Any, optimizer.update(gradients, state, params, batch=batch))
    same, given = cast(Any, optimizer.update(gradients, state, params, batch=batch, value=jnp.float32(7)))
    assert found.info.loss == objective(params, batch)
    assert given.info.loss == 7
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), same, step)))


def test_a_schedule_is_followed() -> None:
    objective, params, given = problem(jnp.float32)
    optimizer: Any = qn.fisher_newton(objective, lambda count: 0.1 * count)
    _, _, infos = trained(optimizer, objective, params, given[:3])
    np.testing.assert_allclose([info.learning_rate for info in infos], [0, 0.1, 0.2], rtol=1e-6)


def test_a_batch_that_is_not_finite_moves_nothing_and_is_forgotten() -> None:
    objective, params, given = problem(jnp.float32)
    optimizer = made(objective, refresh=1)
    x, y = given[1]
    broken = (x.at[0, 0].set(jnp.nan), y)
    one, state, infos = trained(optimizer, objective, params, [given[0], broken, given[2]])
    other, clean, _ = trained(optimizer, objective, params, [given[0], given[2]])
    assert not bool(infos[1].accepted)
    assert set(np.asarray(infos[1].status)) == {Status.NOT_FINITE}
    assert int(state.refreshes) == int(clean.refreshes) == 2
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, other)


BROKEN = (
    None,
    qn.Cholesky(),
    qn.Hybrid([qn.GaussJordan(), qn.QLSA()], policy=qn.scheduling.FixedCandidate("GaussJordan")),
)


@pytest.mark.parametrize("solver", BROKEN, ids=["default", "Cholesky", "named"])
def test_a_unit_without_gradient_stays_and_one_that_fails_is_scaled(solver: Any) -> None:
    broken = -jnp.eye(2)  # no second moment, but what rounding can make of one is indefinite too
    blocks = jnp.stack([jnp.zeros((2, 2)), jnp.eye(2), broken.at[0, 0].set(2.0)])
    scheduler = scheduler_of(solver, "test", scheduler_of_many)
    systems = UnitSystems.of([(3, 2), (1, 1), (1, 2)], scheduler, 3, jnp.dtype("float32"), 0.1)
    moments = [blocks, jnp.full((1, 1, 1), 4.0), jnp.zeros((1, 2, 2))]
    solves, _ = systems.set_up(moments)
    gradient = [jnp.ones((3, 2)), jnp.ones(()), jnp.ones(2)]
    (direction, single, nothing), status = systems.solve(solves, gradient, np.inf)
    np.testing.assert_allclose(direction[0], 0)
    np.testing.assert_allclose(direction[1], 1, rtol=1e-3)
    # `t` is 1/2, and the damping 0.1 / 2 and a trace of the tensor's mean, which is 1/2 as well.
    np.testing.assert_allclose(direction[2], 1.1 * np.sqrt(0.5) / (0.5 + 0.05 + UNSEEN * 0.5), rtol=1e-5)
    np.testing.assert_allclose(single, 1 / 2, rtol=1e-3)
    np.testing.assert_allclose(nothing, 0)
    assert solves.status.tolist() == status.tolist() == [Status.NOT_SOLVED, Status.OK, Status.OK]


def test_units_of_one_size_are_a_group_with_one_choice() -> None:
    objective, params, given = problem(jnp.float32)
    _, state, infos = trained(made(objective), objective, params, given[:1])
    # Units of 2 (four rows of `b`), of 3 (four rows of a weight) and of 4 (a bias).
    sizes = [plan.size.tolist() for plan in infos[0].systems]
    assert sizes == [[2, 4, 1, 2], [3, 4, 1, 2], [4, 1, 1, 2]]
    for plan in infos[0].systems:
        assert plan.offers.names[0] == "GaussJordan"
        assert not bool(plan.estimated)
        # Of tiny systems whoever sweeps over all at once is the fastest, also for the quantum solver at all its costs.
        assert plan.offers.names[int(plan.choice[0])] == "GaussJordan"
        assert bool(np.all(plan.offers.seconds[0, -1] > 1e3 * plan.offers.seconds[0, 0]))
    together = UnitSystems.of([(3, 2), (5, 2), (1, 1)], scheduler_of_many(), 1, jnp.dtype("float32"), 0.1)
    assert [(solver.group.rows, solver.group.count) for solver in together.solvers] == [(1, 1), (2, 8)]
    assert jax.tree.structure(state) == jax.tree.structure(made(objective).init(params))


# One second per operation: sweeps of 4 rows take 2 4^3 / 2 + 2 4^2 of them, CG 72 in one step, and how many is open.
ABACUS = qn.ClassicalMachine(
    "abacus", "float32", tuple((kernel, KernelTimes(0.0, 0.0, 1.0)) for kernel in ("cg", "gauss-jordan"))
)
ACTING = qn.Hybrid([qn.Inverse(), qn.Cholesky(), qn.LU(), qn.CG(), qn.QLSA()])
CHOSEN = {
    # What is iterated stops where the step bears it.
    "the paper's assumptions": (ACTING, 2e-2, [True, True, True]),
    "sweeps where the numbers decide": (
        qn.Hybrid([qn.GaussJordan(), qn.CG()], classical=ABACUS),
        1e-4,
        [False, False, True],
    ),
    "one": (qn.Cholesky(), 1e-4, [False, False, False]),
    "one that iterates": (qn.CG(1e-6), 1e-3, [False, False, False]),
}


@pytest.mark.parametrize(("solver", "tolerance", "estimated"), CHOSEN.values(), ids=CHOSEN.keys())
def test_whoever_solves_the_steps_are_the_same(solver: Any, tolerance: float, estimated: list) -> None:
    objective, params, given = problem(jnp.float32)
    expected, _, _ = trained(made(objective), objective, params, given[:3])
    optimizer = made(objective, solver=solver)

    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return (optax.apply_updates(params, updates), state), state.info

    batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *given[:3])
    (found, _), infos = jax.jit(lambda carry: jax.lax.scan(step, carry, batches))((params, optimizer.init(params)))
    assert not np.any(infos.status)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert [bool(np.all(plan.estimated)) for plan in infos.systems] == estimated
    if solver is not ACTING:
        assert all(np.all(plan.choice == 0) for plan in infos.systems)


@pytest.mark.parametrize(
    ("shape", "largest", "expected"),
    [
        ((5, 3), 8, (5, 3)),
        ((5, 2, 4), 8, (5, 8)),
        ((5, 9), 8, (45, 1)),
        ((8,), 8, (1, 8)),
        ((9,), 8, (9, 1)),
        ((), 8, (1, 1)),
    ],
)
def test_units(shape: tuple[int, ...], largest: int, expected: tuple[int, int]) -> None:
    assert units_of(shape, largest) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0: it must be positive"),
        ({"damping": 0.0}, "damping is 0.0: blocks of few examples are singular"),
        ({"momentum": 1.0}, "momentum is 1.0: the weight of the past must be in"),
        ({"average": -0.1}, "average is -0.1: the weight of the past must be in"),
        ({"bound": 0.0}, "bound is 0.0: the largest root mean square"),
        ({"refresh": 0}, "refresh is 0: steps between two refreshes"),
        ({"largest": 1.5}, "largest is 1.5: most parameters of a block"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0: it must be finite"),
    ],
)
def test_settings_out_of_range_name_themselves(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qn.fisher_newton(problem(jnp.float32)[0], **settings)


def test_half_precision_is_solved_in_single() -> None:
    objective = qn.Objective(lambda w, x: x @ w, lambda z, y: jnp.sum((z - y) ** 2, -1))
    optimizer: Any = qn.fisher_newton(objective)
    steps = []
    for dtype in (jnp.bfloat16, jnp.float32):
        params, batch = jnp.ones((4, 2), dtype), (jnp.ones((3, 4), dtype), jnp.zeros((3, 2), dtype))
        step, state = optimizer.update(jax.grad(objective)(params, batch), optimizer.init(params), params, batch=batch)
        assert step.dtype == dtype
        assert state.info.systems[0].offers.seconds.dtype == jnp.float32
        steps.append(np.asarray(step, np.float32))
    np.testing.assert_allclose(steps[0], steps[1], rtol=0.1)


def test_a_solver_of_ours_is_needed() -> None:
    with pytest.raises(TypeError, match="fisher_newton: solver"):
        qn.fisher_newton(problem(jnp.float32)[0], solver=cast(Any, "CG"))


def test_a_batch_is_needed() -> None:
    objective, params, _ = problem(jnp.float32)
    optimizer: Any = qn.fisher_newton(objective)
    with pytest.raises(ValueError, match="fisher_newton needs update"):
        optimizer.update(params, optimizer.init(params), params)
