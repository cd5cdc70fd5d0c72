"""Text, its tokens, and the table of what stands beside what."""

import numpy as np
import pytest

from qnewton.experiments.data.text import load_text, python_topics
from qnewton.experiments.data.tokens import END, MASK, PAD, SPECIAL, Tokenizer, co_occurrence_embeddings, sequences
from qnewton.experiments.task_options import TextOptions

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


def test_frozen_embeddings_are_alike_for_tokens_that_keep_the_same_company():
    # 4 and 5 stand in the same place, and so do 6 and 7.
    rng = np.random.default_rng(0)
    stream = np.ravel([(4 + a, 8, 6 + b, 9) for a, b in rng.integers(0, 2, (500, 2))])
    table = co_occurrence_embeddings(stream, 10, 3)
    assert table.shape == (10, 3)
    assert np.mean(table**2) == pytest.approx(1 / 3)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    assert unit[4] @ unit[5] > 0.95
    assert unit[6] @ unit[7] > 0.95
    assert unit[4] @ unit[8] < 0.9
