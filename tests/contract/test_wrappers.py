"""Whatever optax's wrappers and the usual ways of saving do to optax.adam, they do to every optimizer of ours."""

import copy
import io
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import PyTree

import qnewton as q

from .optimizers import OPTIMIZERS, batch, objective, params, predict, trained

NAMES = tuple(OPTIMIZERS)
OWN = objective()
DATA, START = batch(), params()
MASK = {"hidden": {"b": False, "w": True}, "out": {"w": True}}
FROZEN = "hidden.b"


def made(name: str) -> Any:
    return OPTIMIZERS[name](OWN, DATA)


def step_of(optimizer: Any, own: q.Objective = OWN, **extra: Any) -> Callable[[PyTree, Any], tuple[PyTree, Any]]:
    @jax.jit
    def step(now: PyTree, state: Any) -> tuple[PyTree, Any]:
        updates, state = optimizer.update(jax.grad(own)(now, DATA), state, now, batch=DATA, **extra)
        return optax.apply_updates(now, updates), state

    return step


def same(left: PyTree, right: PyTree) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- optax.tree.map_params


def marks(optimizer: Any, state: Any) -> PyTree:
    return optax.tree.map_params(
        optimizer, lambda leaf: "like params", state, transform_non_params=lambda leaf: "other"
    )


@pytest.mark.parametrize("name", NAMES)
def test_map_params_maps_what_is_laid_out_as_the_parameters_are(name: str) -> None:
    optimizer = made(name)
    state = optimizer.init(START)
    same(optax.tree.map_params(optimizer, lambda leaf: leaf, state), state)
    found = marks(optimizer, state)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    like = [leaf for leaf in jax.tree.leaves(found) if leaf == "like params"]
    # Of all families one alone keeps a tree of the parameters' own form, as Adam keeps two.
    assert len(like) == (len(jax.tree.leaves(START)) if "fisher" in name else 0)


def test_map_params_reaches_through_wrappers_and_needs_an_init() -> None:
    def of(rate: Any) -> Any:
        return q.fisher_newton(OWN, rate)

    for optimizer in (
        optax.inject_hyperparams(of)(rate=0.1),
        optax.MultiSteps(of(0.1), 2),
        optax.chain(optax.clip(1.0), optax.apply_if_finite(of(0.1), 3)),
        optax.partition({True: of(0.1), False: optax.set_to_zero()}, MASK),
    ):
        state = optimizer.init(START)
        found = marks(optimizer, state)
        assert jax.tree.structure(found) == jax.tree.structure(state)
        assert "like params" in jax.tree.leaves(found)
    unseen = q.Objective(predict, OWN.loss)
    with pytest.raises(
        ValueError, match=r"kfac: how its state is laid out is decided by init\(params\), which was not"
    ):
        optax.tree.map_params(q.kfac(unseen), lambda leaf: leaf, made("kfac").init(START))


# ---- optax.inject_hyperparams


def with_l2(make: Callable[[q.Objective], Any]) -> Callable[..., Any]:
    return lambda l2: make(q.Objective(predict, OWN.loss, l2=l2))


NUMBERS: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "fisher": (
        lambda **given: q.fisher_newton(OWN, **given),
        {"learning_rate": 0.1, "damping": 0.2, "momentum": 0.8, "average": 0.7, "bound": 0.9, "weight_decay": 0.02},
    ),
    "dual": (lambda **given: q.dual_newton(OWN, **given), {"damping": 0.2, "acceleration": 0.5}),
    "kfac": (
        lambda average, damping: q.kfac(OWN, average=average, step=q.QuadraticModel(damping=damping)),
        {"average": 0.7, "damping": 0.1},
    ),
    "clip": (
        lambda **given: q.kfac(OWN, step=q.KLClip(**given)),
        {"rate": 0.2, "momentum": 0.5, "clip": 0.01, "damping": 0.1},
    ),
    "blocks": (
        lambda learning_rate, clip, weight_decay, residual_tolerance, relative: q.newton(
            OWN,
            learning_rate,
            solver=q.Cholesky(),
            clip=clip,
            weight_decay=weight_decay,
            residual_tolerance=residual_tolerance,
            conditioning=(q.Damp(relative),),
        ),
        {
            "learning_rate": 0.5,
            "clip": 0.3,
            "weight_decay": 0.01,
            "residual_tolerance": 0.2,
            "relative": 0.3,
        },
    ),
    "l2-blocks": (with_l2(lambda own: q.newton(own, solver=q.CG())), {"l2": 0.01}),
    "l2-dual": (with_l2(q.dual_newton), {"l2": 0.01}),
    "l2-kfac": (with_l2(q.kfac), {"l2": 0.01}),
}


