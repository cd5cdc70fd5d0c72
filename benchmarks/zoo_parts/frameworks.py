"""Models of flax (linen and nnx) and equinox."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import linen, nnx
from jaxtyping import Array

from .case import BATCH, CLASSES, LENGTH, WIDTH, WORDS, Case, Draw


def wide() -> Any:
    """The widest float type that is enabled."""
    return jnp.result_type(float)


# Flax linen ----------------------------------------------------------------------------------------------------------


def of_linen(model: linen.Module, inputs: Any) -> Case:
    params = model.init(jax.random.key(0), inputs)
    apply: Any = model.apply
    return Case(jax.tree.map(lambda leaf: leaf.astype(wide()), params), apply, inputs)


def images(channels: int = 2) -> Array:
    return Draw()(BATCH, 4, 4, channels, fan=1)


def linen_mlp() -> Case:
    layers = [linen.Dense(WIDTH), linen.relu, linen.Dense(WIDTH), linen.relu, linen.Dense(CLASSES)]
    return of_linen(linen.Sequential(layers), Draw()(BATCH, 8, fan=1))


def linen_cnn() -> Case:
    def pooled(x: Array) -> Array:
        return linen.avg_pool(linen.relu(x), (2, 2), (2, 2)).reshape(x.shape[0], -1)

    return of_linen(linen.Sequential([linen.Conv(WIDTH, (3, 3)), pooled, linen.Dense(CLASSES)]), images())


def linen_resnet() -> Case:
    class Block(linen.Module):
        @linen.compact
        def __call__(self, x: Array) -> Array:
            h = linen.Conv(WIDTH, (3, 3), use_bias=False)(linen.relu(linen.GroupNorm(4)(x)))
            return x + linen.Conv(WIDTH, (3, 3), use_bias=False)(linen.relu(linen.GroupNorm(4)(h)))

    def mean(x: Array) -> Array:
        return x.mean((1, 2))

    return of_linen(linen.Sequential([linen.Conv(WIDTH, (1, 1)), Block(), mean, linen.Dense(CLASSES)]), images())


def linen_seq2seq_lstm() -> Case:
    class Model(linen.Module):
        @linen.compact
        def __call__(self, words: tuple[Array, Array]) -> Array:
            source, target = (jax.nn.one_hot(one, WORDS, dtype=wide()) for one in words)
            cells = [linen.LSTMCell(WIDTH, param_dtype=wide()) for _ in range(2)]
            state, _ = linen.RNN(cells[0], return_carry=True)(source)
            return linen.Dense(WORDS)(linen.RNN(cells[1])(target, initial_carry=state))

    draw = Draw()
    return of_linen(Model(), (draw.words(BATCH, LENGTH), draw.words(BATCH, LENGTH)))


class LinenBlock(linen.Module):
    """Of a transformer; as the body of a scan it returns nothing besides."""

    @linen.compact
    def __call__(self, x: Array, _: None = None) -> tuple[Array, None]:
        h = linen.LayerNorm()(x)
        x = x + linen.MultiHeadDotProductAttention(2, force_fp32_for_softmax=False)(h, h)
        return x + linen.Dense(WIDTH)(linen.gelu(linen.Dense(2 * WIDTH)(linen.LayerNorm()(x)))), None


def linen_attention() -> Case:
    class Model(linen.Module):
        @linen.compact
        def __call__(self, words: Array) -> Array:
            x, _ = LinenBlock()(linen.Embed(WORDS, WIDTH)(words))
            return linen.Dense(CLASSES)(x.mean(1))

    return of_linen(Model(), Draw().words(BATCH, LENGTH))


def linen_scanned_transformer_with_remat() -> Case:
    class Model(linen.Module):
        @linen.compact
        def __call__(self, words: Array) -> Array:
            x = linen.Embed(WORDS, WIDTH)(words)
            stack = linen.scan(linen.remat(LinenBlock), {"params": 0}, split_rngs={"params": True}, length=3)
            x, _ = stack()(x, None)
            return linen.Dense(WORDS)(linen.LayerNorm()(x))

    return of_linen(Model(), Draw().words(BATCH, LENGTH))


def linen_optimised_lstm() -> Case:
    """A cell whose kernels are joined before they are used."""

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x: Array) -> Array:
            seen: Any = linen.RNN(linen.OptimizedLSTMCell(WIDTH, param_dtype=wide()))(x)
            return linen.Dense(CLASSES)(seen[:, -1])

    return of_linen(Model(), Draw()(BATCH, LENGTH, 8, fan=1))


def linen_grouped_and_local_convolutions() -> Case:
    layers = [
        linen.Conv(WIDTH, (3, 3), feature_group_count=4),
        linen.tanh,
        linen.ConvLocal(8, (3, 3)),
        lambda x: jnp.tanh(x).reshape(x.shape[0], -1),
        linen.Dense(CLASSES),
    ]
    return of_linen(linen.Sequential(layers), images(8))


# Flax nnx ------------------------------------------------------------------------------------------------------------


def of_nnx(model: nnx.Module, inputs: Any) -> Case:
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    pure = jax.tree.map(lambda leaf: leaf.astype(wide()), nnx.to_pure_dict(params))
    return Case(pure, lambda p, x: nnx.merge(graph, p, rest)(x), inputs)


def attend(query: Array, key: Array, value: Array, **_: object) -> Array:
    """As flax does, whose softmax is in float32 whatever its inputs are."""
    scores = jnp.einsum("bshi,bthi->bhst", query, key) / jnp.sqrt(query.shape[-1])
    return jnp.einsum("bhst,bthi->bshi", jax.nn.softmax(scores), value)


def nnx_attention() -> Case:
    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.embed = nnx.Embed(WORDS, WIDTH, dtype=wide(), rngs=rngs)
            self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(2, WIDTH, decode=False, attention_fn=attend, rngs=rngs)
            self.head = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

        def __call__(self, words: Array) -> Array:
            x = self.embed(words)
            return self.head(x + self.attention(self.norm(x))).mean(1)

    return of_nnx(Model(nnx.Rngs(0)), Draw().words(BATCH, LENGTH))


def nnx_lstm() -> Case:
    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.rnn = nnx.RNN(nnx.LSTMCell(8, WIDTH, rngs=rngs), rngs=rngs)
            self.head = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

        def __call__(self, x: Array) -> Array:
            start = jnp.zeros((x.shape[0], WIDTH), x.dtype)
            seen: Any = self.rnn(x, initial_carry=(start, start))
            return self.head(seen[:, -1])

    return of_nnx(Model(nnx.Rngs(0)), Draw()(BATCH, LENGTH, 8, fan=1))


# Equinox -------------------------------------------------------------------------------------------------------------


def of_equinox(model: Callable, inputs: Any) -> Case:
    params, static = eqx.partition(model, eqx.is_inexact_array)
    params = jax.tree.map(lambda leaf: leaf.astype(wide()), params)
    return Case(params, lambda p, x: jax.vmap(eqx.combine(p, static))(x), inputs)


def equinox_mixer() -> Case:
    keys = Draw()

    class Model(eqx.Module):
        embed: eqx.nn.Linear = eqx.nn.Linear(8, WIDTH, key=keys.key())
        norm: eqx.nn.LayerNorm = eqx.nn.LayerNorm(WIDTH)
        across: eqx.nn.MLP = eqx.nn.MLP(LENGTH, LENGTH, WIDTH, 1, key=keys.key())
        within: eqx.nn.MLP = eqx.nn.MLP(WIDTH, WIDTH, WIDTH, 1, key=keys.key())
        head: eqx.nn.Linear = eqx.nn.Linear(WIDTH, CLASSES, key=keys.key())

        def __call__(self, x: Array) -> Array:
            h = jax.vmap(self.embed)(x)
            h = h + jax.vmap(self.across)(jax.vmap(self.norm)(h).T).T
            return self.head((h + jax.vmap(self.within)(jax.vmap(self.norm)(h))).mean(0))

    return of_equinox(Model(), keys(BATCH, LENGTH, 8, fan=1))


def equinox_gru() -> Case:
    keys = Draw()

    class Model(eqx.Module):
        cell: eqx.nn.GRUCell = eqx.nn.GRUCell(8, WIDTH, key=keys.key())
        head: eqx.nn.Linear = eqx.nn.Linear(WIDTH, CLASSES, key=keys.key())

        def __call__(self, x: Array) -> Array:
            start = jnp.zeros(WIDTH, x.dtype)
            return self.head(jax.lax.scan(lambda h, x: (self.cell(x, h), None), start, x)[0])

    return of_equinox(Model(), keys(BATCH, LENGTH, 8, fan=1))


def equinox_vision_transformer() -> Case:
    keys = Draw()

    class Model(eqx.Module):
        token: Array
        places: Array
        patches: eqx.nn.Conv2d = eqx.nn.Conv2d(2, WIDTH, 2, 2, key=keys.key())
        first: eqx.nn.LayerNorm = eqx.nn.LayerNorm(WIDTH)
        second: eqx.nn.LayerNorm = eqx.nn.LayerNorm(WIDTH)
        attention: eqx.nn.MultiheadAttention = eqx.nn.MultiheadAttention(2, WIDTH, key=keys.key())
        mlp: eqx.nn.MLP = eqx.nn.MLP(WIDTH, WIDTH, 2 * WIDTH, 1, jax.nn.gelu, key=keys.key())
        head: eqx.nn.Linear = eqx.nn.Linear(WIDTH, CLASSES, key=keys.key())

        def __call__(self, x: Array) -> Array:
            tokens = self.patches(jnp.moveaxis(x, -1, 0)).reshape(WIDTH, -1).T
            h = jnp.concatenate([self.token, tokens]) + self.places
            normed = jax.vmap(self.first)(h)
            h = h + self.attention(normed, normed, normed)
            return self.head((h + jax.vmap(self.mlp)(jax.vmap(self.second)(h)))[0])

    return of_equinox(Model(keys(1, WIDTH, fan=1), keys(5, WIDTH, fan=1)), images())


def equinox_unet() -> Case:
    keys = Draw()

    class Model(eqx.Module):
        down: eqx.nn.Conv2d = eqx.nn.Conv2d(2, 8, 3, 2, 1, key=keys.key())
        middle: eqx.nn.Conv2d = eqx.nn.Conv2d(8, 8, 3, 1, 1, key=keys.key())
        norm: eqx.nn.GroupNorm = eqx.nn.GroupNorm(2, 8)
        up: eqx.nn.ConvTranspose2d = eqx.nn.ConvTranspose2d(8, 8, 2, 2, key=keys.key())
        out: eqx.nn.Conv2d = eqx.nn.Conv2d(10, 1, 1, key=keys.key())

        def __call__(self, x: Array) -> Array:
            x = jnp.moveaxis(x, -1, 0)
            h = jax.nn.silu(self.norm(self.down(x)))
            return self.out(jnp.concatenate([x, jnp.tanh(self.up(jax.nn.silu(self.middle(h))))]))

    return of_equinox(Model(), images())


def equinox_score_network() -> Case:
    keys = Draw()

    class Model(eqx.Module):
        time: eqx.nn.Linear = eqx.nn.Linear(8, WIDTH, key=keys.key())
        first: eqx.nn.Linear = eqx.nn.Linear(2, WIDTH, key=keys.key())
        second: eqx.nn.Linear = eqx.nn.Linear(WIDTH, WIDTH, key=keys.key())
        head: eqx.nn.Linear = eqx.nn.Linear(WIDTH, 2, key=keys.key())

        def __call__(self, x: Array) -> Array:
            angles = x[2] * 2.0 ** jnp.arange(4, dtype=x.dtype)
            t = self.time(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)]))
            h = jax.nn.silu(self.first(x[:2]) + t)
            return self.head(jax.nn.silu(self.second(h) + t))

    return of_equinox(Model(), keys(BATCH, 3, fan=1))


CASES = {
    function.__name__.replace("_", " "): function
    for function in (
        linen_mlp,
        linen_cnn,
        linen_resnet,
        linen_seq2seq_lstm,
        linen_attention,
        linen_scanned_transformer_with_remat,
        linen_optimised_lstm,
        linen_grouped_and_local_convolutions,
        nnx_attention,
        nnx_lstm,
        equinox_mixer,
        equinox_gru,
        equinox_vision_transformer,
        equinox_unet,
        equinox_score_network,
    )
}
