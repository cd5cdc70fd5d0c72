"""`Automatic` chooses by static facts. That what it chose is right is for the contract suite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from qnewton.core.records import Kind, System
from qnewton.estimation import Automatic


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
