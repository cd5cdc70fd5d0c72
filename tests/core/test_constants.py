"""Arrays that a traced function closes over are not computed with while it is compiled, and nothing else changes."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton._core.constants import unfolded

# No other array of the step has the batch's shape.
BATCH, WIDTH, OUT = 14, 5, 3
X = np.random.default_rng(0).standard_normal((BATCH, WIDTH)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((BATCH, OUT)).astype(np.float32)
DATA = jnp.asarray(X), jnp.asarray(Y)
PARAMS = {"w": jnp.linspace(-1, 1, WIDTH * 4).reshape(WIDTH, 4), "v": jnp.linspace(-0.5, 0.7, 4 * OUT).reshape(4, OUT)}


def predict(params: Any, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["w"]) @ params["v"]


OBJECTIVE = q.Objective(predict, lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "cg_kfac": lambda: q.newton(OBJECTIVE, solver=q.CG(preconditioner=q.KFAC())),
    "cholesky": lambda: q.newton(OBJECTIVE, solver=q.Cholesky(), partition=q.per_tensor),
    "hessian": lambda: q.newton(OBJECTIVE, solver=q.MINRES(), curvature=q.Hessian(), step=q.LineSearch()),
    "dual_solver": lambda: q.newton(OBJECTIVE, solver=q.Dual(), step=q.QuadraticModel()),
    "refresh": lambda: q.newton(OBJECTIVE, solver=q.LU(), curvature=q.EmpiricalFisher(), refresh=2),
    "kfac": lambda: q.kfac(OBJECTIVE, example=DATA[0]),
    "dual_newton": lambda: q.dual_newton(OBJECTIVE),
    "fisher_newton": lambda: q.fisher_newton(OBJECTIVE),
}


def readers(jaxpr: Any, known: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The primitives that read a constant, wherever that is handed on to."""
    for equation in jaxpr.eqns:
        read = [known.get(v) if isinstance(v, jex.Var) else getattr(v, "val", None) for v in equation.invars]
        inner = [
            part for value in equation.params.values() for part in (value if isinstance(value, tuple) else (value,))
        ]
        bodies = [getattr(part, "jaxpr", part) for part in inner if isinstance(part, (jex.Jaxpr, jex.ClosedJaxpr))]
        for body in bodies:
            # The last operands are those of a loop's or a branch's body, too.
            handed = read[len(read) - len(body.invars) :] if len(body.invars) <= len(read) else []
            yield from readers(body, {v: c for v, c in zip(body.invars, handed, strict=False) if c is not None})
        if not bodies:
            yield from ((equation.primitive.name, constant) for constant in read if constant is not None)


def of_the_batch(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """The primitives that read the closed-over batch."""
    closed = jax.make_jaxpr(function)(*arguments)
    known = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    shapes = {(BATCH, WIDTH), (BATCH, OUT)}
    return [name for name, constant in readers(closed.jaxpr, known) if jnp.shape(constant) in shapes]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_reads_a_closed_over_batch_through_barriers_alone(name: str) -> None:
    optimizer = OPTIMIZERS[name]()

    def step(params: Any, state: Any) -> Any:
        value, gradients = jax.value_and_grad(OBJECTIVE)(params, DATA)
        return optimizer.update(gradients, state, params, batch=DATA, value=value)

    found = of_the_batch(step, PARAMS, optimizer.init(PARAMS))
    assert len(found) >= 2
    assert set(found) == {"optimization_barrier"}


def test_a_formed_block_reads_it_through_barriers_alone() -> None:
    (block,) = q.whole(PARAMS)
    found = of_the_batch(lambda p: q.GaussNewton().form(OBJECTIVE, p, (X, Y), block).matrix, PARAMS)
    assert set(found) == {"optimization_barrier"}
    # The reader of constants does find one that is read directly.
    assert "dot_general" in of_the_batch(lambda p: DATA[0] @ p["w"], PARAMS)


def test_the_compiler_folds_nothing_behind_the_barrier_and_computes_it_once() -> None:
    matrix = np.random.default_rng(2).standard_normal((30, 20)).astype(np.float32)

    def dots(function: Callable[[jax.Array], Any]) -> int:
        text = jax.jit(function).lower(jnp.float32(2)).compile().as_text()
        assert text is not None
        return text.count(" dot(")

    assert dots(lambda s: s * (matrix.T @ jnp.asarray(matrix))) == 0
    assert dots(lambda s: s * (unfolded(matrix).T @ unfolded(matrix))) == 1
    # Two barriers, as in the gradient and in the update, are one value.
    assert dots(lambda s: (s * (unfolded(matrix).T @ unfolded(matrix)), unfolded(matrix).T @ unfolded(matrix))) == 1


def test_the_step_is_that_of_the_batch_as_an_argument() -> None:
    optimizer = OPTIMIZERS["cg_kfac"]()

    def step(params: Any, state: Any, batch: Any) -> Any:
        updates, state = optimizer.update(jax.grad(OBJECTIVE)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(PARAMS)
    argument = jax.jit(step)(PARAMS, state, DATA)
    closed = jax.jit(lambda p, s: step(p, s, DATA))(PARAMS, state)
    for one, other in zip(jax.tree.leaves(argument), jax.tree.leaves(closed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_outside_of_a_trace_and_for_arguments_nothing_happens() -> None:
    tree = {"x": X, "y": DATA[1], "n": 3, "none": None}
    assert unfolded(tree) is tree
    text = str(jax.make_jaxpr(lambda batch: unfolded(batch))(DATA))
    assert "optimization_barrier" not in text
    # Under a transformation that compiles nothing there is nothing to hide either.
    assert jax.grad(lambda s: s * jnp.sum(unfolded(DATA)[0]))(1.0) == pytest.approx(X.sum(), rel=1e-5)


def test_leaves_of_every_kind_keep_their_values() -> None:
    tree = {"x": X, "key": jax.random.key(3), "n": 3, "none": None, "ids": jnp.arange(4)}

    def read(scale: jax.Array) -> Any:
        got = unfolded(tree)
        assert got["n"] == 3
        assert got["none"] is None
        return scale * got["x"], jax.random.key_data(got["key"]), got["ids"]

    x, key, ids = jax.jit(read)(jnp.float32(1))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(key, jax.random.key_data(jax.random.key(3)))
    np.testing.assert_array_equal(ids, np.arange(4))


def test_it_can_be_mapped_and_differentiated_under_jit() -> None:
    scales = jnp.array([1.0, 2.0])
    mapped = jax.jit(jax.vmap(lambda s: OBJECTIVE(jax.tree.map(lambda w: s * w, PARAMS), DATA)))(scales)
    gradient = jax.jit(jax.grad(OBJECTIVE))(PARAMS, DATA)
    closed = jax.jit(jax.grad(lambda p: OBJECTIVE(p, DATA)))(PARAMS)

    def by_hand(scale: float) -> float:
        w, v = (np.asarray(scale * PARAMS[name], np.float64) for name in ("w", "v"))
        return float(np.mean(np.sum((np.tanh(X @ w) @ v - Y) ** 2, axis=1)))

    np.testing.assert_allclose(mapped, [by_hand(1.0), by_hand(2.0)], rtol=1e-5)
    for name in PARAMS:
        np.testing.assert_allclose(closed[name], gradient[name], rtol=1e-5, atol=1e-6)
