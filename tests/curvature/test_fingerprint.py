"""Two batches with the same fingerprint are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._curvature.fingerprint import fingerprint, scattered

DTYPES = ["float32", "float16", "bfloat16", "int32", "int8", "uint8", "bool", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_change_of_any_entry_shows(dtype: str) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (40, 7))
    values, other = jnp.asarray(bits, dtype), jnp.asarray(1 - bits, dtype)
    first = np.asarray(fingerprint(values))
    np.testing.assert_array_equal(first, fingerprint(jnp.array(values)))
    found = {tuple(first.tolist())}
    changed = [values.at[i, j].set(other[i, j]) for i in range(40) for j in range(7)]
    changed += [values[::-1], values[:, ::-1], jnp.roll(values, 1), jnp.roll(values, 1, axis=0)]
    found |= {tuple(np.asarray(one).tolist()) for one in map(jax.jit(fingerprint), changed)}
    assert len(found) == 1 + len(changed)


def test_the_last_bit_and_the_sign_of_zero_show() -> None:
    values = jnp.linspace(0.1, 1.0, 1000)
    for other in (values.at[500].set(jnp.nextafter(values[500], 2.0)), values.at[0].set(-0.0)):
        assert np.any(np.asarray(fingerprint(values.at[0].set(0.0))) != np.asarray(fingerprint(other)))


def test_trees_and_keys() -> None:
    tree = {"x": jnp.arange(6.0), "key": jax.random.key(1)}
    assert np.any(np.asarray(fingerprint(tree)) != np.asarray(fingerprint(tree | {"key": jax.random.key(2)})))
    swapped = {"x": jnp.arange(6.0)[::-1], "key": jax.random.key(1)}
    assert np.any(np.asarray(fingerprint(tree)) != np.asarray(fingerprint(swapped)))


@pytest.mark.parametrize("shape", [(256, 64), (1000,), (64, 28, 28), (5, 1)])
def test_a_few_entries_tell_batches_apart_that_were_drawn(shape):
    draws = np.random.default_rng(0)
    batches = [
        (jnp.asarray(draws.normal(size=shape), jnp.float32), jnp.asarray(draws.integers(0, 10, shape[0])))
        for _ in range(20)
    ]
    found = {tuple(np.asarray(fingerprint(scattered(batch))).tolist()) for batch in batches}
    assert len(found) == len(batches)
    again = jax.tree.map(jnp.array, batches[0])
    assert tuple(np.asarray(fingerprint(scattered(again))).tolist()) in found


def test_the_few_entries_lie_in_all_parts_and_in_no_single_column():
    rows, columns = 64, 64
    places = jnp.arange(rows * columns).reshape(rows, columns)
    (chosen,) = scattered(places)
    chosen = np.asarray(chosen)
    assert len(set((chosen // (rows * columns // len(chosen))).tolist())) == len(chosen)
    assert len(set((chosen % columns).tolist())) > len(chosen) // 2