@pytest.mark.parametrize("row", NUMBERS)
def test_injected_numbers_are_those_that_are_given(row: str) -> None:
    make, numbers = NUMBERS[row]

    def factory(**given: Any) -> Any:
        return make(**given)

    # Signatures say what is injected; these factories take anything.
    schedules = {name: optax.constant_schedule(value) for name, value in numbers.items()}
    text = f"lambda {', '.join(numbers)}: factory({', '.join(f'{name}={name}' for name in numbers)})"
    injected = optax.inject_hyperparams(eval(text, {"factory": factory}))(**schedules)
    assert jax.tree.structure(jax.eval_shape(injected.init, START)) == jax.tree.structure(injected.init(START))
    found, state = trained(injected, OWN, START, DATA, 2)
    expected, plain = trained(make(**numbers), OWN, START, DATA, 2)
    # A number that is traced is divided by, where one that is known may be multiplied with.
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(plain)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda count: q.kfac(OWN, probes=count), "kfac: probes"),
        (lambda count: q.dual_newton(OWN, sample=count), "dual_newton: sample"),
        (lambda count: q.fisher_newton(OWN, largest=count), "fisher_newton: largest"),
        (lambda count: q.newton(OWN, refresh=count, solver=q.LU()), "newton: refresh"),
    ],
)
def test_what_decides_the_program_is_named(make: Callable[..., Any], said: str) -> None:
    injected = optax.inject_hyperparams(make)(count=3)
    state = injected.init(START)
    with pytest.raises(TypeError, match=f"{said} is traced, and decides what is compiled: give a number"):
        step_of(injected)(START, state)


# ---- Masks


@pytest.mark.parametrize("name", NAMES)
def test_what_a_mask_hides_is_frozen(name: str) -> None:
    trainable, merge = q.freeze(START, FROZEN)
    own = q.Objective(lambda some, x: predict(merge(some), x), OWN.loss)
    make = OPTIMIZERS[name] if name != "recipe" else lambda own, data: q.recipe(own, trainable, data)
    expected, _ = trained(make(own, DATA), own, trainable, DATA, 2)
    masked = optax.partition({True: made(name), False: optax.set_to_zero()}, MASK)
    found, _ = trained(q.optim.with_all_params(masked), OWN, START, DATA, 2)
    same(found, merge(expected))


def test_hidden_parameters_may_move_and_are_given_by_hand() -> None:
    labels = {"hidden": {"b": "b", "w": "a"}, "out": {"w": "a"}}
    optimizer = optax.partition({"a": made("newton-cholesky"), "b": optax.sgd(0.1)}, labels)
    outside = q.optim.with_all_params(optimizer)
    now, state = START, outside.init(START)
    gradients = jax.grad(OWN)(now, DATA)
    by_hand, _ = optimizer.update(gradients, optimizer.init(START), now, batch=DATA, all_params=now)
    updates: Any
    updates, state = outside.update(gradients, state, now, batch=DATA)
    same(updates, by_hand)
    np.testing.assert_array_equal(updates["hidden"]["b"], -jnp.float32(0.1) * gradients["hidden"]["b"])
    same(optax.tree.map_params(outside, lambda leaf: leaf, state), state)


@pytest.mark.parametrize("name", ["newton-cholesky", "newton-example", "kfac", "dual_newton", "fisher_newton"])
def test_a_mask_that_hides_what_the_model_needs_is_named(name: str) -> None:
    optimizer = optax.masked(made(name), MASK)
    with pytest.raises(ValueError, match=r"a mask hides the parameters hidden\.b, and the model does not run without"):
        optimizer.update(jax.grad(OWN)(START, DATA), optimizer.init(START), START, batch=DATA)


