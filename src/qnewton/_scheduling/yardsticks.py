"""The systems that calibration measures on: a dense matrix, and a layer's unformed block."""

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
import numpy as np

from .._core.layout import Layout, Piece
from .._core.operators import DenseRoot, Shifted
from .._curvature.layer_operator import LayerOperator

# Some thirty iterations: of a few, the first ones, which bring the matrix into the cache, would take most of the time.
_SHIFT = 0.05
_WIDEST = 16
_MOST_EXAMPLES = 64


def dense(n: int, dtype: str) -> lx.AbstractLinearOperator:
    """`F F^T / n + 0.05 I` with random `F`: a condition number near 80."""
    factor = np.random.default_rng(n).standard_normal((n, n))
    # Of its type before it is copied: a conversion would be compiled.
    matrix = (factor @ factor.T / n + _SHIFT * np.eye(n)).astype(dtype)
    return lx.MatrixLinearOperator(jnp.asarray(matrix), lx.positive_semidefinite_tag)


def layer(n: int, dtype: str) -> lx.AbstractLinearOperator:
    """Return a damped layer under squared loss: about half as many examples times outputs as parameters."""
    outputs = max(width for width in range(1, _WIDEST + 1) if n % width == 0 and width**2 <= n)
    inputs = n // outputs
    examples = min(_MOST_EXAMPLES, max(1, inputs // 2))
    x = np.random.default_rng(n).standard_normal((examples, inputs))
    root = np.kron(x, np.eye(outputs)) / examples**0.5
    block = LayerOperator(
        layout=Layout(n, ((Piece(0, inputs, outputs),),)),
        inputs=(jnp.asarray(x, dtype),),
        curvature=jnp.asarray(np.broadcast_to(np.eye(outputs), (examples, outputs, outputs)), dtype),
        total=jnp.asarray(examples, dtype),
        rooted=eqx.Partial(_given, DenseRoot(jnp.asarray(root, dtype))),
    )
    return Shifted(block, jnp.asarray(_SHIFT, dtype), definite=True)


def _given(root: DenseRoot) -> DenseRoot:
    return root
