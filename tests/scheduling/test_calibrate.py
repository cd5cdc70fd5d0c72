"""Calibration runs the candidates, keeps what it measured, and refuses what it cannot fit."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.records import ClassicalWorkload
from qnewton._scheduling.calibration import rated_once

SIZES = (2, 4, 8)
SOLVERS = [q.QLSA(), q.Cholesky()]
COUNTED: list[int] = []
SEEN: set[bytes] = set()


class Counted(q.solvers.AbstractSolver):
    """Solves on the host by numpy, and counts how often it was asked to."""

    capabilities: ClassVar[q.solvers.Capabilities] = q.solvers.Capabilities()
    name: ClassVar[str] = "Counted"

    def workload(self, estimate: q.estimators.SystemEstimate, encoding: q.solvers.Encoding) -> ClassicalWorkload:
        return ClassicalWorkload(kernel="counted", flops=float(estimate.n) ** 3, bytes=4.0 * estimate.n**2)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Any:
        return operator.as_matrix()

    def compute(self, state: Any, vector: Any, options: dict[str, Any]) -> Any:
        def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            COUNTED.append(len(b))
            SEEN.add(a.tobytes() + b.tobytes())
            return np.linalg.solve(a, b).astype(b.dtype)

        return jax.pure_callback(solve, vector, state, vector), lx.RESULTS.successful, {}

    def transpose(self, state: Any, options: dict[str, Any]) -> Any:
        return state.T, options

    def conj(self, state: Any, options: dict[str, Any]) -> Any:
        return state, options

    def assume_full_rank(self) -> bool:
        return True


def test_every_classical_candidate_is_measured_at_every_size(dtype):
    machine = q.calibrate(SOLVERS, dtype=str(dtype), sizes=(8, 2, 4, 4), repeats=1)
    assert machine.dtype == str(dtype)
    assert machine.name
    ((kernel, times),) = machine.kernels
    assert kernel == "cholesky", "quantum candidates are passed over"
    assert min(times.seconds_per_call, times.seconds_per_byte, times.seconds_per_flop) >= 0
    assert [n for n, _, _ in times.samples] == [2, 4, 8]
    assert all(0 < measured < 10 for _, measured, _ in times.samples)
    # At a measured size it predicts what was measured.
    for n, measured, _ in times.samples:
        workload = ClassicalWorkload("cholesky", n**3 / 3 + 2 * n**2, 3 * n**2 * dtype.itemsize)
        assert machine.seconds(workload) == pytest.approx(measured, rel=1e-6)


def test_the_solver_really_runs():
    COUNTED.clear()
    q.calibrate([Counted()], sizes=(201, 202, 203), repeats=1)
    # One warm-up and one measurement of each size, one solve in each of them at this size.
    assert sorted(COUNTED) == sorted(2 * [201, 202, 203])
    q.calibrate([Counted()], sizes=(203, 201, 202, 201), repeats=1)
    assert len(COUNTED) == 12, "who asks again is measured again: the machine may be another"
    COUNTED.clear()
    SEEN.clear()
    q.calibrate([Counted()], sizes=(130, 131, 132), repeats=1)
    assert min(COUNTED.count(n) for n in (130, 131, 132)) > 2
    assert len(SEEN) == 3, "solves one after the other are of the same system"


def test_the_calibration_is_frozen_and_hashable():
    machine = q.calibrate(SOLVERS, sizes=SIZES, repeats=1)
    assert hash(machine) == hash(machine)
    with pytest.raises(AttributeError):
        machine.dtype = "float64"


@pytest.mark.parametrize("spelt", [jnp.float32, np.dtype("float32"), np.float32], ids=["jnp", "dtype", "np"])
def test_the_dtype_may_be_spelt_as_jax_spells_it(spelt):
    assert q.calibrate(SOLVERS, dtype=spelt, sizes=SIZES, repeats=1).dtype == "float32"


def test_nothing_classical_needs_no_measurement():
    assert q.calibrate([q.QLSA()], sizes=SIZES).kernels == ()


def test_inside_a_trace_it_measures_all_the_same():
    seen = []

    @jax.jit
    def traced(x):
        seen.append(q.calibrate([q.LU(), q.Cholesky()], sizes=(3, 5, 7), repeats=1))
        return x

    traced(jnp.ones(()))
    assert [name for name, _ in seen[0].kernels] == ["cholesky", "lu"]
    assert all(measured > 0 for _, times in seen[0].kernels for _, measured, _ in times.samples)


BAD = {
    "two sizes": ({"sizes": (8, 16, 8)}, "needs three different sizes"),
    "no sizes": ({"sizes": ()}, "needs three different sizes"),
    "a size of 0": ({"sizes": (0, 8, 16)}, "at least one row"),
    "a negative size": ({"sizes": (-1, 8, 16, 32)}, "at least one row"),
    "double precision without x64": ({"dtype": "float64"}, "float64 is not available.*x64"),
    "integers": ({"dtype": "int32"}, "int32.*float32 or float64"),
    "half precision": ({"dtype": "bfloat16"}, "bfloat16.*float32 or float64"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_say_what_to_change(arguments, message):
    with pytest.raises(ValueError, match=message):
        q.calibrate([q.LU()], **arguments)


def test_a_hybrid_without_a_machine_is_rated_for_its_systems_dtype(dtype, machine_of, monkeypatch):
    asked = []

    def stand_in(solvers, dtype, *, forming):
        assert not forming
        asked.append((tuple(solver.name for solver in solvers), dtype))
        return machine_of(dtype)

    monkeypatch.setattr("qnewton._scheduling.hybrid.rated_once", stand_in)
    hybrid = q.Hybrid([q.LU(), q.QLSA()])
    value = lx.linear_solve(
        lx.MatrixLinearOperator(2 * jnp.eye(2, dtype=dtype)), jnp.ones(2, dtype), solver=hybrid
    ).value
    np.testing.assert_allclose(value, [0.5, 0.5])
    assert set(asked) == {(("LU", "QLSA(jennings2023v1)"), str(dtype))}


def test_a_hybrid_without_a_machine_is_rated_once_and_nothing_is_measured(monkeypatch):
    monkeypatch.setattr("qnewton._scheduling.calibration.calibrate", lambda *_, **__: pytest.fail("was measured"))
    rated_once.cache_clear()
    first, second = (rated_once((q.LU(), q.CG(), Counted(), q.QLSA()), "float32") for _ in range(2))
    assert first is second
    assert [name for name, _ in first.kernels] == ["cg", "cg, unformed", "counted", "forming", "lu", "substitution"]
    assert first.basis != "measured"
    rated_once.cache_clear()
