"""Kronecker factors of every construct against explicit loops, and what the layers of a network cover.

Each model is written twice: as users write it, and unrolled by hand, one product after the other, with a perturbation
added to each product and its inputs written down. Models have one output and half its square for a loss, so that the
signal that goes back is 1 or -1 and no random probe enters the factors.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import qnewton as q
from qnewton._curvature import Objective
from qnewton._curvature.factors import layer_signals
from qnewton._curvature.network import coverage_of
from qnewton._curvature.point import Point
from qnewton._optim.layer_structure import layers_and_layout

Params = dict[str, Array]
BATCH, TURNS = 4, 3


@pytest.fixture
def x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


class Taps:
    """What a model by hand hands its products to: one after the other, a name and a copy each."""

    def __init__(self, added: dict[tuple[str, int, int], Array] | None = None):
        self.added, self.inputs = added, dict[tuple[str, int, int], Array]()
        self.shapes = dict[tuple[str, int, int], tuple[int, ...]]()

    def __call__(self, name: str, x: Array, z: Array, copy: int = 0) -> Array:
        """The output of a product `z` of the inputs `x`."""
        place = (name, copy, sum(one[:2] == (name, copy) for one in self.inputs))
        self.inputs[place], self.shapes[place] = x, z.shape
        return z if self.added is None else z + self.added[place]


class Construct(NamedTuple):
    """A model of a batch, the same by hand for one example, and the shapes of parameters and of an example."""

    predict: Callable[[Params, Array], Array]
    by_hand: Callable[[Params, Array, Taps], Array]
    shapes: dict[str, tuple[int, ...]]
    inputs: tuple[int, ...]


def one(x: Array) -> Array:
    """The inputs with a 1 for the bias."""
    return jnp.append(x, 1)


def recurrence(p: Params, x: Array) -> Array:
    step = jax.checkpoint(lambda h, x: (jnp.tanh(h @ p["w"] + (x @ p["u"] + p["b"])), None))
    return jax.lax.scan(step, jnp.ones((x.shape[0], 2)), jnp.swapaxes(x, 0, 1))[0].sum(1, keepdims=True)


def recurrence_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    h = jnp.ones(2)
    for t in range(TURNS):
        h = jnp.tanh(tap("w", h, h @ p["w"]) + tap("u", one(x[t]), x[t] @ p["u"] + p["b"]))
    return h.sum()


def stack(p: Params, x: Array) -> Array:
    def layer(h: Array, own: tuple[Array, Array, Array]) -> tuple[Array, None]:
        w, b, g = own
        return jnp.tanh(h @ w + b) * g, None

    return jax.lax.scan(layer, x, (p["w"], p["b"], p["g"]), reverse=True)[0].sum(1, keepdims=True)


def stack_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    for k in reversed(range(TURNS)):
        gain = tap("g", jnp.ones(1), p["g"][k], k)
        x = jnp.tanh(tap("w", one(x), x @ p["w"][k] + p["b"][k], k)) * gain
    return x.sum()


def convolutions(p: Params, x: Array) -> Array:
    names = ("NWC", "WIO", "NWC")
    h = jnp.tanh(jax.lax.conv_general_dilated(x, p["k"], (1,), "VALID", (1,), (1,), names, feature_group_count=2))
    z = jax.lax.conv_general_dilated(h, p["d"], (1,), "VALID", (1,), (1,), names, feature_group_count=6)
    return jnp.sum(jnp.tanh(z + p["b"]), axis=(1, 2))[:, None]


def convolutions_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    rows = []
    for t in range(x.shape[0] - 1):
        groups = [x[t : t + 2, 2 * g : 2 * g + 2] for g in range(2)]
        kernels = [p["k"][:, :, 3 * g : 3 * g + 3] for g in range(2)]
        products = [jnp.einsum("wi,wio->o", patch, kernel) for patch, kernel in zip(groups, kernels, strict=True)]
        rows.append(jnp.concatenate([tap("k", groups[g].ravel(), products[g], g) for g in range(2)]))
    h = jnp.tanh(jnp.stack(rows))
    total = jnp.zeros(())
    for t in range(h.shape[0] - 1):
        for c in range(6):
            window = h[t : t + 2, c]
            total += jnp.tanh(tap("d", one(window), (window @ p["d"][:, 0, c] + p["b"][c])[None], c)).sum()
    return total


def experts(p: Params, x: Array) -> Array:
    h = jnp.tanh(jnp.einsum("btei,eio->bteo", jnp.stack([x, x**2], axis=2), p["w"]) + p["b"])
    return jnp.sum(h * jnp.arange(1.0, 3)[:, None], axis=(1, 2, 3))[:, None]


def experts_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    total = jnp.zeros(())
    for t in range(TURNS):
        for e in range(2):
            own = x[t] ** (e + 1)
            total += (e + 1) * jnp.tanh(tap("w", one(own), own @ p["w"][e] + p["b"][e], e)).sum()
    return total


def twice(p: Params, x: Array) -> Array:
    return jnp.tanh(jnp.tanh(x @ p["w"] + p["b"]) @ p["w"] + p["b"]).sum(1, keepdims=True)


def twice_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    for _ in range(2):
        x = jnp.tanh(tap("w", one(x), x @ p["w"] + p["b"]))
    return x.sum()


def own_rule(p: Params, x: Array) -> Array:
    @jax.custom_jvp
    def layer(x: Array, w: Array) -> Array:
        return x @ w

    layer.defjvp(lambda primals, tangents: (layer(*primals), 3 * (primals[0] @ tangents[1] + tangents[0] @ primals[1])))
    return jnp.sin(layer(x, p["w"])).sum(1, keepdims=True)


def own_rule_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    z = tap("w", x, x @ p["w"])
    return jnp.sin(3 * z - jax.lax.stop_gradient(2 * z)).sum()


def parts(p: Params, x: Array) -> Array:
    """Columns of one weight with inputs of their own, in a loop, as a gated cell has them."""
    left, right = p["w"][:, :2], p["w"][:, 2:]

    def turn(h: Array, x: Array) -> tuple[Array, None]:
        gate = jax.nn.sigmoid(h @ left + p["b"][:2] + x)
        return jnp.tanh((gate * h) @ right + p["b"][2:]), None

    return jax.lax.scan(turn, jnp.ones((x.shape[0], 2)), jnp.swapaxes(x, 0, 1))[0].sum(1, keepdims=True)


def parts_by_hand(p: Params, x: Array, tap: Taps) -> Array:
    h = jnp.ones(2)
    for t in range(TURNS):
        gate = jax.nn.sigmoid(tap("w, left", one(h), h @ p["w"][:, :2] + p["b"][:2]) + x[t])
        h = jnp.tanh(tap("w, right", one(gate * h), (gate * h) @ p["w"][:, 2:] + p["b"][2:]))
    return h.sum()


CONSTRUCTS = {
    "recurrent, with remat": Construct(
        recurrence, recurrence_by_hand, {"w": (2, 2), "u": (3, 2), "b": (2,)}, (TURNS, 3)
    ),
    "stacked, with gains": Construct(
        stack, stack_by_hand, {"w": (TURNS, 2, 2), "b": (TURNS, 2), "g": (TURNS, 2)}, (2,)
    ),
    "convolutions in groups": Construct(
        convolutions, convolutions_by_hand, {"k": (2, 2, 6), "d": (2, 1, 6), "b": (6,)}, (4, 4)
    ),
    "experts": Construct(experts, experts_by_hand, {"w": (2, 3, 2), "b": (2, 2)}, (TURNS, 3)),
    "used twice": Construct(twice, twice_by_hand, {"w": (3, 3), "b": (3,)}, (3,)),
    "used in parts": Construct(parts, parts_by_hand, {"w": (2, 4), "b": (4,)}, (TURNS, 2)),
    "rows used in parts": Construct(
        lambda p, x: parts(p | {"w": p["w"].T}, x),
        lambda p, x, tap: parts_by_hand(p | {"w": p["w"].T}, x, tap),
        {"w": (4, 2), "b": (4,)},
        (TURNS, 2),
    ),
    "custom_jvp": Construct(own_rule, own_rule_by_hand, {"w": (3, 2)}, (3,)),
}


def problem(construct: Construct) -> tuple[Objective, Params, tuple[Array, Array]]:
    rng = np.random.default_rng(3)
    params = {key: jnp.asarray(rng.standard_normal(shape)) for key, shape in construct.shapes.items()}
    objective = Objective(construct.predict, lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2)
    return objective, params, (jnp.asarray(rng.standard_normal((BATCH, *construct.inputs))), jnp.zeros((BATCH, 1)))


def slow_factors(construct: Construct, params: Params, inputs: Array) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name `A` `[copies, i, i]` and `G` `[copies, a, a]`, summed up example by example and product by product."""
    look = Taps()
    construct.by_hand(params, inputs[0], look)
    zeros = {place: jnp.zeros(shape) for place, shape in look.shapes.items()}

    @jax.jit
    def signals(x: Array) -> tuple[dict, dict]:
        def run(added: dict) -> tuple[Array, dict]:
            taps = Taps(added)
            return construct.by_hand(params, x, taps), taps.inputs

        return jax.grad(run, has_aux=True)(zeros)

    found: dict[str, dict[int, list]] = {}
    for x in inputs:
        deltas, given = signals(x)
        for (name, copy, use), delta in deltas.items():
            pair = np.asarray(given[name, copy, use]), np.asarray(delta)
            found.setdefault(name, {}).setdefault(copy, []).append(pair)
    result = {}
    for name, copies in found.items():
        if len(copies) > 1 and len(copies[0][0][1]) == 1:
            # Of one output the gradient is a vector, and the block is known exactly.
            positions = len(copies[0]) // BATCH
            gradients = np.stack([[x * d for x, d in pairs] for _, pairs in sorted(copies.items())])
            gradients = gradients.reshape(len(copies), BATCH, positions, -1).sum(2)
            result[name] = np.einsum("cni,cnj->cij", gradients, gradients) / BATCH, np.ones((len(copies), 1, 1))
            continue
        a = np.stack([sum(np.outer(x, x) for x, _ in pairs) / BATCH for _, pairs in sorted(copies.items())])
        g = np.stack([sum(np.outer(d, d) for _, d in pairs) / len(pairs) for _, pairs in sorted(copies.items())])
        result[name] = a, g
    return result


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_factors_are_those_of_explicit_loops(name: str, x64: None) -> None:
    construct = CONSTRUCTS[name]
    objective, params, batch = problem(construct)
    point = Point.of(objective, params, batch)
    layers, layout = layers_and_layout(point.program, params)
    assert coverage_of(point.program, layers, [leaf.size for leaf in jax.tree.leaves(params)]).share == 1
    vector = jnp.arange(1.0, layout.n + 1)
    np.testing.assert_array_equal(layout.merge(*layout.split(vector)), vector)
    found = jax.jit(lambda: layer_signals(point, layers, layout).factors(lambda: jnp.zeros(layout.n)))()
    expected = slow_factors(construct, params, batch[0])
    names = sorted(params)
    # Parts of a parameter come in the order of their use.
    by_leaf = [sorted(key for key in expected if key.split(",")[0] == name) for name in names]
    assert len(layers) == len(expected)
    for layer, a, g in zip(layers, found.inputs, found.outputs, strict=True):
        wanted = expected[by_leaf[layer.lead.leaf].pop(0)]
        for actual, one in zip((a, g), wanted, strict=True):
            np.testing.assert_allclose(actual.reshape(one.shape), one, rtol=0, atol=1e-12 * np.max(np.abs(one)))


