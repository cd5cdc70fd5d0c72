"""Chunks change the memory and nothing else; small and exact cases of both curvatures."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Array

from qnewton._core.records import System
from qnewton._curvature import AbstractCurvature, GaussNewton, Hessian, Objective, whole

BATCH, INPUTS, OUTPUTS = 7, 3, 2
PARAMS = INPUTS * OUTPUTS


def tanh_layer(w: Array, x: Array) -> Array:
    return jnp.tanh(x @ w)


def squares(z: Array, y: Array) -> Array:
    return jnp.sum((z - y) ** 2, axis=-1) / 2


def example(dtype: Any = np.float32) -> tuple[Objective, Array, tuple[Array, Array]]:
    rng = np.random.default_rng(3)
    w, x, y = (
        jnp.asarray(rng.standard_normal(s), dtype) for s in ((INPUTS, OUTPUTS), (BATCH, INPUTS), (BATCH, OUTPUTS))
    )
    return Objective(tanh_layer, squares), w, (x, y)


def by_hand(curvature: AbstractCurvature) -> np.ndarray:
    """The block of `example` in float64, entry by entry from the derivatives of tanh."""
    _, w, (x, y) = example(np.float32)
    w, x, y = (np.asarray(a, np.float64) for a in (w, x, y))
    z = np.tanh(x @ w)
    slope = 1 - z**2
    diagonal = slope**2
    if isinstance(curvature, Hessian):
        diagonal = diagonal + (z - y) * (-2 * z * slope)
    # The outputs do not share weights, so the block couples w[i, c] with w[j, c] only.
    blocks = np.einsum("bi,bc,bj->icj", x, diagonal, x)
    matrix = np.zeros((INPUTS, OUTPUTS, INPUTS, OUTPUTS))
    for c in range(OUTPUTS):
        matrix[:, c, :, c] = blocks[:, c, :]
    return matrix.reshape(PARAMS, PARAMS) / BATCH


def formed(curvature: AbstractCurvature, objective: Objective, params: Array, batch: Any) -> System:
    """The only block; jitted, since everything one by one compiles longer."""
    (block,) = whole(params)
    return jax.jit(lambda p, b: curvature.form(objective, p, b, block))(params, batch)


PER_EXAMPLE = 2 * OUTPUTS * PARAMS * 4  # bytes of J and of D J, in float32

SIZES = {
    **{f"hessian-{chunk}": Hessian(chunk=chunk, structure=False) for chunk in (1, 4, PARAMS + 5)},
    "gauss_newton-1-of-7": GaussNewton(chunk_bytes=1, structure=False),
    "gauss_newton-2-of-7": GaussNewton(chunk_bytes=3 * PER_EXAMPLE - 1, structure=False),
    "gauss_newton-7-of-7": GaussNewton(chunk_bytes=7 * PER_EXAMPLE, structure=False),
    # The layer is recognised by its structure.
    **{f"hessian-structure-{size}-bytes": Hessian(chunk_bytes=size) for size in (1, 120)},
    **{f"gauss_newton-structure-{size}-bytes": GaussNewton(chunk_bytes=size) for size in (1, 120)},
}


@pytest.mark.parametrize("curvature", SIZES.values(), ids=SIZES)
def test_the_size_of_a_chunk_does_not_change_the_block(curvature: AbstractCurvature) -> None:
    objective, params, batch = example()
    (block,) = whole(params)
    matrix = jax.jit(lambda p, b: curvature.form(objective, p, b, block).matrix)(params, batch)
    expected = by_hand(curvature)
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-6 * np.max(np.abs(expected)))


def shapes_in(jaxpr: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of all intermediate arrays, those inside loops included."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.shape for variable in equation.outvars)
        for value in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from shapes_in(inner)


def shapes_formed(curvature: AbstractCurvature) -> set[tuple[int, ...]]:
    objective, params, batch = example()
    (block,) = whole(params)
    return set(
        shapes_in(jax.make_jaxpr(lambda p, b: curvature.form(objective, p, b, block).matrix)(params, batch).jaxpr)
    )


@pytest.mark.parametrize("examples", [1, 3, 7])
def test_gauss_newton_holds_the_jacobians_of_one_chunk_at_a_time(examples: int) -> None:
    shapes = shapes_formed(GaussNewton(chunk_bytes=examples * PER_EXAMPLE, structure=False))
    jacobians = {shape[0] for shape in shapes if shape[1:] == (OUTPUTS, PARAMS)}
    assert max(jacobians) == examples


@pytest.mark.parametrize("chunk", [1, 4])
def test_the_hessian_holds_the_tangents_of_one_chunk_at_a_time(chunk: int) -> None:
    shapes = shapes_formed(Hessian(chunk=chunk, structure=False))
    tangents = {shape[0] for shape in shapes if len(shape) == 3 and {BATCH, OUTPUTS} <= set(shape[1:])}
    assert max(tangents) == chunk


@pytest.mark.parametrize("curvature", [Hessian(), GaussNewton()], ids=str)
def test_a_scalar_parameter_gives_a_one_by_one_block(curvature: AbstractCurvature, dtype: jnp.dtype) -> None:
    x = np.array([0.5, -1.0, 2.0])
    objective = Objective(lambda a, x: a * x, lambda z, y: jnp.exp(z))
    params = jnp.asarray(0.25, dtype)
    system = formed(curvature, objective, params, (jnp.asarray(x, dtype), jnp.zeros(3, dtype)))
    assert system.matrix.shape == (1, 1)
    # z = a x is linear in a, so both curvatures are the mean of x^2 exp(a x).
    rtol = 1e-6 if dtype == jnp.float32 else 1e-14
    np.testing.assert_allclose(system.matrix, [[np.mean(x**2 * np.exp(x / 4))]], rtol=rtol)


@pytest.mark.parametrize("curvature", [Hessian(), GaussNewton()], ids=str)
def test_one_example_is_a_batch(curvature: AbstractCurvature) -> None:
    objective, params, (x, y) = example()
    (block,) = whole(params)
    form = jax.jit(lambda x, y: curvature.form(objective, params, (x, y), block).matrix)
    one_by_one = [np.asarray(form(x[i : i + 1], y[i : i + 1]), np.float64) for i in range(BATCH)]
    np.testing.assert_allclose(np.mean(one_by_one, axis=0), by_hand(curvature), rtol=0, atol=1e-6)


eighths = st.integers(-64, 64).map(lambda k: k / 8)


@given(
    x=arrays(np.float64, (4, 3), elements=eighths),
    w=arrays(np.float64, (3, 2), elements=eighths),
    y=arrays(np.float64, (4, 2), elements=eighths),
)
def test_linear_regression_has_the_gram_matrix_of_its_inputs(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    """`X^T X / B kron I`, whatever the parameters and targets; exact, for numbers with few digits."""
    expected = np.kron(x.T @ x / 4, np.eye(2))
    for form in LINEAR_REGRESSION:
        np.testing.assert_array_equal(form(*(jnp.asarray(a, jnp.float32) for a in (w, x, y))), expected)


def linear_regression(curvature: AbstractCurvature) -> Any:
    objective = Objective(lambda w, x: x @ w, squares)
    return jax.jit(lambda w, x, y: curvature.form(objective, w, (x, y), whole(w)[0]).matrix)


LINEAR_REGRESSION = [linear_regression(Hessian(chunk=4)), linear_regression(GaussNewton(chunk_bytes=300))]


def test_a_loss_that_is_not_convex_can_be_declared() -> None:
    """Then no floor is claimed; with the default, the claim would be false here."""
    objective = Objective(lambda w, x: x @ w, lambda z, y: jnp.sum(jnp.cos(z), axis=-1))
    params, batch = jnp.zeros((2, 1)), (jnp.eye(2), jnp.zeros(2))
    system = formed(GaussNewton(convex_loss=False), objective, params, batch)
    np.testing.assert_allclose(system.matrix, -np.eye(2) / 2)
    assert system.eigenvalue_floor is None
    assert not GaussNewton(convex_loss=False).semidefinite


@pytest.mark.parametrize("curvature", [Hessian(), GaussNewton()], ids=str)
def test_the_block_has_the_dtype_of_the_parameters_whatever_that_of_the_data(curvature: AbstractCurvature) -> None:
    with jax.enable_x64(True):
        objective, params, batch = example(np.float64)
        system = formed(curvature, objective, params.astype(np.float32), batch)
        assert {leaf.dtype for leaf in jax.tree.leaves(system)} == {jnp.dtype(np.float32)}
    expected = by_hand(curvature)
    np.testing.assert_allclose(system.matrix, expected, rtol=0, atol=1e-5 * np.max(np.abs(expected)))


@pytest.mark.parametrize("chunk", [0, -3])
def test_a_chunk_of_nothing_is_refused(chunk: int) -> None:
    with pytest.raises(ValueError, match=f"chunk is {chunk}: .*at least 1"):
        Hessian(chunk=chunk)
    with pytest.raises(ValueError, match=f"chunk_bytes is {chunk}: it must be positive"):
        GaussNewton(chunk_bytes=chunk)
