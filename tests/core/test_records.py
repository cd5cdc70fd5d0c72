"""Records cross jit, statuses have a remedy, unknown names a suggestion."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qnewton._core.records import Access, ClassicalWorkload, Encoding, Kind, Kinds, System, SystemEstimate
from qnewton._core.status import Status
from qnewton._core.suggest import unknown


def test_a_fresh_system_has_nothing_added_and_nothing_removed(dtype: jnp.dtype) -> None:
    matrix = jnp.eye(3, dtype=dtype)
    system = System.of(matrix, symmetric=True)
    np.testing.assert_array_equal(system.matrix, matrix)
    assert system.symmetric is True
    assert system.eigenvalue_floor is None
    assert (system.damping, system.kept_fraction, system.perturbation) == (0, 1, 0)
    assert {leaf.dtype for leaf in jax.tree.leaves(system)} == {dtype}


@pytest.mark.parametrize("floor", [None, 0.5])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_system_passes_through_jit_with_its_static_facts(floor: float | None, symmetric: bool) -> None:
    system = System.of(
        jnp.eye(2), symmetric=symmetric, eigenvalue_floor=None if floor is None else jnp.asarray(floor, jnp.float32)
    )

    @jax.jit
    def double(system: System) -> System:
        assert isinstance(system.symmetric, bool)  # known while tracing
        return dataclasses.replace(system, operator=lx.MatrixLinearOperator(2 * system.matrix))

    after = double(system)
    np.testing.assert_array_equal(after.matrix, 2 * np.eye(2))
    assert (after.symmetric, after.eigenvalue_floor) == (symmetric, floor)


def estimate(log_condition_number: float) -> SystemEstimate:
    one = jnp.ones(())
    return SystemEstimate(
        n=2,
        degree=jnp.int32(1),
        max_entry=one,
        frobenius_norm=one,
        spectral_norm=one,
        log_condition_number=jnp.asarray(log_condition_number, jnp.float32),
        definite=jnp.asarray(True),
        presumed_definite=jnp.asarray(True),
        access=Access.dense(2, one.dtype),
        matvecs=jnp.int32(0),
        formed=jnp.asarray(True),
        formed_kinds=Kinds.all(Kind.EXACT),
    )


def test_the_condition_number_is_the_exponential_of_its_logarithm() -> None:
    assert estimate(0.0).condition_number == 1
    np.testing.assert_allclose(estimate(math.log(4000)).condition_number, 4000, rtol=1e-5)


def test_a_condition_number_above_the_range_is_infinite_but_its_logarithm_is_kept() -> None:
    beyond = estimate(5000.0)
    assert beyond.condition_number == jnp.inf
    assert beyond.log_condition_number == 5000


def test_records_cross_jit_with_their_static_part_intact() -> None:
    def identity(*records: object) -> tuple[object, ...]:
        return records

    before = (estimate(1.0), ClassicalWorkload("lu", 10.0, 20.0), Encoding(jnp.ones(()), jnp.ones(())))
    after = jax.jit(identity)(*before)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert after[1].kernel == "lu"
    assert after[0].kind is Kind.EXACT


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_its_word(kind: Kind) -> None:
    assert f"{kind}" == kind.name.lower()


def test_ok_is_zero_and_the_codes_are_stable() -> None:
    """The codes are in the states of saved runs: a new one may be added, none may move."""
    assert [int(status) for status in Status][:4] == [0, 1, 2, 3]
    assert [status.name for status in Status][:4] == ["OK", "NOT_FINITE", "NO_CANDIDATE", "NOT_SOLVED"]


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_label_and_a_remedy_of_its_own(status: Status) -> None:
    assert status.label == status.name.lower()
    assert [s for s in Status if s.remedy == status.remedy] == [status]


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (Status.NOT_FINITE, "lower the learning rate"),
        (Status.NO_CANDIDATE, "add LU"),
        (Status.NOT_SOLVED, "raise the damping"),
    ],
)
def test_a_remedy_says_what_to_do(status: Status, advice: str) -> None:
    assert advice in status.remedy


def test_an_unknown_name_gets_the_nearest_valid_one() -> None:
    assert unknown("task", "digit-mlp", ["text", "digits-mlp"]) == (
        "unknown task 'digit-mlp': did you mean 'digits-mlp'? Valid: digits-mlp, text"
    )


def test_an_unknown_name_far_from_all_gets_only_the_list() -> None:
    assert unknown("solver", "zzz", iter(["lu", "cholesky"])) == "unknown solver 'zzz'. Valid: cholesky, lu"