def test_a_label_without_parameters_has_nothing_to_do() -> None:
    labels = jax.tree.map(lambda leaf: "all", START)
    optimizer = optax.partition({"all": optax.adam(0.1), "none": made("kfac")}, labels)
    expected, _ = optax.adam(0.1).update(START, optax.adam(0.1).init(START))
    updates, _ = optimizer.update(START, optimizer.init(START), START, batch=DATA)
    same(updates, expected)


def test_freezing_ways_of_optax() -> None:
    hidden = jax.tree.map(lambda kept: not kept, MASK)
    selective = q.optim.with_all_params(optax.selective_transform(made("newton-cg"), freeze_mask=hidden))
    frozen = optax.chain(made("newton-cg"), optax.freeze(hidden))
    for optimizer in (selective, frozen):
        now, _ = trained(optimizer, OWN, START, DATA, 2)
        np.testing.assert_array_equal(now["hidden"]["b"], START["hidden"]["b"])
        assert float(OWN(now, DATA)) < float(OWN(START, DATA))


# ---- Updates that are changed after they left

TRIED = (
    "newton-cholesky",
    "newton-cg",
    "newton-layers",
    "newton-model",
    "kfac",
    "kfac-clip",
    "newton-kfac",
    "dual_newton",
)


@pytest.mark.parametrize("name", TRIED)
def test_a_changed_update_is_noticed_and_an_unchanged_one_is_not(name: str) -> None:
    step = step_of(made(name))
    now, before, state = START, START, made(name).init(START)
    for _ in range(3):
        before = now
        now, state = step(now, state)
        assert not bool(state.info.altered)
        assert np.isnan(state.info.applied_ratio)
    # As a clip, decayed weights or a factor behind it would leave them; and as rounding does.
    half = jax.tree.map(lambda old, new: (old + new) / 2, before, now)
    clipped = jax.tree.map(
        lambda old, new: old + jnp.clip(new - old, -0.5 * (s := jnp.std(new - old)), 0.5 * s), before, now
    )
    decayed = jax.tree.map(lambda leaf: 0.99 * leaf, now)
    rounded = jax.tree.map(lambda leaf: jnp.nextafter(leaf, jnp.inf), now)
    for other, altered in ((half, True), (clipped, True), (decayed, True), (rounded, False)):
        assert bool(step(other, state)[1].info.altered) == altered


def test_rounding_to_sixteen_bits_is_no_change() -> None:
    start, data = params(jnp.bfloat16), batch(jnp.bfloat16)
    optimizer = OPTIMIZERS["dual_newton"](OWN, data)
    now, state = start, optimizer.init(start)
    step = jax.jit(lambda now, state: optimizer.update(jax.grad(OWN)(now, data), state, now, batch=data))
    for _ in range(4):
        updates, state = step(now, state)
        assert not bool(state.info.altered)
        now = optax.apply_updates(now, updates)
    assert bool(step(jax.tree.map(lambda leaf: leaf / 2, now), state)[1].info.altered)


@pytest.mark.parametrize("name", ["newton-cholesky", "newton-model", "kfac"])
def test_the_ratio_is_that_of_the_step_that_was_taken(name: str) -> None:
    """Of a quadratic loss each model is exact but for its damping, at any length of the step."""
    draws = np.random.default_rng(3)
    x = jnp.asarray(draws.normal(size=(12, 3)), jnp.float32)
    data = x, x @ jnp.asarray(draws.normal(size=(3, 1)), jnp.float32)
    own = q.Objective(lambda w, x: x @ w, lambda z, y: jnp.sum((z - y) ** 2, -1))
    optimizer = optax.chain(OPTIMIZERS[name](own, data), optax.scale(0.5))

    @jax.jit
    def step(now: PyTree, state: Any) -> tuple[PyTree, Any]:
        updates, state = optimizer.update(jax.grad(own)(now, data), state, now, batch=data)
        return optax.apply_updates(now, updates), state

    now, state = jnp.zeros((3, 1)), optimizer.init(jnp.zeros((3, 1)))
    scales = []
    for k in range(4):
        now, state = step(now, state)
        info = state[0].info
        assert bool(info.altered) == (k > 0)
        scales.append(float(state[0].damping if name == "kfac" else state[0].damping_scale))
        if k and name == "newton-cholesky":
            # Half of a step has three quarters of its decrease, for which its own model is not to blame.
            np.testing.assert_allclose(info.applied_ratio, 1, atol=1e-2)
        elif k:
            assert info.applied_ratio > 0.9
    assert scales == sorted(scales, reverse=True)


