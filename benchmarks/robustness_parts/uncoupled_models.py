"""Kinds of models whose examples do not influence each other: each must be computed, and none refused."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

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
    labels,
    mlp,
    normal,
    numbers,
    of_init,
    squares,
    tanh_layer,
    weights,
)

IMAGE = (4, 4, 1)


class Convolution(nn.Module):
    pooling: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.tanh(nn.Conv(2, (3, 3))(x))
        if self.pooling != "none":
            x = {"max": nn.max_pool, "avg": nn.avg_pool}[self.pooling](x, (2, 2), (2, 2))
        return nn.Dense(OUTPUTS)(x.reshape((x.shape[0], -1)))


class Norm(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Dense(6)(x)
        norm = {
            "layer": nn.LayerNorm(),
            "group": nn.GroupNorm(num_groups=2),
            "rms": nn.RMSNorm(),
            "batch": nn.BatchNorm(use_running_average=True),
        }[self.kind]
        return nn.Dense(OUTPUTS)(nn.tanh(norm(x)))


class Attention(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = x + nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=4)(x)
        return nn.Dense(OUTPUTS)(x.mean(1))


class Perceptron(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.a, self.b = nnx.Linear(FEATURES, 4, rngs=rngs), nnx.Linear(4, OUTPUTS, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.b(nnx.relu(self.a(x)))


def linen(module: nn.Module, inputs: tuple[int, ...], **more: Any) -> Kind:
    variables = module.init(jax.random.key(0), jnp.zeros((BATCH, *inputs)))
    rest = {name: value for name, value in variables.items() if name != "params"}

    def predict(p: Any, x: Any) -> Any:
        return module.apply({"params": p, **rest}, x)

    return Kind(predict, cross_entropy, of_init(lambda _: variables["params"], inputs), **more)


def _nnx_perceptron() -> Kind:
    graph, params, rest = nnx.split(Perceptron(nnx.Rngs(0)), nnx.Param, ...)
    plain = nnx.to_pure_dict(params)
    return Kind(
        lambda p, x: nnx.merge(graph, p, rest, copy=True)(x), cross_entropy, of_init(lambda _: plain, (FEATURES,))
    )


def _equinox_perceptron() -> Kind:
    model = eqx.nn.MLP(FEATURES, OUTPUTS, 4, 1, activation=jax.nn.silu, key=jax.random.key(0))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    return Kind(lambda p, x: jax.vmap(eqx.combine(p, static))(x), cross_entropy, of_init(lambda _: params, (FEATURES,)))


RECURRENT = {"w": (3, 4), "u": (4, 4), "v": (4, OUTPUTS)}


def _recur(p: Any, h: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["w"] + h @ p["u"])


def _scan_over_time(p: Any, x: Any) -> Any:
    first = jnp.zeros((x.shape[0], 4), x.dtype)
    last, _ = jax.lax.scan(lambda h, now: (_recur(p, h, now), None), first, jnp.swapaxes(x, 0, 1))
    return last @ p["v"]


def _scan_in_example(p: Any, x: Any) -> Any:
    def one(sequence: Any) -> Any:
        return jax.lax.scan(lambda h, now: (_recur(p, h, now), None), jnp.zeros(4, x.dtype), sequence)[0] @ p["v"]

    return jax.vmap(one)(x)


def _tokens(rng: np.random.Generator) -> Arrays:
    return (
        weights(rng, e=(7, HIDDEN), v=(HIDDEN, OUTPUTS)),
        rng.integers(0, 7, (BATCH, 3)).astype(np.int32),
        labels(rng),
    )


def _with_scalar(rng: np.random.Generator) -> Arrays:
    p, x, y = numbers()(rng)
    return p, {"x": x, "temperature": np.float32(rng.uniform(0.5, 2))}, y


def _with_key(shape: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    def draw(rng: np.random.Generator) -> Arrays:
        p, x, y = classes()(rng)
        key = jax.random.key(int(rng.integers(1000)))
        return p, {"x": x, "key": jax.random.split(key, shape) if shape else key}, y

    return draw


def _one_mask(p: Any, x: Any) -> Any:
    return (tanh_layer(p, x["x"]) * jax.random.bernoulli(x["key"], 0.5, (HIDDEN,))) @ p["v"]


def _mask_each(p: Any, x: Any) -> Any:
    masks = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (HIDDEN,)))(x["key"])
    return (tanh_layer(p, x["x"]) * masks) @ p["v"]


def _with_indices(rng: np.random.Generator) -> Arrays:
    p, x, y = classes()(rng)
    return p, {"x": x, "at": rng.integers(0, FEATURES, (BATCH, 3)).astype(np.int32)}, y


def _with_mask(rng: np.random.Generator) -> Arrays:
    p, x, _ = numbers(inputs=(3, FEATURES))(rng)
    mask = np.c_[np.ones(BATCH), rng.integers(0, 2, (BATCH, 2))].astype(np.float32)
    return p, x, (normal(rng, BATCH, 3, OUTPUTS), mask)


def _log_softmax(p: Any, x: Any) -> Any:
    h = mlp(p, x)
    top = jax.lax.stop_gradient(h.max())
    return h - (top + jnp.log(jnp.sum(jnp.exp(h - top), -1, keepdims=True)))


def _finite_guard(p: Any, x: Any) -> Any:
    h = mlp(p, x)
    return jnp.where(jnp.all(jnp.isfinite(h)), h, 0.0)


def _dropout(p: Any, x: Any, key: Any) -> Any:
    h = tanh_layer(p, x)
    return jnp.where(jax.random.bernoulli(key, 0.5, h.shape), h / 0.5, 0.0) @ p["v"]


def _two_heads(p: Any, x: Any) -> Any:
    h = tanh_layer(p, x)
    return h @ p["v"], h @ p["u"]


def _policy_and_value(outputs: Any, targets: Any) -> Any:
    return cross_entropy(outputs[0], targets) + (outputs[1][:, 0] - 1) ** 2


def _gaussian(p: Any, x: Any) -> Any:
    h = tanh_layer(p, x)
    return {"mean": h @ p["v"], "log_variance": 0.1 * (h @ p["u"])}


def _gaussian_loss(o: Any, y: Any) -> Any:
    spread = o["log_variance"]
    return jnp.sum(0.5 * (spread + (o["mean"] - y) ** 2 * jnp.exp(-spread)), -1)


@jax.custom_jvp
def _own_rule(x: Any) -> Any:
    return jnp.sin(x)


_own_rule.defjvp(lambda primals, tangents: (jnp.sin(primals[0]), jnp.cos(primals[0]) * tangents[0]))


@jax.custom_vjp
def _own_product(w: Any, x: Any) -> Any:
    return x @ w


_own_product.defvjp(lambda w, x: (x @ w, (w, x)), lambda kept, g: (kept[1].T @ g, g @ kept[0].T))


def _loop(p: Any, x: Any) -> Any:
    h = x
    return jax.lax.fori_loop(0, 3, lambda _, h: jnp.tanh(h @ p["w"]), h) @ p["v"]


def _weighted_tokens(outputs: Any, targets: Any) -> Any:
    wanted, mask = targets
    return jnp.sum((outputs - wanted) ** 2, -1), mask


SQUARE = {"w": (FEATURES, FEATURES), "v": (FEATURES, OUTPUTS)}
HEADS = {**TWO_LAYERS, "u": (HIDDEN, 1)}


def _plain() -> dict[str, Kind]:
    ce, sq = cross_entropy, squares
    return {
        "dense, cross-entropy": Kind(mlp, ce, classes()),
        "dense, squares": Kind(mlp, sq, numbers()),
        "linear with bias": Kind(lambda p, x: x @ p["w"] + p["b"], sq, numbers({"w": (4, 3), "b": (3,)})),
        "scan over time": Kind(_scan_over_time, ce, classes(RECURRENT, (3, 3))),
        "scan inside the example": Kind(_scan_in_example, ce, classes(RECURRENT, (3, 3))),
        "fori_loop": Kind(_loop, ce, classes(SQUARE)),
        "cond on a parameter": Kind(
            lambda p, x: jax.lax.cond(p["b"][0] > 0, jnp.tanh, jnp.sin, x @ p["w"] + p["b"]) @ p["v"], ce, classes()
        ),
        "embedding": Kind(lambda p, x: jnp.tanh(p["e"][x].mean(1)) @ p["v"], ce, _tokens),
        "gather of features": Kind(
            lambda p, x: jnp.tanh(x[:, jnp.array([2, 0, 1, 1])] @ p["w"] + p["b"]) @ p["v"], ce, classes()
        ),
        "take_along_axis": Kind(
            lambda p, x: jnp.take_along_axis(jnp.tanh(x["x"] @ p["w"] + p["b"]), x["at"], 1) @ p["v"][:3],
            ce,
            _with_indices,
        ),
        "concatenate": Kind(
            lambda p, x: jnp.concatenate([x, tanh_layer(p, x)], 1) @ p["v"], ce, classes({**TWO_LAYERS, "v": (9, 3)})
        ),
        "slice and pad": Kind(lambda p, x: jnp.pad(tanh_layer(p, x)[:, 1:4], ((0, 0), (1, 1))) @ p["v"], ce, classes()),
        "log-softmax, global maximum stopped": Kind(_log_softmax, ce, classes()),
        "finite guard": Kind(_finite_guard, ce, classes()),
        "dropout, a key per example": Kind(_dropout, ce, classes(), keyed=True, wide=False),
        "outputs in a tuple": Kind(_two_heads, _policy_and_value, classes(HEADS)),
        "outputs in a dictionary": Kind(_gaussian, _gaussian_loss, numbers({**HEADS, "u": (HIDDEN, OUTPUTS)})),
        "a scalar per example": Kind(
            lambda p, x: (tanh_layer(p, x) @ p["v"])[:, 0], lambda o, y: (o - y) ** 2, numbers(targets=())
        ),
        "squeeze of the last axis": Kind(
            lambda p, x: jnp.squeeze(tanh_layer(p, x) @ p["v"], -1),
            lambda o, y: (o - y) ** 2,
            numbers({**TWO_LAYERS, "v": (HIDDEN, 1)}, targets=()),
        ),
        "squeeze of all axes": Kind(
            lambda p, x: jnp.squeeze(tanh_layer(p, x) @ p["v"]),
            lambda o, y: (o - y) ** 2,
            numbers({**TWO_LAYERS, "v": (HIDDEN, 1)}, targets=()),
            may_refuse=True,
        ),
        "a scalar among the inputs": Kind(lambda p, x: mlp(p, x["x"]) * x["temperature"], sq, _with_scalar),
        "a key among the inputs": Kind(_one_mask, ce, _with_key(()), wide=False),
        "keys among the inputs": Kind(_mask_each, ce, _with_key((BATCH,)), wide=False),
        "tied weights": Kind(
            lambda p, x: jnp.tanh(x @ p["w"] + p["b"]) @ p["w"].T,
            sq,
            numbers({"w": (4, 5), "b": (5,)}, targets=(FEATURES,)),
        ),
        "weights per token": Kind(mlp, _weighted_tokens, _with_mask),
    }


def _transformed() -> dict[str, Kind]:
    ce, sq = cross_entropy, squares
    jitted, remat = jax.jit(mlp), jax.checkpoint(mlp)
    return {
        "features first": Kind(lambda p, x: (p["v"].T @ jnp.tanh(p["w"].T @ x.T + p["b"][:, None])).T, ce, classes()),
        "einsum": Kind(
            lambda p, x: jnp.einsum("bh,hc->bc", jnp.tanh(jnp.einsum("bf,fh->bh", x, p["w"])), p["v"]), sq, numbers()
        ),
        "vmap of a single example": Kind(jax.vmap(mlp, (None, 0)), ce, classes()),
        "lax.map over the examples": Kind(lambda p, x: jax.lax.map(functools.partial(mlp, p), x), ce, classes()),
        "scan over the examples": Kind(
            lambda p, x: jax.lax.scan(lambda n, one: (n + 1, mlp(p, one)), 0, x)[1], ce, classes()
        ),
        "jit inside": Kind(jitted, ce, classes()),
        "checkpoint": Kind(remat, ce, classes()),
        "sort of features": Kind(lambda p, x: jnp.sort(tanh_layer(p, x), 1) @ p["v"], ce, classes()),
        "cumulative sum of features": Kind(lambda p, x: jnp.cumsum(tanh_layer(p, x), 1) @ p["v"], ce, classes()),
        "roll and flip of features": Kind(
            lambda p, x: jnp.roll(tanh_layer(p, x)[:, ::-1], 2, 1) @ p["v"], ce, classes()
        ),
        "reshape inside the example": Kind(
            lambda p, x: tanh_layer(p, x.reshape(-1, 2, 2).swapaxes(1, 2).reshape(-1, 4)) @ p["v"], ce, classes()
        ),
        "custom_jvp": Kind(lambda p, x: _own_rule(x @ p["w"] + p["b"]) @ p["v"], ce, classes()),
        "custom_vjp": Kind(
            lambda p, x: _own_product(p["v"], jnp.tanh(_own_product(p["w"], x))), ce, classes(), may_refuse=True
        ),
        "one gain for all": Kind(
            lambda p, x: jnp.tanh(x @ p["w"]) * p["g"] @ p["v"], ce, classes({**TWO_LAYERS, "g": ()})
        ),
        "length of the example": Kind(
            lambda p, x: (lambda h: h / jnp.linalg.norm(h, axis=1, keepdims=True))(tanh_layer(p, x)) @ p["v"],
            ce,
            classes(),
        ),
        "attention inside the example": Kind(
            lambda p, x: (jax.nn.softmax(x @ p["w"] @ x.swapaxes(1, 2)) @ x).mean(1) @ p["v"],
            ce,
            classes(SQUARE, (3, FEATURES)),
        ),
        "log-sum-exp": Kind(lambda p, x: jax.nn.log_softmax(mlp(p, x)), ce, classes()),
        "shared axis of ones": Kind(
            lambda p, x: mlp(p, jnp.concatenate([x[:, :3], jnp.ones_like(x[:, :1])], 1)), ce, classes()
        ),
    }


def _of_libraries() -> dict[str, Kind]:
    return {
        "flax convolution": linen(Convolution("none"), IMAGE),
        "flax convolution, maximum": linen(Convolution("max"), IMAGE),
        "flax convolution, average": linen(Convolution("avg"), IMAGE),
        "flax layer norm": linen(Norm("layer"), (FEATURES,)),
        "flax group norm": linen(Norm("group"), (FEATURES,)),
        "flax RMS norm": linen(Norm("rms"), (FEATURES,)),
        "flax batch norm, running average": linen(Norm("batch"), (FEATURES,)),
        "flax attention": linen(Attention(), (3, FEATURES)),
        "nnx perceptron": _nnx_perceptron(),
        "equinox perceptron": _equinox_perceptron(),
    }


@functools.cache
def uncoupled() -> dict[str, Kind]:
    return {**_plain(), **_transformed(), **_of_libraries()}
