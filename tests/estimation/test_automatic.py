"""`Automatic` chooses by static facts. That what it chose is right is for the contract suite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.records import Kind, System
from qnewton._estimation import Automatic
from qnewton._estimation.lanczos import start_vector
from qnewton.testing import symmetric_with_spectrum


@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "general"])
@pytest.mark.parametrize(
    ("estimator", "n", "floor", "kind"),
    [
        pytest.param(Automatic(), 1, True, Kind.EXACT, id="one_row_with_floor"),
        pytest.param(Automatic(), 1000, True, Kind.ESTIMATE, id="large_with_floor"),
        pytest.param(Automatic(), 1, False, Kind.EXACT, id="one_row"),
        pytest.param(Automatic(), 64, False, Kind.EXACT, id="small"),
        pytest.param(Automatic(), 65, False, Kind.ESTIMATE, id="large"),
        pytest.param(Automatic(small=8), 8, False, Kind.EXACT, id="small_as_asked"),
        pytest.param(Automatic(small=8), 9, False, Kind.ESTIMATE, id="large_as_asked"),
    ],
)
def test_choice_by_size_and_floor(estimator, n, floor, kind, symmetric):
    def run(matrix, floor):
        return estimator(System.of(matrix, symmetric=symmetric, eigenvalue_floor=floor))

    # Traced on shapes alone: the choice must not depend on a number.
    found = eqx.filter_eval_shape(run, jax.ShapeDtypeStruct((n, n), "float32"), jnp.ones(()) if floor else None)
    assert found.kind is kind


def test_a_small_block_tells_how_conjugate_gradients_would_go(double):
    matrix = symmetric_with_spectrum(np.geomspace(1, 50, 40), seed=3)
    system = System.of(jnp.asarray(matrix), symmetric=True, eigenvalue_floor=jnp.asarray(0.9))
    found = eqx.filter_jit(Automatic())(system)
    # Textbook conjugate gradients on the iteration's own start, by numpy.
    residual = direction = np.asarray(start_vector(system, 0))
    logs = []
    for _ in range(16):
        image = matrix @ direction
        left = residual - residual @ residual / (direction @ image) * image
        direction = left + left @ left / (residual @ residual) * direction
        residual = left
        logs.append(np.log(np.linalg.norm(residual) / np.linalg.norm(start_vector(system, 0))))
    assert found.recurrence is not None
    np.testing.assert_allclose(found.recurrence.log_cg, logs, atol=1e-8)
    assert (int(found.recurrence.steps), int(found.matvecs)) == (16, 16)