def test_a_changed_update_is_no_new_batch_and_new_batches_are_seen_all_the_same() -> None:
    """Both leave the parameters at another loss than the trial's; `newton` changes its rule for the second alone."""
    optimizer = optax.chain(made("newton-kfac"), optax.scale(0.5))
    step = jax.jit(lambda now, state, data: optimizer.update(jax.grad(OWN)(now, data), state, now, batch=data))
    now, state = START, optimizer.init(START)
    for _ in range(4):
        updates, state = step(now, state, DATA)
        now = optax.apply_updates(now, updates)
        assert not bool(state[0].info.noisy)
    other = DATA[0] + 1, DATA[1]
    for data in (other, DATA):
        updates, state = step(now, state, data)
    assert bool(state[0].info.noisy)


# Each as a user would write it, around any optimizer; what drops arguments stands inside of `with_all_params`.
AROUND: dict[str, Callable[[Any], Any]] = {
    "scaled": lambda own: optax.chain(own, optax.scale(0.5)),
    "clipped": lambda own: optax.chain(own, optax.clip_by_global_norm(0.1)),
    "decayed": lambda own: optax.chain(
        own, optax.add_decayed_weights(1e-3), optax.scale_by_schedule(lambda count: 0.9)
    ),
    "plateau": lambda own: optax.chain(own, optax.contrib.reduce_on_plateau(patience=2)),
    "finite": lambda own: optax.apply_if_finite(own, 3),
    "several": lambda own: optax.MultiSteps(own, 2),
    "several, skipping": lambda own: optax.MultiSteps(own, 2, should_skip_update_fn=optax.skip_not_finite),
    "conditional": lambda own: optax.conditionally_mask(own, lambda step, **_: jnp.asarray(step != 1)),
    "transformed": lambda own: optax.conditionally_transform(own, lambda step, **_: jnp.asarray(step != 1)),
    "named": lambda own: optax.named_chain(("first", optax.clip(1.0)), ("own", own)),
    "every": lambda own: optax.chain(own, optax.apply_every(2)),
    "averaged": lambda own: optax.chain(own, optax.ema(0.5), optax.trace(0.1)),
    "noisy": lambda own: optax.chain(own, optax.add_noise(1e-6, 0.55, 0)),
    "searched": lambda own: optax.chain(own, optax.scale_by_backtracking_linesearch(5)),
    "snapshot": lambda own: optax.chain(optax.snapshot("gradient", lambda updates, *_, **__: updates), own),
    "before": lambda own: optax.chain(optax.clip(1.0), optax.zero_nans(), optax.centralize(), own),
    "schedule free": lambda own: optax.contrib.schedule_free(own, learning_rate=1.0),
    "mechanized": lambda own: optax.contrib.mechanize(own, s_init=0.1),
    "split": lambda own: q.optim.with_all_params(optax.contrib.split_real_and_imaginary(own)),
    "flattened": lambda own: q.optim.with_all_params(optax.flatten(own)),
    "lookahead": lambda own: q.optim.with_all_params(optax.lookahead(own, 2, 0.5)),
    "sharpness": lambda own: q.optim.with_all_params(
        optax.contrib.sam(own, optax.chain(optax.contrib.normalize(), optax.sgd(0.01)), 2, opaque_mode=True)
    ),
}
BY_DAY = {
    "clipped": "newton-cholesky",
    "plateau": "dual_newton",
    "finite": "fisher_newton",
    "several": "kfac",
    "schedule free": "fisher_newton",
    "flattened": "kfac",
    "lookahead": "dual_newton",
    "sharpness": "fisher_newton",
}


def pairs() -> list[Any]:
    """Every wrapper around every optimizer; by day those that ask something of their own, around one."""
    return [
        pytest.param(name, wrapper, marks=() if BY_DAY.get(wrapper) == name else pytest.mark.nightly)
        for wrapper in AROUND
        for name in NAMES
    ]


