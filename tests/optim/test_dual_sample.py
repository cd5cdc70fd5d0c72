"""Early steps of `dual_newton` on parts of the batch: which parts, for how long, and what ends them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton._curvature.point import Point
from qnewton._optim.dual_sample import Sampling, part_of

# optax's types do not know which state comes back. In a fit's metric, steps never take parts.
dual_newton: Any = functools.partial(q.dual_newton, metric=q.Levenberg())


def fit(examples: int, noise: float = 0.0) -> tuple[Any, Any, Any]:
    """A smooth curve to fit with 3 * 12 parameters."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (examples, 1))
    y = np.sin(3 * x[:, 0]) + noise * rng.standard_normal(examples)
    params = {name: jnp.asarray(rng.standard_normal(12)) for name in ("in", "bias", "out")}

    def predict(params: Any, x: Any) -> Any:
        return jnp.tanh(x * params["in"] + params["bias"]) @ params["out"]

    return q.Objective(predict, lambda z, y: (z - y) ** 2 / 2), params, (jnp.asarray(x), jnp.asarray(y))


def run(optimizer: Any, params: Any, batch: Any, steps: int) -> Any:
    """Records of so many steps."""

    def body(carry: Any, _: None) -> Any:
        params, state = carry
        updates, state = optimizer.update(params, state, params, batch=batch)
        return (optax.apply_updates(params, updates), state), state.info

    return jax.jit(lambda carry: jax.lax.scan(body, carry, None, length=steps)[1])((params, optimizer.init(params)))


def test_parts_take_their_turns_until_each_example_was_seen(x64):
    objective, params, batch = fit(400)
    examples = Point.of(objective, params, batch).examples
    parts = [part_of(examples, 3, jnp.int32(step)) for step in range(3)]
    assert [part.examples.count for part in parts if part is not None] == [134, 134, 134]
    chosen = np.concatenate([part.chosen for part in parts if part is not None])
    assert set(chosen) == set(range(400))
    assert len({tuple(part.chosen.tolist()) for part in parts if part is not None}) == 3


@pytest.mark.parametrize(("examples", "sample"), [(270, 3), (400, None)], ids=["small", "switched off"])
def test_without_parts_every_step_sees_the_whole_batch(examples, sample, x64):
    objective, params, batch = fit(examples)
    info = run(dual_newton(objective, sample=sample), params, batch, 5)
    assert (np.asarray(info.examples) == examples).all()


def test_parts_end_where_they_fit_themselves_alone_and_never_return(x64):
    # Noise: three parts fitted one by one contradict each other below the noise.
    objective, params, batch = fit(330, noise=0.3)
    info = run(dual_newton(objective), params, batch, 40)
    seen = np.asarray(info.examples)
    assert seen[0] == 110
    assert seen[-1] == 330
    assert (np.diff(seen) >= 0).all()
    whole = run(dual_newton(objective, sample=None), params, batch, 40)
    assert float(info.loss[-1]) < 1.02 * float(whole.loss[-1])


def test_no_step_raises_the_loss(x64):
    objective, params, batch = fit(400)
    losses = np.asarray(run(dual_newton(objective), params, batch, 30).loss)
    assert (np.diff(losses) <= 0).all()
    assert losses[-1] < 1e-3 * losses[0]


@pytest.mark.parametrize(
    ("whole", "part", "accepted", "active"),
    [
        ((1.0, 0.5), (1.0, 0.3), True, True),
        ((1.0, 0.9), (1.0, 0.3), True, False),
        ((1.0, 1.1), (1.0, 0.3), False, False),
        ((1.0, 1.1), (1.0, 1.2), False, True),
        ((-1.0, -1.1), (-1.0, -1.1), True, False),
        ((1.0, -1.0), (1.0, 0.5), True, False),
        ((1.0, 0.5), (1.0, 0.0), True, False),
    ],
    ids=["earns", "earns too little", "helps itself alone", "underdamped", "below zero", "no logarithm", "fitted"],
)
def test_parts_pay_while_they_earn_their_share(whole, part, accepted, active, x64):
    state = Sampling.start(jnp.zeros(()).dtype)
    after = state.after(jnp.asarray(whole), jnp.asarray(part), jnp.asarray(accepted), 3)
    assert bool(after.active) == active
    # Given up for good, whatever follows.
    again = after.after(jnp.asarray((1.0, 0.1)), jnp.asarray((1.0, 0.1)), jnp.asarray(True), 3)
    assert bool(again.active) == active


def test_a_batch_that_is_not_finite_says_nothing_about_parts(x64):
    objective, params, (x, y) = fit(400)
    optimizer = dual_newton(objective)
    state = optimizer.init(params)
    _, state = jax.jit(optimizer.update)(params, state, params, batch=(x.at[3].set(jnp.nan), y))
    assert q.Status(int(state.info.status)) is q.Status.NOT_FINITE
    assert bool(state.sampling.active)


@pytest.mark.parametrize("sample", [1, 0, -3])
def test_a_number_of_parts_that_divides_nothing_is_refused(sample):
    objective, _, _ = fit(4)
    with pytest.raises(ValueError, match=f"sample is {sample}: give the number of parts, at least 2, or None"):
        dual_newton(objective, sample=sample)