def test_a_tied_table_has_the_partial_traces_of_both_uses(x64: None) -> None:
    """A look-up, and a head that takes the look-up's outputs for inputs."""

    def predict(p: Params, words: Array) -> Array:
        return jnp.sum(jnp.sin(jnp.tanh(p["e"][words]) @ p["e"].T), axis=(1, 2))[:, None]

    rng = np.random.default_rng(0)
    params, words = {"e": jnp.asarray(rng.standard_normal((5, 3)))}, jnp.asarray(rng.integers(0, 5, (BATCH, 2)))
    objective = Objective(predict, lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2)
    point = Point.of(objective, params, (words, jnp.zeros((BATCH, 1))))
    layers, layout = layers_and_layout(point.program, params)
    (a,), (g,) = (lambda f: (f.inputs, f.outputs))(layer_signals(point, layers, layout).factors(lambda: jnp.zeros(15)))

    def single(row: Array, logits: Array, e: Array) -> Array:
        return jnp.sum(jnp.sin(jnp.tanh(row) @ e.T + logits))

    a1, g1, a2, g2 = np.zeros((5, 5)), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((5, 5))
    for sentence in np.asarray(words):
        for word in sentence:
            row = params["e"][word]
            down, up = jax.grad(single, argnums=(0, 1))(row, jnp.zeros(5), params["e"])
            a1 += np.outer(np.eye(5)[word], np.eye(5)[word]) / BATCH
            g1 += np.outer(down, down) / (2 * BATCH)
            a2 += np.outer(np.tanh(row), np.tanh(row)) / BATCH
            g2 += np.outer(up, up) / (2 * BATCH)
    total = np.einsum("ij,ab->iajb", a1, g1) + np.einsum("ij,ab->iajb", g2, a2)
    product = np.einsum("ij,ab->iajb", a, g)
    np.testing.assert_allclose(np.einsum("iaja->ij", product), np.einsum("iaja->ij", total), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(np.einsum("iaib->ab", product), np.einsum("iaib->ab", total), rtol=1e-11, atol=1e-13)


def test_a_stack_in_a_loop_takes_the_steps_of_the_layers_one_by_one(x64: None) -> None:
    rng = np.random.default_rng(1)
    w, b = (jnp.asarray(rng.standard_normal(shape)) for shape in ((3, 4, 4), (3, 4)))
    batch = jnp.asarray(rng.standard_normal((20, 4))), jnp.asarray(rng.standard_normal((20, 4)))

    def stacked(p: Any, x: Array) -> Array:
        return jax.lax.scan(lambda h, own: (jnp.tanh(h @ own[0] + own[1]), None), x, (p["w"], p["b"]))[0]

    def listed(p: Any, x: Array) -> Array:
        for w, b in zip(p["w"], p["b"], strict=True):
            x = jnp.tanh(x @ w + b)
        return x

    def trained(predict: Any, params: Any) -> Any:
        objective = Objective(predict, lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2)
        optimizer: Any = q.kfac(objective, refresh=2, example=batch[0])
        update = jax.jit(lambda p, s: optimizer.update(jax.grad(objective)(p, batch), s, p, batch=batch))
        state = optimizer.init(params)
        for _ in range(3):
            step, state = update(params, state)
            params = jax.tree.map(jnp.add, params, step)
        assert bool(state.info.accepted)
        assert not np.any(state.info.status)
        return params

    loop, apart = trained(stacked, {"w": w, "b": b}), trained(listed, {"w": list(w), "b": list(b)})
    for key in ("w", "b"):
        np.testing.assert_allclose(loop[key], jnp.stack(apart[key]), rtol=1e-9, atol=1e-11)


def test_what_is_in_no_layer_is_told_with_the_reason() -> None:
    def predict(p: Params, x: Array) -> Array:
        h = jnp.tanh(x @ p["w"]) * p["gain"] * jnp.exp(p["odd"])
        return h @ jnp.cumprod(p["large"], axis=0)

    shapes = {"w": (4, 30), "gain": (30,), "odd": (30,), "large": (30, 20), "idle": (7,)}
    params = {key: jnp.ones(shape) for key, shape in shapes.items()}
    objective = Objective(predict, lambda z, y: jnp.sum(z**2, axis=-1))
    optimizer: Any = q.kfac(objective, example=jax.ShapeDtypeStruct((8, 4), jnp.float32))
    found = optimizer.init(params).info.coverage
    assert dict(found.constructs) == {"matrix product": 120, "scale": 30}
    assert dict(found.missing) == {
        "enters `cumprod`": 600,
        "enters `exp`": 30,
        "without influence on the outputs": 7,
    }
    assert found.share == pytest.approx(150 / 787)
    assert "layers hold 19.1% of 787 parameters (matrix product 15.2%; scale 3.8%). In no layer:" in str(found)
    batch = jnp.ones((8, 4)), jnp.ones(8)
    estimate = q.memory_estimate(objective, params, batch, optimizer=optimizer)
    assert estimate.coverage == found
    assert str(found) in str(estimate)
