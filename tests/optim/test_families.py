"""One optimizer: which family it chooses, on what grounds, and what it does with batches that change."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton._curvature.loss_scale import LossScale
from qnewton._optim.family import Family
from qnewton._optim.kept_families import WINDOW, Watch
from qnewton._optim.kfac_steps import affordable
from qnewton._optim.layer_structure import layers_and_layout, program_of_inputs
from qnewton._optim.new_batches import Reached

from .conftest import squares


def network(sizes: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(0)
    return [
        {"w": jnp.asarray(rng.standard_normal((a, b)) / a**0.5, jnp.float32), "b": jnp.zeros(b)}
        for a, b in itertools.pairwise(sizes)
    ]


def predict(params: Any, x: jax.Array) -> jax.Array:
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def coupled(params: Any, x: jax.Array) -> jax.Array:
    z = predict(params, x)
    return z - jnp.mean(z, axis=0)


def gains(params: Any, x: jax.Array) -> jax.Array:
    """Most parameters outside of layers."""
    return jnp.tanh(x @ params["w"]) * jnp.sum(jnp.sin(params["gains"]))


def batch(examples: int, inputs: int, outputs: int, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.standard_normal((examples, n)), jnp.float32) for n in (inputs, outputs))


REGRESSION = q.Objective(predict, squares)
CLASSES = q.Objective(predict, optax.softmax_cross_entropy)
FIT, NET = network((3, 4, 2)), network((6, 16, 8, 3))
GAINS = {"w": jnp.ones((4, 3)) / 2, "gains": jnp.linspace(0.1, 0.2, 120)}

CHOICES = {
    "a fit without an example": (REGRESSION, FIT, None, None, "dual", "at most 100 parameters"),
    "a fit": (REGRESSION, FIT, batch(200, 3, 2), None, "dual", "a fit of squares"),
    "few residuals": (REGRESSION, NET, batch(20, 6, 3), None, "dual", "60 residuals"),
    "few residuals of a part": (REGRESSION, NET, batch(20, 6, 3), True, "kfac", "60 residuals"),
    "few of a classifier": (CLASSES, NET, batch(20, 6, 3), None, "kfac", "60 residuals"),
    "few of a classifier, all of them": (CLASSES, NET, batch(20, 6, 3), False, "dual", "60 residuals"),
    "many residuals": (REGRESSION, NET, batch(500, 6, 3), None, "kfac", "1500 residuals"),
    "a network without an example": (REGRESSION, NET, None, None, "kfac", "without an example nothing else is known"),
    "examples that influence each other": (
        q.Objective(coupled, squares), NET, batch(500, 6, 3), None, "blocks", "influence each other",
    ),
    "parameters outside of layers": (
        q.Objective(gains, squares), GAINS, batch(500, 4, 3), None, "blocks", "only 9% of the parameters",
    ),
    "no curvature": (
        q.Objective(predict, lambda z, t: jnp.sum(jnp.abs(z - t), axis=-1)), NET, batch(50, 6, 3), None, "blocks",
        "no curvature in the outputs",
    ),
    "no curvature, of a part": (
        q.Objective(predict, lambda z, t: jnp.sum(jnp.abs(z - t), axis=-1)), NET, batch(50, 6, 3), True, "fisher",
        "no curvature in the outputs",
    ),
    "a layer too large": (
        REGRESSION, network((5000, 2, 2)), batch(20_000, 5000, 2), None, "fisher", "more than 4096",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOICES.values(), ids=list(CHOICES))
def test_the_family_is_chosen_by_shapes_and_says_why(case: Any) -> None:
    objective, params, example, minibatch, family, because = case
    if example is not None and example[0].size > 1e6:
        example = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), example)
    init = q.newton(objective, example=example, minibatch=minibatch).init
    # Only where a program does not show whether examples influence each other are numbers read.
    state: Any = init(params) if "influence" in because else jax.eval_shape(init, params)
    assert state.info.family == family
    assert because in state.info.because


@pytest.mark.parametrize("rows", [50, 4], ids=["many", "few"])
def test_labels_may_be_shapes_too(rows: int) -> None:
    """Of an example that is shapes no label has a value that could be out of range."""
    objective = q.Objective(predict, optax.softmax_cross_entropy_with_integer_labels)
    example = jax.ShapeDtypeStruct((rows, 6), jnp.float32), jax.ShapeDtypeStruct((rows,), jnp.int32)
    numbers = jnp.ones((rows, 6)), jnp.zeros(rows, jnp.int32)
    made: list[Any] = [q.newton(objective, example=one).init(NET) for one in (example, numbers)]
    chosen = [state.info for state in made]
    assert chosen[0].family == chosen[1].family
    assert chosen[0].because == chosen[1].because
    for family in Family:
        named: Any = q.newton(objective, example=example, family=str(family)).init(NET)
        assert named.info.family == family
    preset: Any = q.recipe(objective, NET, example).init(NET)
    assert preset.info.family == chosen[0].family
    assert q.memory_estimate(objective, NET, example).peak_bytes > 0


@pytest.mark.parametrize("family", list(Family))
def test_a_family_that_is_named_is_taken_and_keeps_its_structure_in_a_scan(family: Family) -> None:
    optimizer, data = q.newton(REGRESSION, family=str(family), example=batch(40, 6, 3)), batch(40, 6, 3)

    def step(carry: Any, _: None) -> Any:
        params, state = carry
        loss, gradients = jax.value_and_grad(REGRESSION)(params, data)
        updates, state = optimizer.update(gradients, state, params, batch=data)
        return (optax.apply_updates(params, updates), state), loss

    first = optimizer.init(NET)
    (_, state), losses = jax.jit(lambda: jax.lax.scan(step, (NET, first), None, length=8))()
    assert state.info.family == family
    assert state.info.because == ""
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"family": "lbfgs"}, "unknown family 'lbfgs'. Valid: blocks, dual, fisher, kfac"),
        ({"family": "kfac", "clip": 0.5}, "newton got family='kfac' and clip=0.5, which that family does not read"),
        ({"family": "dual", "weight_decay": 0.1}, "call qnewton.dual_newton, which has arguments of its own"),
    ],
)
def test_what_is_no_family_or_another_ones_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        q.newton(REGRESSION, **given)


def test_arguments_of_blocks_and_a_solver_name_that_family() -> None:
    alone: Any = ({"learning_rate": 0.5}, {"curvature": q.Hessian()}, {"solver": q.LU()}, {"refresh": 2})
    for given in alone:
        state = jax.eval_shape(q.newton(REGRESSION, **given).init, NET)
        assert (state.info.family, state.info.because) == ("blocks", "")


def trained(optimizer: Any, objective: q.Objective, batches: list[Any], params: Any = NET) -> Any:
    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> Any:
        gradients = jax.grad(objective)(params, batch)
        updates, state = optimizer.update(gradients, state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    infos, state = [], optimizer.init(params)
    for one in batches:
        params, state = step(params, state, one)
        infos.append(jax.device_get(state.info))
    return params, infos


def test_a_new_batch_is_noticed_and_the_same_one_is_not() -> None:
    same, parts = [batch(64, 6, 3)] * 12, [batch(64, 6, 3, seed) for seed in range(12)]
    _, calm = trained(q.newton(CLASSES), CLASSES, [(x, jax.nn.softmax(y)) for x, y in same])
    assert not any(info.noisy for info in calm)
    assert all(np.isfinite(info.reduction_ratio) for info in calm)
    _, noisy = trained(q.newton(CLASSES), CLASSES, [(x, jax.nn.softmax(y)) for x, y in parts])
    assert [bool(info.noisy) for info in noisy] == [False] + [True] * 11
    # From there on as `KLClip` does: no trial, refreshed at once and then every ten steps.
    assert all(np.isnan(info.reduction_ratio) for info in noisy[1:])
    assert [int(info.staleness) for info in noisy[1:]] == [*range(10), 0]


def test_noise_that_is_told_takes_the_steps_of_its_preset() -> None:
    parts = [(x, jax.nn.softmax(y)) for x, y in (batch(64, 6, 3, seed) for seed in range(6))]
    told, _ = trained(q.newton(CLASSES, minibatch=True), CLASSES, parts)
    preset = q.kfac(CLASSES, step=q.KLClip(), refresh=10, average=0.8)
    named, _ = trained(preset, CLASSES, parts)
    for one, other in zip(jax.tree.leaves(told), jax.tree.leaves(named), strict=True):
        np.testing.assert_array_equal(one, other)


MANY, FEW = batch(500, 6, 3), batch(20, 6, 3)
PRESETS = {
    "kfac": (q.newton(REGRESSION), q.kfac(REGRESSION), MANY),
    "dual": (q.newton(REGRESSION, example=FEW), q.dual_newton(REGRESSION), FEW),
    "recipe of many": (q.recipe(REGRESSION, NET, MANY), q.kfac(REGRESSION), MANY),
    "recipe of few": (q.recipe(REGRESSION, NET, FEW), q.dual_newton(REGRESSION), FEW),
}


@pytest.mark.parametrize("case", PRESETS.values(), ids=list(PRESETS))
def test_on_one_batch_steps_are_those_of_the_presets(case: Any) -> None:
    made, preset, data = case
    ours, theirs = (trained(one, REGRESSION, [data] * 10)[1] for one in (made, preset))
    np.testing.assert_allclose([i.loss for i in ours], [i.loss for i in theirs], rtol=1e-5)


def test_rounding_to_sixteen_bits_is_no_new_batch() -> None:
    unit, rounding = LossScale(jnp.float32(1), jnp.float32(0)), float(jnp.finfo(jnp.bfloat16).eps)
    reached = Reached(jnp.float32(2.0), jnp.zeros((), bool))
    for loss, new in ((2.0, False), (1.9, False), (1.5, True), (np.nan, False)):
        assert bool(reached.compared(jnp.float32(loss), unit, rounding).noisy) == new


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_rounding_is_no_new_batch_whatever_the_unit(scale: float) -> None:
    unit = LossScale(jnp.float32(scale), jnp.float32(0))
    reached = Reached(jnp.float32(2.0 * scale), jnp.zeros((), bool))
    for loss, new in ((2.0, False), (2.00005, False), (2.01, True), (np.nan, False)):
        assert bool(reached.compared(jnp.float32(loss * scale), unit).noisy) == new
    near_zero = Reached(jnp.float32(1e-9 * scale), jnp.zeros((), bool))
    assert not bool(near_zero.compared(jnp.float32(2e-9 * scale), unit).noisy)


def test_wide_layers_are_refreshed_less_often() -> None:
    found = []
    for sizes in ((6, 16, 8, 3), (400, 16, 8, 3), (2000, 4, 3)):
        params = network(sizes)
        _, layout = layers_and_layout(program_of_inputs(REGRESSION, params, None), params)
        found.append(affordable(layout))
    assert found[0] == 5
    assert found[0] < found[1] <= found[2] == 20


def test_a_wrong_family_is_corrected_late_and_the_record_says_so() -> None:
    """The unit Fisher's short steps against what fits a smooth function in a few dozen."""
    data, steps = batch(20, 6, 3), 110
    optimizer: Any = q.newton(REGRESSION, family=("fisher", "dual"), example=data)

    def step(carry: Any, _: None) -> Any:
        params, state = carry
        gradients = jax.grad(REGRESSION)(params, data)
        updates, state = optimizer.update(gradients, state, params, batch=data)
        return (optax.apply_updates(params, updates), state), state.info

    _, found = jax.jit(lambda: jax.lax.scan(step, (NET, optimizer.init(NET)), None, length=steps))()
    info: Any = found
    acting, loss = np.asarray(info.acting), np.asarray(info.loss)
    turns = np.flatnonzero(np.diff(acting))
    # Once, after three windows; the trial is said, and so is that it stayed.
    assert turns.tolist() == [3 * WINDOW]
    assert np.flatnonzero(info.trying).tolist() == list(range(turns[0] + 1, turns[0] + 1 + WINDOW + 1))
    assert info.corrections[-1] == 1
    assert loss[-1] < 1e-3 * loss[turns[0]]
    assert info.families == ("fisher", "dual")


