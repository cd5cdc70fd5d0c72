"""Kinds of models and losses whose examples influence each other: the whole batch's curvature is right, or a flag."""

import functools
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import qnewton as qn

from .model_kinds import (
    BATCH,
    FEATURES,
    HIDDEN,
    OUTPUTS,
    TWO_LAYERS,
    Arrays,
    Kind,
    classes,
    cross_entropy,
    mlp,
    normal,
    normalised,
    numbers,
    of_init,
    squares,
    tanh_layer,
)
from .uncoupled_models import IMAGE, RECURRENT

_PER_EXAMPLE = normal(np.random.default_rng(7), BATCH, FEATURES)
_NEIGHBOURS = np.array([1, 2, 0, 4, 5, 3], np.int32)
_ADJACENCY = (np.eye(BATCH) + np.eye(BATCH)[_NEIGHBOURS]).astype(np.float32) / 2
# Of jax's own width: what is closed over in 64 bits breaks its caches where widths change.
_SEGMENTS = np.array([0, 0, 1, 1, 2, 2], np.int32)


class NormedConvolution(nn.Module):
    pooled: bool

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Conv(2, (3, 3))(x)
        x = nn.max_pool(x, (2, 2), (2, 2)) if self.pooled else x
        x = nn.tanh(nn.BatchNorm(use_running_average=False)(x))
        return nn.Dense(OUTPUTS)(x.reshape((x.shape[0], -1)))


class NormedDense(nn.Module):
    bias: bool

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(4, use_bias=self.bias)(x))
        return nn.Dense(OUTPUTS)(nn.tanh(x))


