"""`Reuse` asks as often as it says, and follows the damping in between."""

from types import SimpleNamespace
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qnewton._core.records import Kind, System, SystemEstimate
from qnewton._estimation import AbstractEstimator, Exact, Reuse
from qnewton._estimation.reuse import _at_best_an_estimate
from qnewton.testing import symmetric_with_spectrum

CURVATURE = jnp.asarray(symmetric_with_spectrum(np.r_[np.zeros(4), np.linspace(1, 3, 8)]), "float32")


def system(damping, matrix=CURVATURE, floor=True):
    shift = jnp.float32(damping)
    whole = System.of(matrix + shift * jnp.eye(12), symmetric=True, eigenvalue_floor=shift if floor else None)
    return eqx.tree_at(lambda s: s.damping, whole, shift)


class Sevenfold(AbstractEstimator):
    """What `Exact` says, for seven products."""

    def __call__(self, system: System) -> SystemEstimate:
        return eqx.tree_at(lambda found: found.matvecs, Exact()(system), jnp.int32(7))


def test_it_follows_the_damping_and_asks_again_when_too_old():
    reuse = Reuse(Sevenfold(), max_age=3)
    step = jax.jit(reuse.after)
    remembered = reuse.init(jnp.float32)
    matrix = CURVATURE
    ages, kappas = [], []
    for turn in range(7):
        # The curvature triples after the first step; an old estimate does not know.
        matrix = 3 * CURVATURE if turn else CURVATURE
        found, remembered = step(system(0.1 + turn, matrix), remembered)
        ages.append(int(remembered.age))
        kappas.append(float(found.condition_number))
        # Reused, it is right only as long as the curvature stays what it was.
        assert found.kind is (Kind.ESTIMATE if int(remembered.age) == 1 else Kind.ROUGH)
        # Only those who look take products.
        assert int(found.matvecs) == (7 if int(remembered.age) == 1 else 0)
        assert found.definite
        assert float(found.max_entry) == pytest.approx(float(jnp.abs(system(0.1 + turn, matrix).matrix).max()))
    assert ages == [1, 2, 3, 1, 2, 3, 1]
    scale = np.array([1, 1, 1, 3, 3, 3, 3])
    damping = 0.1 + np.arange(7)
    np.testing.assert_allclose(kappas, (3 * scale + damping) / damping, rtol=1e-4)


def test_what_is_not_finite_is_not_remembered():
    reuse = Reuse(Exact(), max_age=10)
    step = jax.jit(reuse.after)
    found, remembered = step(system(0.1, CURVATURE * jnp.nan), reuse.init(jnp.float32))
    assert found.condition_number == jnp.inf
    assert not found.definite
    found, remembered = step(system(0.1), remembered)
    assert float(found.condition_number) == pytest.approx(31, rel=1e-4)
    # A block that turns bad while the estimate is fresh is not covered by it.
    found, remembered = step(system(0.1, CURVATURE.at[0, 1].set(jnp.inf)), remembered)
    assert found.condition_number == jnp.inf


def test_without_a_floor_the_ends_stay_where_they_are():
    reuse = Reuse(Exact(), max_age=10)
    indefinite = jnp.asarray(symmetric_with_spectrum(np.linspace(-1, 3, 12)), "float32")
    first, remembered = reuse.after(system(0.0, indefinite, floor=False), reuse.init(jnp.float32))
    second, _ = reuse.after(system(0.5, indefinite, floor=False), remembered)
    assert float(second.condition_number) == pytest.approx(float(first.condition_number), rel=1e-4)
    assert not second.definite


@pytest.mark.parametrize("age", [0, -1, 2.5])
def test_an_age_is_an_integer_of_at_least_one(age):
    with pytest.raises(ValueError, match=f"max_age is {age}: steps that one estimate serves"):
        Reuse(max_age=age)


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
def test_what_is_remembered_is_an_estimate_at_best(kind):
    """The ends of a spectrum that was bounded are no bounds of another one, and no better than rough."""
    best = Kind.ESTIMATE if kind in (Kind.EXACT, Kind.ESTIMATE) else Kind.ROUGH
    for found in (SimpleNamespace(kind=kind, kind_index=None), SimpleNamespace(kind=None, kind_index=kind.place)):
        assert int(_at_best_an_estimate(cast(Any, found))) == best.place