@pytest.mark.parametrize(("name", "wrapper"), pairs())
def test_training_goes_on_inside_wrappers(name: str, wrapper: str) -> None:
    optimizer, two = AROUND[wrapper](made(name)), wrapper == "lookahead"

    def loss(now: PyTree, batch: Any = DATA) -> Any:
        return OWN(now.fast if two else now, batch)

    def step(now: PyTree, state: Any) -> tuple[PyTree, Any]:
        value, gradient = jax.value_and_grad(loss)(now)
        own = gradient.fast if two else gradient
        extra: dict[str, Any] = {"value": value}
        if wrapper == "searched":
            extra |= {"value_fn": loss, "grad": own}
        if wrapper == "sharpness":
            extra["grad_fn"] = lambda moved, _: jax.grad(loss)(moved)
        updates, state = optimizer.update(own, state, now, batch=DATA, **extra)
        return optax.apply_updates(now, updates), state

    start = optax.LookaheadParams.init_synced(START) if two else START
    now, state = start, optimizer.init(start)
    kinds = jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), state)
    compiled = jax.jit(step)
    for _ in range(4):
        now, state = compiled(now, state)
    # So that a step can be scanned.
    assert jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), state) == kinds
    assert float(loss(now)) < float(loss(start))


@pytest.mark.parametrize("name", ["newton-cholesky", "kfac", "dual_newton", "fisher_newton"])
def test_what_a_wrapper_drops_is_asked_for(name: str) -> None:
    optimizer = optax.lookahead(made(name), 2, 0.5)
    start = optax.LookaheadParams.init_synced(START)
    with pytest.raises(
        ValueError, match=r"needs update\(grads, state, params, batch=\(inputs, targets\)\); where a wrap"
    ):
        optimizer.update(jax.grad(OWN)(START, DATA), optimizer.init(start), start)  # pyright: ignore


def test_arguments_of_an_update_are_gone_after_it() -> None:
    inner = made("dual_newton")
    outer = q.optim.with_all_params(optax.lookahead(inner, 2, 0.5))
    start = optax.LookaheadParams.init_synced(START)
    gradient = jax.grad(OWN)(START, DATA)
    outer.update(gradient, outer.init(start), start, batch=DATA)
    with pytest.raises(ValueError, match="dual_newton needs update"):
        inner.update(gradient, inner.init(START), START)


def test_flattened_parameters_take_the_steps_that_they_take_as_a_tree() -> None:
    flat, _ = trained(q.optim.with_all_params(optax.flatten(made("newton-cholesky"))), OWN, START, DATA, 3)
    tree, _ = trained(made("newton-cholesky"), OWN, START, DATA, 3)
    for one, other in zip(*map(jax.tree.leaves, (flat, tree)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# ---- Saving


def through_orbax(state: Any) -> Any:
    ocp = pytest.importorskip("orbax.checkpoint")
    with tempfile.TemporaryDirectory() as folder:
        keeper = ocp.StandardCheckpointer()
        keeper.save(Path(folder) / "state", state)
        keeper.wait_until_finished()
        return keeper.restore(Path(folder) / "state", jax.tree.map(ocp.utils.to_shape_dtype_struct, state))


def through_flax(state: Any) -> Any:
    serialization = pytest.importorskip("flax.serialization")
    blank = jax.tree.map(jnp.zeros_like, state)
    same(serialization.from_state_dict(blank, serialization.to_state_dict(state)), state)
    return serialization.from_bytes(blank, serialization.to_bytes(state))


def through_equinox(state: Any) -> Any:
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, state)
    file.seek(0)
    return eqx.tree_deserialise_leaves(file, jax.tree.map(jnp.zeros_like, state))


def through_cloudpickle(state: Any) -> Any:
    return pickle.loads(pytest.importorskip("cloudpickle").dumps(state))


WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
    "cloudpickle": through_cloudpickle,
    "deepcopy": copy.deepcopy,
    "equinox": through_equinox,
    "flax": through_flax,
    "numpy": lambda state: jax.tree.map(np.asarray, state),
    "orbax": through_orbax,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_was_saved_trains_on_bitwise(name: str) -> None:
    pytest.importorskip("flax.serialization")
    optimizer = made(name)
    step = step_of(optimizer)
    now, state = step(START, optimizer.init(START))
    expected = step(now, state)
    jax.tree.unflatten(jax.tree.structure(state), [None] * len(jax.tree.leaves(state)))
    for way, through in WAYS.items():
        restored = through(state)
        assert jax.tree.structure(restored) == jax.tree.structure(state), way
        same(step(now, restored), expected)
