"""Conversion of text to sequences of tokens, and embeddings from the tokens' co-occurrences."""

import io
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

PAD, UNKNOWN, END, MASK = range(4)
SPECIAL = 4
"""Tokens that stand for no text."""
# What the tokenizer is trained on at most, in characters: the merges have settled by then.
_ENOUGH = 5_000_000
# Co-occurrence counts neighbours up to so many tokens away.
_NEIGHBOURS = 4


@dataclass(frozen=True)
class Tokenizer:
    """Byte-pair encoding by SentencePiece (Kudo and Richardson 2018), trained on a text and kept only in memory.

    Attributes:
        processor: SentencePiece's.
    """

    processor: Any

    @classmethod
    def trained(cls, documents: Sequence[str], vocabulary: int) -> "Tokenizer":
        """Train on the documents, deterministically; no random number is drawn.

        Args:
            documents: text.
            vocabulary: tokens, the four special ones among them.

        Raises:
            ValueError: if the text has more characters than tokens, or too few words for so many.
        """
        sentencepiece = _sentencepiece()
        lines = list(itertools.chain.from_iterable(document.splitlines() for document in documents))
        ends = np.cumsum([len(line) for line in lines])
        lines = lines[: 1 + int(np.searchsorted(ends, _ENOUGH))]
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="bpe",
                vocab_size=vocabulary,
                character_coverage=0.9995,
                max_sentence_length=2**20,
                pad_id=PAD,
                unk_id=UNKNOWN,
                eos_id=END,
                bos_id=-1,
                control_symbols=["[MASK]"],
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            reason = str(error).rpartition("] ")[2]  # after the place in its source
            raise ValueError(
                f"--vocabulary is {vocabulary}, and the tokenizer cannot be trained with it on this text: {reason}"
            ) from error
        return cls(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()))

    def encode(self, documents: Sequence[str]) -> np.ndarray:
        """The tokens of all documents, each closed by an end token, in one row (int32)."""
        closed = (ids for tokens in self.processor.encode(list(documents)) for ids in (tokens, [END]))
        return np.fromiter(itertools.chain.from_iterable(closed), np.int32)


def sequences(tokens: np.ndarray, length: int, most: int | None) -> np.ndarray:
    """Return rows of `length` tokens in sequence; the last one is padded.

    Args:
        tokens: one row.
        length: of a sequence.
        most: sequences at most; None takes all.
    """
    tokens = tokens if most is None else tokens[: most * length]
    rows = -(-len(tokens) // length)
    padded = np.full(rows * length, PAD, np.int32)
    padded[: len(tokens)] = tokens
    return padded.reshape(rows, length)


def co_occurrence_embeddings(tokens: np.ndarray, vocabulary: int, width: int) -> np.ndarray:
    """Return embeddings `[vocabulary, width]` from the co-occurrences of tokens, with rows of mean square 1/width.

    Leading eigenvectors of the positive pointwise mutual information of neighbours, each times the root of its
    eigenvalue's magnitude (Levy, Goldberg and Dagan 2015, section 3.1): what is frozen where no pretrained model is
    at hand.

    Args:
        tokens: one row, of the training text.
        vocabulary: tokens.
        width: of the table, at most `vocabulary`.
    """
    counts = np.zeros((vocabulary, vocabulary))
    for distance in range(1, _NEIGHBOURS + 1):
        np.add.at(counts, (tokens[:-distance], tokens[distance:]), 1.0)
    counts += counts.T
    totals = counts.sum(axis=1)
    expected = np.outer(totals, totals) / max(1.0, totals.sum())
    information = np.log(np.divide(counts, expected, out=np.ones_like(counts), where=counts > 0))
    values, vectors = np.linalg.eigh(np.maximum(information, 0))
    leading = np.argsort(-np.abs(values))[:width]
    vectors = vectors[:, leading]
    # An eigenvector has no sign of its own: the largest entry is made positive, so that the table is reproducible.
    vectors = vectors * np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(width)])
    table = vectors * np.sqrt(np.abs(values[leading]))
    return table / max(np.sqrt(np.mean(table**2)), 1e-12) / np.sqrt(width)


def _sentencepiece() -> ModuleType:
    with warnings.catch_warnings():
        # Its generated bindings lack a `__module__`, of which newer Pythons warn.
        warnings.simplefilter("ignore", DeprecationWarning)
        import sentencepiece
    return sentencepiece
