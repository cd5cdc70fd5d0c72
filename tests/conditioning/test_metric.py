"""What damping is a multiple of; the oracles are the definition in numpy, and dense congruences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnewton as qn
from qnewton._conditioning import diagonal_of, in_metric
from qnewton._core.operators import DenseRoot, Shifted
from qnewton._core.records import System
from qnewton._core.scaled import ScaledBlock
from qnewton.testing.blocks import DenseBlock

POWERS = st.lists(st.integers(-40, 40), min_size=5, max_size=5)
ENTRIES = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=5, max_size=5)


def definition(diagonal: np.ndarray, params: np.ndarray, sizes: float) -> np.ndarray:
    """`D`, entry by entry."""
    influences = [np.sqrt(a) * s for a, s in zip(diagonal, params, strict=True) if a * s > 0]
    roots = []
    for a, s in zip(diagonal, params, strict=True):
        root = np.sqrt(a)
        if sizes and influences:
            size = min(influences) / root if s == 0 and root > 0 else s
            if size > 0:
                root = max(root, np.sqrt(sizes) * max(influences) / size)
        roots.append(root if root > 0 else 1.0)
    return np.array(roots)


@given(ENTRIES, ENTRIES, st.sampled_from([0.0, 1e-4, 0.3]))
def test_the_roots_are_those_of_the_definition(diagonal, params, sizes) -> None:
    with jax.enable_x64(True):
        metric = qn.Marquardt(sizes=sizes)
        memory = metric.follow(metric.init(5, jnp.float64), jnp.array(diagonal), -jnp.array(params))
        found = np.asarray(metric.roots(memory))
    np.testing.assert_allclose(found, definition(np.array(diagonal), np.array(params), sizes), rtol=1e-12)


@given(ENTRIES, ENTRIES, POWERS)
def test_powers_of_two_move_the_roots_exactly(diagonal, params, powers) -> None:
    """Units `2^k` times as large: curvature `4^-k`, parameters `2^k`; what has neither is 1 in any unit."""
    with jax.enable_x64(True):
        metric, unit = qn.Marquardt(), 2.0 ** np.array(powers)
        memory = [
            metric.follow(metric.init(5, jnp.float64), jnp.array(diagonal / u**2), jnp.array(params * u))
            for u in (np.ones(5), unit)
        ]
        before, after = (np.asarray(metric.roots(m)) for m in memory)
    moved = after * unit
    alive = (np.array(diagonal) > 0) | ((np.array(params) > 0) & np.any(np.array(diagonal) * np.array(params) > 0))
    np.testing.assert_array_equal(moved[alive], before[alive])
    np.testing.assert_array_equal(after[~alive], 1)


def test_the_largest_so_far_counts_and_what_is_not_finite_leaves_no_trace() -> None:
    metric = qn.Marquardt(sizes=0)
    memory = metric.init(3, jnp.float32)
    for diagonal in ([1.0, 4.0, 0.0], [9.0, jnp.nan, 0.0], [jnp.inf, -1.0, 0.0]):
        memory = metric.follow(memory, jnp.array(diagonal), jnp.zeros(3))
    np.testing.assert_array_equal(metric.roots(memory), [3, 2, 1])
    memory = metric.follow(memory, jnp.array([0.0, 0.0, 1e-20]), jnp.zeros(3))
    np.testing.assert_allclose(metric.roots(memory), [3, 2, 1e-10], rtol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("dtype", ["float64"], indirect=True)
def test_a_block_in_units_is_the_dense_congruence(shift, dtype) -> None:
    rng = np.random.default_rng(0)
    root, roots = rng.standard_normal((4, 6)), 2.0 ** rng.integers(-9, 9, 6)
    block = root.T @ root
    operator = Shifted(
        DenseBlock(jnp.asarray(block), rooted=DenseRoot(jnp.asarray(root))), jnp.asarray(shift), definite=True
    )
    floor = jnp.asarray(shift)
    unformed = System.over(operator, symmetric=True, eigenvalue_floor=floor)
    expected = (block + shift * np.eye(6)) / roots / roots[:, None]
    for system in (unformed, unformed.formed()):
        after = in_metric(system, jnp.asarray(roots), diagonal_of(system), shifted=shift > 0)
        assert after.is_formed == system.is_formed
        np.testing.assert_allclose(after.matrix, expected, rtol=1e-12, atol=1e-14 * np.max(expected))
        vector = rng.standard_normal(6)
        np.testing.assert_allclose(after.operator.mv(jnp.asarray(vector)), expected @ vector, rtol=1e-9)
        np.testing.assert_allclose(after.coordinates.back(jnp.asarray(vector)), vector / roots, rtol=1e-12)
        assert after.eigenvalue_floor is not None
        assert float(after.eigenvalue_floor) <= np.linalg.eigvalsh(expected)[0] + 1e-12 * np.max(expected)
    scaled = in_metric(unformed, jnp.asarray(roots), diagonal_of(unformed), shifted=shift > 0).operator
    assert isinstance(scaled, ScaledBlock)
    np.testing.assert_allclose(scaled.diagonal(), np.diag(expected), rtol=1e-12)
    np.testing.assert_allclose(scaled.max_entry(), np.max(np.diag(expected)), rtol=1e-12)
    np.testing.assert_allclose(np.triu(scaled.upper_triangle()), np.triu(expected), rtol=1e-9, atol=1e-12)
    found = scaled.root()
    assert found is not None
    dense = np.stack([found.transpose_mv(row) for row in jnp.eye(found.rows)])
    np.testing.assert_allclose(dense.T @ dense, expected, rtol=1e-9, atol=1e-12 * np.max(expected))
    np.testing.assert_allclose(found.gram(), dense @ dense.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.mv(jnp.asarray(vector)), dense @ vector, rtol=1e-9)


@pytest.mark.parametrize("sizes", [-1e-3, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(sizes) -> None:
    with pytest.raises(ValueError, match="sizes is"):
        qn.Marquardt(sizes=sizes)
