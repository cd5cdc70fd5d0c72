"""Text, its tokens, and the table of what stands beside what."""

import numpy as np
import pytest

from qnewton.lab._experiments.data.text import load_text, python_topics
from qnewton.lab._experiments.data.tokens import END, MASK, PAD, SPECIAL, Tokenizer, co_occurrence_embeddings, sequences
from qnewton.lab._experiments.task_options import TextOptions

WORDS = "the cat sat on the mat and the dog sat on the cat\n"


def test_the_documentation_of_python_is_split_by_topic():
    text = python_topics()
    assert not set(text.train) & set(text.test)
    assert sum(map(len, text.train)) > 200_000
    assert "pydoc_data.topics" in text.source


def test_a_file_is_split_at_its_empty_lines(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(f"paragraph {k}" for k in range(10)))
    text = load_text(TextOptions(data=path))
    assert text.test == ("paragraph 4", "paragraph 9")
    assert len(text.train) == 8
    assert str(path) in text.source


@pytest.mark.parametrize("suffix", ["tokens", "raw"])
def test_a_wikitext_keeps_its_own_split(suffix, tmp_path):
    (tmp_path / f"wiki.train.{suffix}").write_text(WORDS)
    (tmp_path / f"wiki.valid.{suffix}").write_text("held out")
    text = load_text(TextOptions(data=tmp_path))
    assert (text.train, text.test) == ((WORDS,), ("held out",))
    (tmp_path / f"wiki.test.{suffix}").write_text("test")
    assert load_text(TextOptions(data=tmp_path)).test == ("test",)


def test_text_that_cannot_be_had_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file or folder"):
        load_text(TextOptions(data=tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"lacks wiki.train.tokens or wiki.train.raw"):
        load_text(TextOptions(data=tmp_path))
    short = tmp_path / "short.txt"
    short.write_text("one\n\ntwo")
    with pytest.raises(ValueError, match="has 2 paragraphs between empty lines, and at least 5"):
        load_text(TextOptions(data=short))
    short.write_bytes(b"fine\xff")
    with pytest.raises(ValueError, match=r"short.txt is no text in UTF-8: byte 4 is 0xff"):
        load_text(TextOptions(data=short))
    for name in ("train", "test"):
        (tmp_path / f"wiki.{name}.raw").write_text(" \n")
    with pytest.raises(ValueError, match="the training text is empty"):
        load_text(TextOptions(data=tmp_path))


def test_a_tokenizer_gives_back_its_text_and_is_the_same_each_time():
    first, again = (Tokenizer.trained([WORDS] * 3, 30) for _ in range(2))
    tokens = first.encode([WORDS, "the dog"])
    np.testing.assert_array_equal(tokens, again.encode([WORDS, "the dog"]))
    assert list(np.flatnonzero(tokens == END))[-1] == len(tokens) - 1
    ends = np.flatnonzero(tokens == END)
    assert first.processor.decode(tokens[: ends[0]].tolist()) == WORDS.strip()
    assert first.processor.decode(tokens[ends[0] + 1 : -1].tolist()) == "the dog"
    assert first.processor.get_piece_size() == 30
    assert first.processor.id_to_piece(MASK) == "[MASK]"
    assert set(tokens) - {END} <= set(range(SPECIAL, 30))


@pytest.mark.parametrize(("vocabulary", "reason"), [(5, "smaller than required_chars"), (1000, "too high")])
def test_a_vocabulary_that_the_text_cannot_fill_is_refused(vocabulary, reason):
    with pytest.raises(ValueError, match=f"--vocabulary is {vocabulary}, and the tokenizer cannot.*{reason}"):
        Tokenizer.trained([WORDS], vocabulary)


def test_sequences_are_the_tokens_in_order_and_then_padding():
    np.testing.assert_array_equal(sequences(np.arange(4, 11), 3, None), [[4, 5, 6], [7, 8, 9], [10, PAD, PAD]])
    np.testing.assert_array_equal(sequences(np.arange(4, 11), 3, 2), [[4, 5, 6], [7, 8, 9]])


def test_frozen_embeddings_are_the_eigenvectors_of_the_company_that_tokens_keep():
    stream = np.random.default_rng(0).choice(8, 60, p=np.arange(8, 0, -1) / 36)
    pairs = [(stream[i], stream[j]) for i in range(60) for j in range(60) if 1 <= abs(i - j) <= 4]
    together = np.array([[pairs.count((a, b)) for b in range(8)] for a in range(8)]) / len(pairs)
    alone = together.sum(axis=1)
    with np.errstate(divide="ignore"):
        information = np.maximum(np.log(together / np.outer(alone, alone)), 0)
    table = co_occurrence_embeddings(stream, 8, 8)
    # With all eigenvectors, table table^T is the magnitude of the matrix, up to the scale.
    magnitude = table @ table.T
    squared = information @ information
    np.testing.assert_allclose(
        magnitude @ magnitude * squared[0, 0], squared * (magnitude @ magnitude)[0, 0], atol=1e-9
    )
    narrow = co_occurrence_embeddings(stream, 8, 3)
    assert narrow.shape == (8, 3)
    assert np.mean(narrow**2) == pytest.approx(1 / 3)
    cosine = np.sum(narrow * table[:, :3]) / np.linalg.norm(narrow) / np.linalg.norm(table[:, :3])
    assert cosine == pytest.approx(1), "the leading ones, with the same signs"
