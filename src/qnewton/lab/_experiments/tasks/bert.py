"""Task `bert-tiny`: a masked language model."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...._curvature import Batch, Objective
from ..data.tokens import MASK, PAD, SPECIAL
from ..task_options import BertOptions
from .attention import attend
from .base import Data, Task
from .language import load_corpus, make_embedding, token_hits, token_loss
from .network import network

_DEFAULT = BertOptions()
_MASKED = 0.15
# The masks under which all data are evaluated; those of a batch follow the run's seed.
_MASK_SEED = 0


class BertLayer(eqx.Module):
    """Attention and a feed-forward layer, each added to its input and then normalised (Devlin et al. 2019).

    Attributes:
        query, key, value, out: projections of the attention.
        up, down: the feed-forward layer, with GELU between.
        attention_norm, feed_norm: layer normalisation.
        heads: of the attention.
    """

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    out: eqx.nn.Linear
    up: eqx.nn.Linear
    down: eqx.nn.Linear
    attention_norm: eqx.nn.LayerNorm
    feed_norm: eqx.nn.LayerNorm
    heads: int = eqx.field(static=True)

    def __init__(self, options: BertOptions, key: Array):
        width, inner = options.hidden, options.intermediate
        keys = jax.random.split(key, 6)
        self.query, self.key, self.value, self.out = (eqx.nn.Linear(width, width, key=k) for k in keys[:4])
        self.up, self.down = eqx.nn.Linear(width, inner, key=keys[4]), eqx.nn.Linear(inner, width, key=keys[5])
        self.attention_norm, self.feed_norm = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
        self.heads = options.heads

    def __call__(
        self, x: Float[Array, "length width"], allowed: Bool[Array, "1 length"]
    ) -> Float[Array, "length width"]:
        length, width = x.shape
        projected = (jax.vmap(layer)(x) for layer in (self.query, self.key, self.value))
        queries, keys, values = (part.reshape(length, self.heads, width // self.heads) for part in projected)
        x = jax.vmap(self.attention_norm)(x + jax.vmap(self.out)(attend(queries, keys, values, allowed)))
        return jax.vmap(self.feed_norm)(x + jax.vmap(self.down)(jax.nn.gelu(jax.vmap(self.up)(x))))


class Bert(eqx.Module):
    """Model from tokens, some of them masked, to logits of the token at each position.

    Attributes:
        embedding: of a token.
        positions: learned embedding of each position.
        norm: of their sum.
        layers: of the transformer.
        head: to logits; apart from the embedding, so that this may be frozen.
    """

    embedding: Callable[[Array], Array]
    positions: eqx.nn.Embedding
    norm: eqx.nn.LayerNorm
    layers: list[BertLayer]
    head: eqx.nn.Linear

    def __init__(self, options: BertOptions, embed: Callable[[Array], Callable[[Array], Array]], key: Array):
        tokens, positions, head, *keys = jax.random.split(key, 3 + options.layers)
        width, length = options.hidden, options.text.length
        self.embedding = embed(tokens)
        self.positions = eqx.nn.Embedding(weight=jax.random.normal(positions, (length, width)) / jnp.sqrt(width))
        self.norm = eqx.nn.LayerNorm(width)
        self.layers = [BertLayer(options, k) for k in keys]
        self.head = eqx.nn.Linear(width, options.text.vocabulary, key=head)

    def __call__(self, tokens: Int[Array, " length"]) -> Float[Array, "length vocabulary"]:
        x = jax.vmap(self.embedding)(tokens) + jax.vmap(self.positions)(jnp.arange(len(tokens)))
        x = jax.vmap(self.norm)(x)
        for layer in self.layers:
            x = layer(x, (tokens != PAD)[None, :])
        return jax.vmap(self.head)(x)


def bert_tiny(dtype: str, options: BertOptions = _DEFAULT) -> Task:
    """BERT's encoder and masked-token objective; masks are drawn anew for every batch (Liu et al. 2019).

    No dropout, no second-sentence objective, and no pretrained weights.

    Raises:
        ValueError, OSError: for a text that is not there, or too short for the vocabulary.
    """
    corpus = load_corpus(options.text, options.text.length)
    embed = make_embedding(corpus, options.embeddings, options.hidden, dtype)
    init, predict = network(lambda key: Bert(options, embed, key), dtype)
    fresh = partial(_remasked, vocabulary=corpus.vocabulary)
    rng = np.random.default_rng(_MASK_SEED)
    train, test = (
        Data(*masked(tokens, rng, corpus.vocabulary, dtype), fresh) for tokens in (corpus.train, corpus.test)
    )
    return Task(
        name="bert-tiny",
        model=f"BERT, {options.layers} layers, hidden {options.hidden}, {options.heads} heads, intermediate "
        f"{options.intermediate}, {options.embeddings} embeddings",
        source=corpus.source,
        init=init,
        objective=Objective(predict, token_loss),
        accuracy=Objective(predict, token_hits),
        train=train,
        test=test,
    )


def masked(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int, dtype: str) -> Batch:
    """Hide 15 % of each sequence's tokens, at least one: 80 % of those as [MASK], 10 % as any token, 10 % as they are.

    Args:
        tokens: `[sequences, length]`, as they are.
        rng: of what is hidden.
        vocabulary: number of tokens.
        dtype: of the weights.

    Returns:
        The sequences to be seen, and their targets: the tokens as they are, with weight 1 where hidden and 0 elsewhere.
    """
    eligible = tokens >= SPECIAL
    order = np.where(eligible, rng.random(tokens.shape), 2.0)
    wanted = np.maximum(1, np.round(_MASKED * eligible.sum(axis=1, keepdims=True)))
    rank = np.argsort(np.argsort(order, axis=1), axis=1)
    hidden = eligible & (rank < wanted)
    fate = rng.random(tokens.shape)
    shown = np.where(hidden & (fate < 0.8), MASK, tokens)
    anything = rng.integers(SPECIAL, vocabulary, tokens.shape)
    shown = np.where(hidden & (fate >= 0.8) & (fate < 0.9), anything, shown)
    return shown.astype(np.int32), (tokens, hidden.astype(dtype))


def _remasked(batch: Batch, rng: np.random.Generator, vocabulary: int) -> Batch:
    _, (tokens, weights) = batch
    return masked(tokens, rng, vocabulary, weights.dtype)
