"""Tasks and their batches."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from qnewton.lab._experiments.options import TaskOptions
from qnewton.lab._experiments.task_options import (
    TASKS,
    AutoencoderOptions,
    BertOptions,
    Digits28Options,
    GptOptions,
    PerceptronOptions,
    PoissonOptions,
    ResNetOptions,
    TextOptions,
    kind_of,
)
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._experiments.tasks.base import Data, Task, batches
from qnewton.lab._experiments.tasks.evaluation import mean

TEXT = TextOptions(vocabulary=160, length=8, sequences=24)
# Every task that needs no data of the user's, at its smallest; the tiny one of these tests is among them.
SMALL: dict[str, TaskOptions] = {
    "digits-mlp": PerceptronOptions(width=4, depth=1),
    "digits28": Digits28Options(width=2, depth=1),
    "autoencoder": AutoencoderOptions(hidden=(3,), code=2),
    "cnn": ResNetOptions(channels=2, stages=2),
    "bert-tiny": BertOptions(layers=1, hidden=8, heads=2, intermediate=8, embeddings="frozen", text=TEXT),
    "gpt-tiny": GptOptions(layers=1, hidden=8, heads=2, key_value_heads=1, intermediate=8, window=3, text=TEXT),
    "poisson-pinn": PoissonOptions(width=4, depth=1, interior=12, boundary=4),
    "tiny": TaskOptions(),
}


def small(name: str, dtype: str = "float32") -> Task:
    return make_task(name, dtype, SMALL[name])


def numbered(count: int) -> Data:
    """Example i holds i, and its target -i."""
    inputs = np.arange(count)
    return Data(inputs[:, None], -inputs)


@hypothesis.given(count=st.integers(1, 30), size=st.integers(1, 40), seed=st.integers(0, 5))
def test_an_epoch_sees_each_example_once_and_only_in_whole_batches(count, size, seed):
    stream = batches(numbered(count), size, seed)
    used = min(size, count)
    per_epoch = count // used
    for _ in range(2):
        epoch = list(itertools.islice(stream, per_epoch))
        assert all(len(targets) == used for _, targets in epoch)
        for inputs, targets in epoch:
            np.testing.assert_array_equal(inputs[:, 0], -targets)
        seen = np.concatenate([-targets for _, targets in epoch])
        assert len(set(seen)) == len(seen) == per_epoch * used
        if count % used == 0:
            assert set(seen) == set(range(count))


@hypothesis.given(count=st.integers(2, 30), size=st.integers(1, 10), seed=st.integers(0, 2**32))
def test_batches_are_a_function_of_the_seed(count, size, seed):
    first, again = (itertools.islice(batches(numbered(count), size, seed), 5) for _ in range(2))
    for (_, a), (_, b) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_epoch_and_another_seed_shuffle_anew():
    data = numbered(100)
    stream = batches(data, 50, 0)
    first = np.concatenate([next(stream)[1] for _ in range(2)])
    second = np.concatenate([next(stream)[1] for _ in range(2)])
    other = np.concatenate([targets for _, targets in itertools.islice(batches(data, 50, 1), 2)])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


@hypothesis.given(count=st.integers(1, 30), size=st.integers(1, 10), seed=st.integers(0, 5), start=st.integers(0, 40))
def test_a_batch_is_a_function_of_seed_and_step(count, size, seed, start):
    # As after a resumption; what is drawn anew for a batch belongs to it too.
    data = Data(*numbered(count).batch, fresh=lambda batch, rng: (batch[0], batch[1] + rng.integers(1000)))
    gone_on = itertools.islice(batches(data, size, seed), start, start + 3)
    for (_, went_on), (_, resumed) in zip(gone_on, batches(data, size, seed, start), strict=False):
        np.testing.assert_array_equal(went_on, resumed)


def test_what_is_drawn_anew_differs_between_steps_and_seeds():
    data = Data(*numbered(4).batch, fresh=lambda batch, rng: (batch[0], rng.random(4)))
    drawn = [next(batches(data, 4, seed, step))[1] for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(values) for values in drawn}) == 3


@pytest.mark.parametrize("size", [5, 2048])
def test_a_batch_of_everything_keeps_its_order(size):
    for _, (_, targets) in zip(range(2), batches(numbered(5), size, 3), strict=False):
        np.testing.assert_array_equal(targets, [0, -1, -2, -3, -4])


@pytest.fixture(scope="module", params=SMALL)
def task_name(request):
    return request.param


def floats(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if np.issubdtype(leaf.dtype, np.floating)]


class TestTaskContract:
    def test_is_registered_with_its_options(self, task_name):
        assert task_name in TASKS
        assert type(SMALL[task_name]) is kind_of(task_name)

    def test_has_data_parameters_and_a_loss_of_its_dtype(self, task_name, dtype):
        task = small(task_name, str(dtype))
        params = task.init(jax.random.key(0))
        data = floats((task.train.batch, task.test.batch))
        assert {leaf.dtype for leaf in [*jax.tree.leaves(params), *data]} == {dtype}
        for part in (task.train, task.test):
            assert {len(leaf) for leaf in jax.tree.leaves(part.batch)} == {len(part)}
        assert len(task.train) > len(task.test) > 0
        few = jax.tree.map(lambda leaf: leaf[-4:], task.train.batch)
        loss, gradient = jax.jit(jax.value_and_grad(task.objective))(params, few)
        assert loss.dtype == dtype
        assert loss.shape == ()
        assert 0 < float(loss) < 100
        assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in jax.tree.leaves(gradient)), "all is trained"

    def test_parameters_and_data_are_the_same_each_time(self, task_name):
        first, again = small(task_name), small(task_name)
        params, same, other = (task.init(jax.random.key(k)) for task, k in ((first, 0), (again, 0), (first, 1)))
        assert all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(same)))
        assert not all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(other)))
        for mine, its in ((first.train, again.train), (first.test, again.test)):
            assert all(map(np.array_equal, jax.tree.leaves(mine.batch), jax.tree.leaves(its.batch)))

    def test_the_test_examples_are_held_out(self, task_name):
        if task_name in ("bert-tiny", "gpt-tiny"):
            pytest.skip("eight tokens, such as a row of asterisks, can stand in two documents")
        task = small(task_name)
        together = np.concatenate([task.train.inputs, task.test.inputs])
        distinct = len(np.unique(together.reshape(len(together), -1), axis=0))
        assert distinct == len(together), "no example twice, so none in both"

    def test_accuracy_is_the_fraction_of_right_answers(self, task_name):
        task = small(task_name)
        if task.accuracy is None:
            assert task_name in ("autoencoder", "poisson-pinn")
            return
        params = task.init(jax.random.key(0))
        inputs, targets = task.test.batch
        answers = np.argmax(jax.jit(task.objective.predict)(params, inputs), axis=-1)
        accuracy = jax.jit(task.accuracy)
        for wrong in (0, 1):
            given = answers + wrong
            given = (given, targets[1]) if isinstance(targets, tuple) else given
            assert float(accuracy(params, (inputs, given))) == 1 - wrong


def test_the_mean_over_all_data_is_the_same_in_pieces(monkeypatch):
    monkeypatch.setattr("qnewton.lab._experiments.tasks.evaluation._WHOLE", 3)
    monkeypatch.setattr("qnewton.lab._experiments.tasks.evaluation._PIECE", 5)
    for name in ("gpt-tiny", "tiny"):
        task = small(name)
        objective = type(task.objective)(task.objective.predict, task.objective.loss, l2=0.1)
        params = task.init(jax.random.key(0))
        whole = jax.jit(objective)(params, task.train.batch)
        pieces = jax.jit(lambda p, batch, objective=objective: mean(objective, p, batch))(params, task.train.batch)
        np.testing.assert_allclose(pieces, whole, rtol=1e-5)


def test_the_digits_are_those_of_scikit_learn():
    task = make_task("digits-mlp", "float32")
    assert (len(task.train), len(task.test)) == (1438, 359)
    assert task.train.inputs.shape == (1438, 64)
    assert task.train.inputs.min() == 0
    assert task.train.inputs.max() == 1
    assert set(task.train.targets) == set(task.test.targets) == set(range(10))
    sizes = [leaf.size for leaf in jax.tree.leaves(task.init(jax.random.key(0)))]
    assert sorted(sizes) == [10, 16, 16, 160, 256, 1024]


def test_the_digits_keep_their_ink_when_they_grow():
    task, grown = make_task("digits-mlp", "float32"), make_task("digits28", "float32")
    np.testing.assert_array_equal(task.train.targets, grown.train.targets)
    images = grown.train.inputs.reshape(-1, 28, 28)
    assert 0 == images.min() < images.max() <= 1
    np.testing.assert_allclose(images.mean(axis=(1, 2)), task.train.inputs.mean(axis=1), atol=0.03)


def test_the_options_of_another_task_are_refused():
    with pytest.raises(ValueError, match="the task cnn takes ResNetOptions, and PoissonOptions was given"):
        make_task("cnn", "float32", PoissonOptions())


def test_an_unknown_task_is_named_with_its_neighbour():
    with pytest.raises(ValueError, match="unknown task 'digit-mlp': did you mean 'digits-mlp'"):
        make_task("digit-mlp", "float32")
