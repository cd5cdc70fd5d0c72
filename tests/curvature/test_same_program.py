"""Whether the number of examples enters what a function computes: the programs of a batch and of a batch of one."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array

from qnewton._curvature.coupling import traced
from qnewton._curvature.same_program import same_program

WEIGHTS = jnp.linspace(0.5, 1.5, 9)


def counted_by(count: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function of each example that knows how many there are from an array of ones."""
    return lambda x: x * count(jnp.ones(x.shape[0]))


KNOWN: dict[str, Callable[[Array], Array]] = {
    "its-size": lambda x: x / x.shape[0],
    "a-sum": counted_by(jnp.sum),
    "a-sum-of-ones-own": counted_by(lambda o: jax.lax.reduce(o, 0.0, lambda a, b: a + b + 0 * a * b, (0,))),
    "a-histogram": counted_by(lambda o: jnp.zeros(3).at[jnp.zeros(o.shape[0], int)].add(o)[0]),
    "a-window": counted_by(lambda o: jax.lax.reduce_window(o, 0.0, jax.lax.add, o.shape, (1,), "VALID")[0]),
    "a-convolution": counted_by(lambda o: jnp.convolve(o, o, mode="valid")[0]),
    "a-recurrence": counted_by(lambda o: jax.lax.scan(lambda c, _: (1.1 * c, None), o[0], None, length=o.shape[0])[0]),
    "a-map-and-a-sum": counted_by(lambda o: jnp.sum(jax.lax.map(lambda a: 2 * a, o))),
    "a-slice": lambda x: x * WEIGHTS[: x.shape[0]][-1],
    "a-split": lambda x: x * jnp.split(WEIGHTS, [x.shape[0] - 1, x.shape[0]])[1][0],
    "an-identity": lambda x: x / jnp.trace(jnp.eye(x.shape[0])),
    "a-triangle": lambda x: jnp.tril(jnp.ones((x.shape[0], x.shape[0]))) @ x,
    "a-grid": lambda x: x * jnp.linspace(0.0, 1.0, x.shape[0] + 1)[1],
    "positions": lambda x: x * jnp.arange(x.shape[0])[:, None],
}
UNKNOWN: dict[str, Callable[[Array], Array]] = {
    "a-map": lambda x: jax.lax.map(jnp.sin, x),
    "a-half": lambda x: jnp.concatenate([x, -x])[: x.shape[0]],
    "rows-of-their-own": lambda x: x[jnp.arange(x.shape[0]), jnp.argmax(x, axis=1)],
    "written-into": lambda x: jnp.zeros(x.shape).at[:, 0].set(x[:, 1]),
    "a-convolution": lambda x: jax.lax.conv_general_dilated(x[:, None], jnp.ones((1, 1, 2)), (1,), "SAME"),
    "solved": lambda x: jnp.linalg.solve(jnp.eye(4) + x[:, :, None] * x[:, None], x[..., None]),
    "an-empty-slice": lambda x: x + jnp.sum(x[:, :0][:, ::2], axis=1, keepdims=True),
    "a-stack": lambda x: jnp.stack([x, 2 * x]),
    "a-derivative-rule-of-jax": jax.nn.relu,
}


@pytest.mark.parametrize(
    ("function", "same"),
    [*((f, False) for f in KNOWN.values()), *((f, True) for f in UNKNOWN.values())],
    ids=[*KNOWN, *(f"not-by-{name}" for name in UNKNOWN)],
)
def test_the_number_of_examples_is_seen(function: Callable[[Array], Array], same: bool) -> None:
    many, one = (traced(function, jax.ShapeDtypeStruct((n, 4), jnp.float32))[0] for n in (6, 1))
    assert same_program(many, one) is same