class NormedPerceptron(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.a, self.n = nnx.Linear(FEATURES, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.b = nnx.Linear(4, OUTPUTS, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.b(nnx.tanh(self.n(self.a(x))))


class EquinoxNormed(eqx.Module):
    a: eqx.nn.Linear
    n: eqx.nn.BatchNorm
    b: eqx.nn.Linear

    def __init__(self):
        self.a = eqx.nn.Linear(FEATURES, 4, key=jax.random.key(0))
        self.n = eqx.nn.BatchNorm(4, axis_name="examples", mode="batch")
        self.b = eqx.nn.Linear(4, OUTPUTS, key=jax.random.key(1))

    def __call__(self, x: Any, state: Any) -> Any:
        return self.b(jnp.tanh(self.n(self.a(x), state)[0]))


def _linen(module: nn.Module, inputs: tuple[int, ...]) -> Kind:
    variables = module.init(jax.random.key(0), jnp.zeros((BATCH, *inputs)))
    statistics = variables["batch_stats"]

    def predict(p: Any, x: Any) -> Any:
        return module.apply({"params": p, "batch_stats": statistics}, x, mutable=["batch_stats"])[0]

    return Kind(predict, cross_entropy, of_init(lambda _: variables["params"], inputs), coupled=True)


def _nnx() -> Kind:
    graph, params, rest = nnx.split(NormedPerceptron(nnx.Rngs(0)), nnx.Param, ...)
    plain = nnx.to_pure_dict(params)
    return _coupled(
        lambda p, x: nnx.merge(graph, p, rest, copy=True)(x), cross_entropy, of_init(lambda _: plain, (FEATURES,))
    )


def _equinox() -> Kind:
    model, state = eqx.nn.make_with_state(EquinoxNormed)()
    params, static = eqx.partition(model, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(state)

    def predict(p: Any, x: Any) -> Any:
        # Equinox lets every state be used once.
        state = jax.tree.unflatten(structure, leaves)
        return jax.vmap(lambda one: eqx.combine(p, static)(one, state), axis_name="examples")(x)

    # Its counters have other types in double precision.
    return _coupled(predict, cross_entropy, of_init(lambda _: params, (FEATURES,)), wide=False)


_coupled = functools.partial(Kind, coupled=True)


def _norm_at(h: Any, p: Any) -> Any:
    return normalised(h) @ p["v"]


def _scan_then_norm(p: Any, x: Any) -> Any:
    def step(h: Any, now: Any) -> Any:
        return jnp.tanh(now @ p["w"] + h @ p["u"]), None

    last, _ = jax.lax.scan(step, jnp.zeros((x.shape[0], 4), x.dtype), jnp.swapaxes(x, 0, 1))
    return _norm_at(last, p)


def _norm_in_scan(p: Any, x: Any) -> Any:
    def step(h: Any, now: Any) -> Any:
        return jnp.tanh(normalised(now @ p["w"] + h @ p["u"])), None

    last, _ = jax.lax.scan(step, jnp.zeros((x.shape[0], 4), x.dtype), jnp.swapaxes(x, 0, 1))
    return last @ p["v"]


def _gained(p: Any, x: Any) -> Any:
    h = tanh_layer(p, x)
    return h @ p["v"] + p["g"] * (h - h.mean(0)) @ p["u"]


def _zero_gain(rng: np.random.Generator) -> Arrays:
    p, x, y = classes({**TWO_LAYERS, "u": (HIDDEN, OUTPUTS)})(rng)
    return {**p, "g": np.zeros((), np.float32)}, x, y


def _ghost(p: Any, x: Any) -> Any:
    h = (x @ p["w"] + p["b"]).reshape(2, x.shape[0] // 2, HIDDEN)
    h = (h - h.mean(1, keepdims=True)) / jnp.sqrt(h.var(1, keepdims=True) + 1e-3)
    return jnp.tanh(h.reshape(x.shape[0], HIDDEN)) @ p["v"]


def _mask_of_batch(p: Any, x: Any) -> Any:
    h = tanh_layer(p, x)
    return (h * jax.random.bernoulli(jax.random.key(0), 0.5, (x.shape[0], HIDDEN))) @ p["v"]


def _attend(p: Any, x: Any) -> Any:
    h = tanh_layer(p, x)
    return jax.nn.softmax(h @ h.T) @ h @ p["v"]


def _named_norm(p: Any, x: Any) -> Any:
    def one(row: Any) -> Any:
        h = row @ p["w"] + p["b"]
        return jnp.tanh(h - jax.lax.pmean(h, "examples")) @ p["v"]

    return jax.vmap(one, axis_name="examples")(x)


def _positions(p: Any, x: Any) -> Any:
    return mlp(p, x) + p["e"][jnp.arange(x.shape[0])]


def _power_iteration(p: Any, x: Any) -> Any:
    h = tanh_layer(p, x)
    return (h / jnp.sqrt(jnp.sum(h**2))) @ p["v"]


def _running(p: Any, x: Any) -> Any:
    features, means = x
    h = features @ p["w"] + p["b"]
    return jnp.tanh(normalised(h) + 0.1 * means.value) @ p["v"], 0.9 * means.value + 0.1 * h.mean(0)


def _with_means(rng: np.random.Generator) -> Arrays:
    p, x, y = classes()(rng)
    return p, (x, qn.Shared(normal(rng, HIDDEN))), y


def _dropped_and_normed(p: Any, x: Any, key: Any) -> Any:
    h = normalised(x @ p["w"] + p["b"])
    return jnp.where(jax.random.bernoulli(key, 0.5, h.shape), jnp.tanh(h), 0.0) @ p["v"]


def _models() -> dict[str, Kind]:
    ce, sq, both = cross_entropy, squares, classes()
    layer = tanh_layer
    return {
        "mean over the batch": _coupled(lambda p, x: (layer(p, x) - layer(p, x).mean(0)) @ p["v"], sq, numbers()),
        "batch norm": _coupled(lambda p, x: _norm_at(x @ p["w"], p), ce, both),
        "bias, batch norm": _coupled(lambda p, x: _norm_at(jnp.tanh(x @ p["w"] + p["b"]), p), ce, both),
        "gather, batch norm": _coupled(lambda p, x: _norm_at(layer(p, x)[:, jnp.array([1, 0, 2, 4, 3])], p), ce, both),
        "concatenate, batch norm": _coupled(
            lambda p, x: _norm_at(jnp.concatenate([x, layer(p, x)], 1), p), ce, classes({**TWO_LAYERS, "v": (9, 3)})
        ),
        "slice, batch norm": _coupled(lambda p, x: normalised(layer(p, x)[:, 1:4]) @ p["v"][:3], ce, both),
        "scan, batch norm": _coupled(_scan_then_norm, ce, classes(RECURRENT, (3, 3))),
        "batch norm in a scan": _coupled(_norm_in_scan, ce, classes(RECURRENT, (3, 3))),
        "cond, batch norm": _coupled(
            lambda p, x: _norm_at(jax.lax.cond(p["b"][0] > 0, jnp.tanh, jnp.sin, x @ p["w"] + p["b"]), p), ce, both
        ),
        "batch norm in a cond": _coupled(
            lambda p, x: jax.lax.cond(p["b"][0] > 9, lambda h: h, normalised, layer(p, x)) @ p["v"], ce, both
        ),
        "batch norm in jit and checkpoint": _coupled(
            lambda p, x: jax.checkpoint(jax.jit(normalised))(layer(p, x)) @ p["v"], ce, both
        ),
        "pmean in a vmap": _coupled(_named_norm, ce, both),
        "ghost batch norm": _coupled(_ghost, ce, both),
        "a mask of the batch's size": _coupled(_mask_of_batch, ce, both, wide=False),
        "a closed-over array per example": _coupled(lambda p, x: mlp(p, x + _PER_EXAMPLE), ce, both),
        "a parameter per position in the batch": _coupled(
            _positions, ce, classes({**TWO_LAYERS, "e": (BATCH, OUTPUTS)})
        ),
        "division by the batch's size": _coupled(lambda p, x: mlp(p, x) / x.shape[0], sq, numbers()),
        "zero gain on a coupled branch": _coupled(_gained, ce, _zero_gain),
        "sort along the batch": _coupled(lambda p, x: jnp.sort(layer(p, x), 0) @ p["v"], sq, numbers()),
        "cumulative sum along the batch": _coupled(lambda p, x: jnp.cumsum(layer(p, x), 0) @ p["v"], sq, numbers()),
        "roll along the batch": _coupled(
            lambda p, x: (layer(p, x) + jnp.roll(layer(p, x), 1, 0)) @ p["v"], sq, numbers()
        ),
        "flip along the batch": _coupled(lambda p, x: mlp(p, x[::-1]), sq, numbers()),
        "mix-up": _coupled(lambda p, x: 0.7 * mlp(p, x) + 0.3 * mlp(p, x)[::-1], ce, both),
        "permutation of the batch": _coupled(lambda p, x: mlp(p, x)[_NEIGHBOURS], ce, both),
        "attention across the batch": _coupled(_attend, ce, both),
        "maximum of the batch": _coupled(lambda p, x: (layer(p, x) - layer(p, x).max(0)) @ p["v"], sq, numbers()),
        "range of the batch": _coupled(
            lambda p, x: (layer(p, x) / (layer(p, x).max() - layer(p, x).min())) @ p["v"], sq, numbers()
        ),
        "length of the whole batch": _coupled(_power_iteration, ce, both),
        "graph convolution": _coupled(lambda p, x: _ADJACENCY @ layer(p, x) @ p["v"], ce, both),
        "segment sums": _coupled(
            lambda p, x: jax.ops.segment_sum(layer(p, x), _SEGMENTS, 3)[_SEGMENTS] @ p["v"], ce, both
        ),
        "convolution along the batch": _coupled(
            lambda p, x: jax.vmap(lambda column: jnp.convolve(column, p["k"], mode="same"), 1, 1)(mlp(p, x)),
            sq,
            numbers({**TWO_LAYERS, "k": (3,)}),
        ),
        "associative scan along the batch": _coupled(
            lambda p, x: jax.lax.associative_scan(lambda a, b: 0.5 * a + b, layer(p, x), axis=0) @ p["v"],
            sq,
            numbers(),
        ),
        "cond on a statistic of the batch": _coupled(
            lambda p, x: jax.lax.cond(jnp.sum(x) > 0, jnp.tanh, jnp.sin, x @ p["w"] + p["b"]) @ p["v"], ce, both
        ),
        "running means in and out": _coupled(_running, ce, _with_means, has_state=True),
        "dropout and batch norm under one key": _coupled(
            _dropped_and_normed, ce, both, keyed=True, whole_batch=True, wide=False
        ),
        "first example subtracted": _coupled(lambda p, x: mlp(p, x) - 0.5 * mlp(p, x)[:1], sq, numbers()),
    }


def _of_libraries() -> dict[str, Kind]:
    return {
        "flax batch norm": _linen(NormedDense(False), (FEATURES,)),
        "flax bias, batch norm": _linen(NormedDense(True), (FEATURES,)),
        "flax convolution, batch norm": _linen(NormedConvolution(False), IMAGE),
        "flax convolution, pooling, batch norm": _linen(NormedConvolution(True), IMAGE),
        "nnx bias, batch norm": _nnx(),
        "equinox bias, batch norm": _equinox(),
    }


def _ranking(o: Any, y: Any) -> Any:
    wins = (y[:, None] > y[None, :]).astype(o.dtype)
    return jnp.sum(wins * jax.nn.softplus(o[None, :, 0] - o[:, None, 0]), 1)


def _contrastive(o: Any, y: Any) -> Any:
    return cross_entropy(o @ o.T, jnp.arange(o.shape[0]))


def _cosine_contrastive(o: Any, y: Any) -> Any:
    unit = o / jnp.linalg.norm(o, axis=1, keepdims=True)
    return cross_entropy(unit @ unit.T / 0.5, jnp.arange(o.shape[0]))


def _decorrelated(o: Any, y: Any) -> Any:
    centred = o - o.mean(0)
    return squares(o, y) + jnp.mean((centred.T @ centred / o.shape[0] - jnp.eye(o.shape[1])) ** 2)


def _losses() -> dict[str, Kind]:
    ce, sq, both, many = cross_entropy, squares, classes(), numbers()
    return {
        "contrastive loss": _coupled(mlp, _contrastive, both),
        "contrastive loss of angles": _coupled(mlp, _cosine_contrastive, both),
        "class-balanced weights": _coupled(mlp, lambda o, y: ce(o, y) / jnp.bincount(y, length=OUTPUTS)[y], both),
        "weights that count the classes": _coupled(
            mlp, lambda o, y: (ce(o, y), 1.0 / jnp.bincount(y, length=OUTPUTS)[y]), both
        ),
        "mask / sum(mask)": _coupled(mlp, lambda o, y: ce(o, y) * (y > 0) / jnp.sum(y > 0), both),
        "ranking loss": _coupled(mlp, _ranking, numbers(targets=())),
        "variance of the targets": _coupled(mlp, lambda o, y: sq(o, y) / jnp.var(y), many),
        "centred outputs": _coupled(mlp, lambda o, y: sq(o - o.mean(0), y - y.mean(0)), many),
        "covariance of the outputs": _coupled(mlp, _decorrelated, many),
        "log-sum-exp of the batch": _coupled(mlp, lambda o, y: jax.nn.logsumexp(sq(o, y)) * jnp.ones(o.shape[0]), many),
        "division by the batch's size in the loss": _coupled(mlp, lambda o, y: sq(o, y) / o.shape[0], many),
        "a closed-over weight per example": _coupled(mlp, lambda o, y: sq(o, y) * _PER_EXAMPLE[:, 0] ** 2, many),
        "root of the mean square": _coupled(
            mlp, lambda o, y: jnp.sqrt(jnp.mean(sq(o, y))) * jnp.ones(o.shape[0]), many
        ),
    }


@functools.cache
def coupled() -> dict[str, Kind]:
    return {**_models(), **_of_libraries(), **_losses()}