def test_a_right_family_comes_back_from_a_trial_and_waits_longer() -> None:
    watch, acting = Watch.start(jnp.dtype("float32")), []
    loss = 1.0
    after = jax.jit(lambda watch, loss: watch.after(loss, 2))
    for _ in range(300):
        acting.append(int(watch.acting))
        watch = after(watch, jnp.float32(loss))
        # The first family takes a hundredth off the loss in each step, the second one a thousandth.
        loss *= 0.99 if acting[-1] == 0 else 0.999
    trials = np.flatnonzero(np.diff(acting) == 1)
    assert watch.corrections == 0
    assert np.sum(acting) == WINDOW * len(trials) + len(trials)
    assert len(trials) == 2
    assert trials[1] - trials[0] > 1.8 * trials[0]


def test_losses_that_are_not_finite_end_no_window() -> None:
    watch = Watch.start(jnp.dtype("float32"))
    for _ in range(3 * WINDOW):
        watch = watch.after(jnp.float32(np.nan), 3)
    assert int(watch.acting) == 0


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
def test_penalties_weights_and_refused_steps_are_no_new_batch(double: bool, request: pytest.FixtureRequest) -> None:
    if double:
        request.getfixturevalue("x64")
    dtype = jnp.float64 if double else jnp.float32
    x, y = (leaf.astype(dtype) for leaf in batch(64, 6, 3))
    params = jax.tree.map(lambda leaf: 3 * leaf.astype(dtype), NET)
    weights = jnp.linspace(0.1, 2.0, 64, dtype=dtype)

    def loss(z: jax.Array, targets: Any) -> Any:
        return squares(z, targets[0]), targets[1]

    objective = q.Objective(predict, loss, l2=1e-2)
    _, infos = trained(q.newton(objective, family="kfac"), objective, [(x, (y, weights))] * 25, params)
    assert not any(info.noisy for info in infos)


