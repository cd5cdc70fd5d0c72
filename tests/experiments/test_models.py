"""What the models of the tasks are made of, against their definitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._curvature import EmpiricalFisher, GaussNewton, per_tensor
from qnewton.lab._experiments.data.tokens import MASK, PAD, SPECIAL
from qnewton.lab._experiments.task_options import BertOptions, GptOptions, ResNetOptions, TextOptions
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._experiments.tasks.attention import attend, rotate, sliding_window
from qnewton.lab._experiments.tasks.bert import masked
from qnewton.lab._experiments.tasks.poisson import Residual

TEXT = TextOptions(vocabulary=160, length=9, sequences=6)
BERT = BertOptions(layers=2, hidden=8, heads=2, intermediate=8, text=TEXT)
GPT = GptOptions(layers=2, hidden=8, heads=4, key_value_heads=2, intermediate=8, window=3, text=TEXT)


def test_attention_is_a_softmax_over_what_is_allowed_head_by_head():
    rng = np.random.default_rng(0)
    queries, keys, values = (rng.standard_normal((5, heads, 2)) for heads in (4, 2, 2))
    allowed = sliding_window(5, 2)
    found = attend(jnp.asarray(queries), jnp.asarray(keys), jnp.asarray(values), jnp.asarray(allowed))
    for position in range(5):
        for head in range(4):
            seen = [other for other in range(5) if position - 2 < other <= position]
            weights = np.exp([queries[position, head] @ keys[other, head // 2] / 2**0.5 for other in seen])
            expected = weights / weights.sum() @ values[seen, head // 2]
            np.testing.assert_allclose(found[position, 2 * head : 2 * head + 2], expected, rtol=1e-4)


def test_the_rotary_embedding_turns_complex_numbers_and_sees_distances_alone():
    x = np.random.default_rng(0).standard_normal((6, 1, 4))
    turned = np.asarray(rotate(jnp.asarray(x)))
    angles = np.arange(6)[:, None] * np.array([1.0, 0.01])
    expected = (x[:, 0, :2] + 1j * x[:, 0, 2:]) * np.exp(1j * angles)
    np.testing.assert_allclose(turned[:, 0, :2] + 1j * turned[:, 0, 2:], expected, atol=1e-5)
    same = np.asarray(rotate(jnp.broadcast_to(x[:1], x.shape)))[:, 0]
    products = same @ same.T
    np.testing.assert_allclose(products[1:, 1:], products[:-1, :-1], atol=1e-5)


def moved(task, tokens, position):
    """Which outputs change when one token does."""
    params = task.init(jax.random.key(0))
    other = tokens.copy()
    other[0, position] = SPECIAL + (tokens[0, position] - SPECIAL + 1) % 100
    before, after = (np.asarray(task.objective.predict(params, part))[0] for part in (tokens, other))
    return np.flatnonzero(np.abs(before - after).max(axis=-1) > 1e-6)


def test_gpt_looks_back_through_its_windows_and_never_ahead():
    task = make_task("gpt-tiny", "float32", GPT)
    tokens = task.train.inputs[:1]
    np.testing.assert_array_equal(moved(task, tokens, 2), [2, 3, 4, 5, 6])  # two layers, two positions back each
    np.testing.assert_array_equal(task.train.targets[0][:, :-1], task.train.inputs[:, 1:])


def test_bert_looks_both_ways_but_not_at_padding():
    task = make_task("bert-tiny", "float32", BERT)
    tokens = task.train.inputs[:1].copy()
    assert len(moved(task, tokens, 4)) == 9
    tokens[0, -2:] = PAD
    params = task.init(jax.random.key(0))
    shorter = np.asarray(task.objective.predict(params, tokens))[0, :-2]
    embedding = params.embedding.weight.at[PAD].add(1.0)
    other = eqx.tree_at(lambda p: p.embedding.weight, params, embedding)
    np.testing.assert_allclose(np.asarray(task.objective.predict(other, tokens))[0, :-2], shorter, atol=1e-6)


def test_masks_hide_the_stated_share():
    rng = np.random.default_rng(0)
    tokens = rng.integers(SPECIAL, 50, (400, 40)).astype(np.int32)
    tokens[:, 30:] = PAD
    shown, (right, weights) = masked(tokens, rng, 50, "float32")
    np.testing.assert_array_equal(right, tokens)
    hidden = weights > 0
    assert not hidden[:, 30:].any()
    assert set(hidden.sum(axis=1)) == {4}, "15 % of 30, rounded to even"
    np.testing.assert_array_equal(shown[~hidden], tokens[~hidden])
    assert np.mean(shown[hidden] == MASK) == pytest.approx(0.8, abs=0.04)
    assert np.mean(shown[hidden] == tokens[hidden]) == pytest.approx(0.1, abs=0.03)
    assert shown.min() >= 0
    few = np.full((1, 3), PAD, np.int32)
    few[0, 0] = SPECIAL
    assert masked(few, rng, 50, "float32")[1][1].sum() == 1, "at least one where there is one"
    assert masked(np.full((1, 3), PAD, np.int32), rng, 50, "float32")[1][1].sum() == 0


@pytest.mark.parametrize("name", ["bert-tiny", "gpt-tiny"])
def test_frozen_embeddings_are_no_parameters(name):
    options = {"bert-tiny": BERT, "gpt-tiny": GPT}[name]
    learned, frozen = (
        make_task(name, "float32", type(options)(**{**vars(options), "embeddings": kind}))
        for kind in ("learned", "frozen")
    )
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(task.init(jax.random.key(0)))) for task in (learned, frozen)]
    assert sizes[0] - sizes[1] == 160 * 8


def test_the_solution_of_the_equation_has_no_residual():
    exact = Residual(lambda point: jnp.prod(jnp.sin(jnp.pi * point)))
    task = make_task("poisson-pinn", "float32")
    points = jnp.asarray(task.train.inputs)
    residuals = jax.vmap(exact)(points)
    assert float(jnp.abs(residuals).max()) < 1e-3, "of terms up to 2 pi^2"
    inside = task.train.inputs[:, 2] == 0
    zero = jax.vmap(Residual(lambda point: 0.0 * point[0]))(points)
    source = 2 * np.pi**2 * np.sin(np.pi * task.train.inputs[:, :2]).prod(axis=1)
    np.testing.assert_allclose(zero, np.where(inside, source, 0), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [("bert-tiny", BERT), ("gpt-tiny", GPT), ("cnn", ResNetOptions(channels=1, stages=2))],
    ids=["bert-tiny", "gpt-tiny", "cnn"],
)
def test_curvature_takes_the_models_apart(name, options):
    """A block of the curvature against the examples' gradients, or second derivatives, themselves."""
    task = make_task(name, "float32", options)
    params = task.init(jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[:3], task.train.batch)
    block = next(block for block in per_tensor(params) if 8 <= block.n <= 64)

    def formed(curvature):
        return jax.jit(lambda p, b: curvature.form(task.objective, p, b, block).operator.as_matrix())(params, batch)

    if name == "cnn":
        form = formed(GaussNewton())
        predict = jax.jit(lambda v: task.objective.predict(block.put(params, v), batch[0]))
        outputs = jax.jit(jax.jacobian(predict))(block.take(params))
        p = jax.nn.softmax(predict(block.take(params)))
        middle = jnp.einsum("nc,cd->ncd", p, jnp.eye(p.shape[1])) - jnp.einsum("nc,nd->ncd", p, p)
        expected = jnp.einsum("nci,ncd,ndj->ij", outputs, middle, outputs) / 3
    else:
        form = formed(EmpiricalFisher(damping_floor=0))
        weights = batch[1][1].sum(axis=1)
        gradient = jax.jit(jax.grad(lambda v, b: task.objective(block.put(params, v), b)))
        examples = [jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], batch) for n in range(3)]
        gradients = [gradient(block.take(params), example) for example in examples]
        expected = sum(w * jnp.outer(g, g) for w, g in zip(weights, gradients, strict=True)) / weights.sum()
    np.testing.assert_allclose(form, expected, atol=1e-4 * float(jnp.abs(expected).max()))
