"""Common parts of both language models: tokens, embeddings, loss and accuracy per token."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ..data.text import load_text
from ..data.tokens import Tokenizer, co_occurrence_embeddings, sequences
from ..task_options import TextOptions

Targets = tuple[Int[Array, "batch length"], Float[Array, "batch length"]]
"""The right tokens and their weights; 0 where nothing is asked."""


@dataclass(frozen=True)
class Corpus:
    """A text as sequences of tokens.

    Attributes:
        source: where it comes from, in words.
        vocabulary: number of tokens.
        stream: training tokens in one row.
        train, test: `[sequences, length]`.
    """

    source: str
    vocabulary: int
    stream: np.ndarray
    train: np.ndarray
    test: np.ndarray


def load_corpus(options: TextOptions, length: int) -> Corpus:
    """Load the text, train the tokenizer on its training part, and cut both parts into sequences.

    Args:
        options: of the text.
        length: of a sequence.

    Raises:
        ValueError, OSError: for a text that is not there, or too short for the vocabulary.
    """
    text = load_text(options)
    tokenizer = Tokenizer.trained(text.train, options.vocabulary)
    stream = tokenizer.encode(text.train)
    most = options.sequences
    return Corpus(
        source=f"{text.source}, {options.vocabulary} byte-pair tokens",
        vocabulary=options.vocabulary,
        stream=stream,
        train=sequences(stream, length, most),
        test=sequences(tokenizer.encode(text.test), length, None if most is None else max(1, most // 4)),
    )


class FrozenEmbedding(eqx.Module):
    """A table of embeddings that is not trained: no parameter, but part of the function.

    Attributes:
        lookup: token to its row.
    """

    lookup: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, token: Int[Array, ""]) -> Float[Array, " width"]:
        return self.lookup(token)


def make_embedding(corpus: Corpus, kind: str, width: int, dtype: str) -> Callable[[Array], Callable[[Array], Array]]:
    """Return the function from a key to an embedding: trained, or `frozen` at the training text's co-occurrences."""
    if kind == "frozen":
        table = co_occurrence_embeddings(corpus.stream, corpus.vocabulary, width).astype(dtype)
        frozen = FrozenEmbedding(lambda token: jnp.asarray(table)[token])
        return lambda key: frozen

    def learned(key: Array) -> eqx.nn.Embedding:
        # Equinox draws with variance 1, which would drown what the first layers add to the residual stream.
        return eqx.nn.Embedding(weight=jax.random.normal(key, (corpus.vocabulary, width)) / jnp.sqrt(width))

    return learned


def token_loss(
    outputs: Float[Array, "batch length vocabulary"], targets: Targets
) -> tuple[Float[Array, "batch length"], Float[Array, "batch length"]]:
    """Cross-entropy of each token in nats, and its weight."""
    tokens, weights = targets
    return optax.softmax_cross_entropy_with_integer_labels(outputs, tokens), weights


def token_hits(
    outputs: Float[Array, "batch length vocabulary"], targets: Targets
) -> tuple[Float[Array, "batch length"], Float[Array, "batch length"]]:
    """1 where the most likely token is the right one, and the weights."""
    tokens, weights = targets
    return (jnp.argmax(outputs, axis=-1) == tokens).astype(outputs.dtype), weights
