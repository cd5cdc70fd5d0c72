"""Tasks and their batches."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton.experiments.tasks import TASKS, make_task
from qnewton.experiments.tasks.base import Data, batches


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


@pytest.mark.parametrize("size", [5, 2048])
def test_a_batch_of_everything_keeps_its_order(size):
    for _, (_, targets) in zip(range(2), batches(numbered(5), size, 3), strict=False):
        np.testing.assert_array_equal(targets, [0, -1, -2, -3, -4])


# One contract for every task that is registered; the tiny ones of these tests are among them.
@pytest.fixture(scope="module", params=["digits-mlp", "tiny"])
def task_name(request):
    return request.param


class TestTaskContract:
    def test_is_registered(self, task_name):
        assert task_name in TASKS

    def test_has_data_parameters_and_a_loss_of_its_dtype(self, task_name, dtype):
        task = make_task(task_name, str(dtype))
        params = task.init(jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {dtype}
        assert task.train.inputs.dtype == dtype
        assert task.test.inputs.dtype == dtype
        assert len(task.train) == len(task.train.targets) > len(task.test) == len(task.test.targets) > 0
        few = jax.tree.map(lambda leaf: leaf[:4], task.train.batch)
        loss = jax.jit(task.objective)(params, few)
        assert loss.dtype == dtype
        assert loss.shape == ()
        assert 0 < float(loss) < 20
        assert float(jax.jit(task.accuracy)(params, few)) in (0, 0.25, 0.5, 0.75, 1)

    def test_parameters_are_a_function_of_the_key(self, task_name):
        task = make_task(task_name, "float32")
        first, again, other = (task.init(jax.random.key(seed)) for seed in (0, 0, 1))
        assert all(map(np.array_equal, jax.tree.leaves(first), jax.tree.leaves(again)))
        assert not all(map(np.array_equal, jax.tree.leaves(first), jax.tree.leaves(other)))

    def test_the_data_are_the_same_each_time_and_the_test_examples_are_held_out(self, task_name):
        first, again = make_task(task_name, "float32"), make_task(task_name, "float32")
        np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
        together = np.concatenate([first.train.inputs, first.test.inputs])
        assert len(np.unique(together, axis=0)) == len(together), "no example twice, so none in both"

    def test_accuracy_is_the_fraction_of_right_answers(self, task_name):
        task = make_task(task_name, "float32")
        params = task.init(jax.random.key(0))
        inputs, _ = task.test.batch
        answers = np.asarray(jnp.argmax(task.objective.predict(params, inputs), axis=-1))
        accuracy = jax.jit(task.accuracy)
        assert float(accuracy(params, (inputs, answers))) == 1
        assert float(accuracy(params, (inputs, answers + 1))) == 0


def test_the_digits_are_those_of_scikit_learn():
    task = make_task("digits-mlp", "float32")
    assert (len(task.train), len(task.test)) == (1438, 359)
    assert task.train.inputs.shape == (1438, 64)
    assert task.train.inputs.min() == 0
    assert task.train.inputs.max() == 1
    assert set(task.train.targets) == set(task.test.targets) == set(range(10))
    sizes = [leaf.size for leaf in jax.tree.leaves(task.init(jax.random.key(0)))]
    assert sorted(sizes) == [10, 16, 16, 160, 256, 1024]


def test_an_unknown_task_is_named_with_its_neighbour():
    with pytest.raises(ValueError, match="unknown task 'digit-mlp': did you mean 'digits-mlp'"):
        make_task("digit-mlp", "float32")