def test_dropout_on_one_batch_is_noise() -> None:
    def dropping(params: Any, x: jax.Array, key: jax.Array) -> jax.Array:
        return predict(params, x * jax.random.bernoulli(key, 0.5, x.shape))

    objective, data = q.Objective(dropping, squares), batch(64, 6, 3)
    optimizer: Any = q.newton(objective, family="kfac", example=data)
    params, state, found = NET, optimizer.init(NET), []
    step = jax.jit(lambda p, s, k: optimizer.update(jax.grad(objective)(p, data, k), s, p, batch=data, key=k))
    for seed in range(4):
        updates, state = step(params, state, jax.random.key(seed))
        params = optax.apply_updates(params, updates)
        found.append(bool(state.info.noisy))
    assert found == [False, True, True, True]


def test_a_solver_is_for_every_family_that_is_kept() -> None:
    kept: Any = q.newton(REGRESSION, family=("blocks", "kfac"), solver=q.Cholesky(), example=batch(40, 6, 3))
    infos = jax.eval_shape(kept.init, NET).info.infos
    assert infos[1].packed.candidates == ("Cholesky",)
    text = str(jax.make_jaxpr(lambda s: kept.update(NET, s, NET, batch=batch(40, 6, 3))[0])(kept.init(NET)))
    assert "cholesky" in text


@pytest.mark.parametrize("family", ["dual", "kfac"])
def test_a_step_can_be_differentiated_and_taken_for_an_ensemble(family: str, x64: None) -> None:
    """Central differences know nothing of how the step is compiled."""
    data = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), batch(30, 3, 2))
    start = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), network((3, 4, 2)))
    optimizer: Any = q.newton(REGRESSION, family=family, example=data)

    def after(scale: jax.Array) -> jax.Array:
        params = jax.tree.map(lambda leaf: scale * leaf, start)
        gradients = jax.grad(REGRESSION)(params, data)
        updates, _ = optimizer.update(gradients, optimizer.init(params), params, batch=data)
        return REGRESSION(optax.apply_updates(params, updates), data)

    compiled, one, small = jax.jit(after), jnp.ones(()), 1e-5
    expected = (compiled(one + small) - compiled(one - small)) / (2 * small)
    np.testing.assert_allclose(jax.jit(jax.grad(after))(one), expected, rtol=1e-4)
    both = jax.jit(jax.vmap(after))(jnp.array([1.0, 1.1]))
    np.testing.assert_allclose(both, [compiled(one), compiled(1.1 * one)], rtol=1e-8)
