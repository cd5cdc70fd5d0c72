"""Task `gpt-tiny`: a next-token language model in the form of Mistral (Jiang et al. 2023)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...._curvature import Objective
from ..data.tokens import PAD
from ..task_options import GptOptions
from .attention import attend, rotate, sliding_window
from .base import Data, Task
from .language import load_corpus, make_embedding, token_hits, token_loss
from .network import network

_DEFAULT = GptOptions()


class GptLayer(eqx.Module):
    """Attention and a gated feed-forward layer, each added to its input, which is normalised first.

    Attributes:
        query, key, value, out: projections of the attention, without biases.
        gate, up, down: the feed-forward layer, `down(silu(gate(x)) up(x))` (Shazeer 2020).
        attention_norm, feed_norm: root-mean-square normalisation.
        heads, shared: heads of the queries, and of keys and values.
        window: positions that a token attends to.
    """

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    out: eqx.nn.Linear
    gate: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear
    attention_norm: eqx.nn.RMSNorm
    feed_norm: eqx.nn.RMSNorm
    heads: int = eqx.field(static=True)
    shared: int = eqx.field(static=True)
    window: int = eqx.field(static=True)

    def __init__(self, options: GptOptions, key: Array):
        width, inner = options.hidden, options.intermediate
        self.heads, self.shared, self.window = options.heads, options.key_value_heads, options.window
        narrow = width // self.heads * self.shared
        shapes = [(width, width), (width, narrow), (width, narrow), (width, width)]
        shapes += [(width, inner), (width, inner), (inner, width)]
        keys = jax.random.split(key, len(shapes))
        layers = [eqx.nn.Linear(*shape, use_bias=False, key=k) for shape, k in zip(shapes, keys, strict=True)]
        self.query, self.key, self.value, self.out, self.gate, self.up, self.down = layers
        self.attention_norm, self.feed_norm = (eqx.nn.RMSNorm(width, use_bias=False) for _ in range(2))

    def __call__(self, x: Float[Array, "length width"]) -> Float[Array, "length width"]:
        length = len(x)
        normed = jax.vmap(self.attention_norm)(x)
        queries = jax.vmap(self.query)(normed).reshape(length, self.heads, -1)
        keys, values = (jax.vmap(layer)(normed).reshape(length, self.shared, -1) for layer in (self.key, self.value))
        allowed = jnp.asarray(sliding_window(length, self.window))
        seen = attend(rotate(queries), rotate(keys), values, allowed)
        x = x + jax.vmap(self.out)(seen)
        normed = jax.vmap(self.feed_norm)(x)
        return x + jax.vmap(self.down)(jax.nn.silu(jax.vmap(self.gate)(normed)) * jax.vmap(self.up)(normed))


class Gpt(eqx.Module):
    """Model from tokens to logits of the next one at each position.

    Attributes:
        embedding: of a token.
        layers: of the transformer.
        norm: before the head.
        head: to logits; apart from the embedding, as in Mistral.
    """

    embedding: Callable[[Array], Array]
    layers: list[GptLayer]
    norm: eqx.nn.RMSNorm
    head: eqx.nn.Linear

    def __init__(self, options: GptOptions, embed: Callable[[Array], Callable[[Array], Array]], key: Array):
        tokens, head, *keys = jax.random.split(key, 2 + options.layers)
        self.embedding = embed(tokens)
        self.layers = [GptLayer(options, k) for k in keys]
        self.norm = eqx.nn.RMSNorm(options.hidden, use_bias=False)
        self.head = eqx.nn.Linear(options.hidden, options.text.vocabulary, use_bias=False, key=head)

    def __call__(self, tokens: Int[Array, " length"]) -> Float[Array, "length vocabulary"]:
        x = jax.vmap(self.embedding)(tokens)
        for layer in self.layers:
            x = layer(x)
        return jax.vmap(self.head)(jax.vmap(self.norm)(x))


def gpt_tiny(dtype: str, options: GptOptions = _DEFAULT) -> Task:
    """Mistral's decoder at a small size, to predict each next token; no pretrained weights.

    Raises:
        ValueError, OSError: for a text that is not there, or too short for the vocabulary.
    """
    # One token more: the target of a position is the token after it.
    corpus = load_corpus(options.text, options.text.length + 1)
    embed = make_embedding(corpus, options.embeddings, options.hidden, dtype)
    init, predict = network(lambda key: Gpt(options, embed, key), dtype)
    train, test = (Data(*_shifted(tokens, dtype)) for tokens in (corpus.train, corpus.test))
    return Task(
        name="gpt-tiny",
        model=f"Mistral's form, {options.layers} layers, hidden {options.hidden}, {options.heads} heads on "
        f"{options.key_value_heads}, intermediate {options.intermediate}, window {options.window}, "
        f"{options.embeddings} embeddings",
        source=corpus.source,
        init=init,
        objective=Objective(predict, token_loss),
        accuracy=Objective(predict, token_hits),
        train=train,
        test=test,
    )


def _shifted(tokens: np.ndarray, dtype: str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    after = tokens[:, 1:]
    return tokens[:, :-1], (after, (after != PAD).astype(dtype))
