"""The choice is the analytic one: least of the predicted seconds, which numpy computes here a second time."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import KernelTimes
from qnewton.testing import symmetric_with_spectrum


def plan_of(
    hybrid: q.Hybrid, matrix: np.ndarray, tag=lx.symmetric_tag, dtype="float32", **options
) -> q.scheduling.Plan:
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix, dtype), tag)
    return hybrid.init(operator, options).plan


def chosen(hybrid: q.Hybrid, plan: q.scheduling.Plan) -> str:
    return hybrid.names[int(plan.choice[0])]


def test_seconds_are_the_workload_times_the_machine(dtype):
    times = {"cholesky": KernelTimes(1e-6, 2e-10, 3e-11), "lu": KernelTimes(2e-6, 1e-10, 4e-11)}
    machine = q.ClassicalMachine("made by hand", str(dtype), tuple(times.items()))
    n = 3
    plan = plan_of(q.Hybrid(classical=machine), np.eye(n), dtype=dtype)
    # Factor (Golub and Van Loan, 3.2 and 4.2), two substitutions; the matrix moves three times.
    moved = 3 * n**2 * dtype.itemsize
    expected = [
        1e-6 + 2e-10 * moved + 3e-11 * (n**3 / 3 + 2 * n**2),
        2e-6 + 1e-10 * moved + 4e-11 * (2 * n**3 / 3 + 2 * n**2),
    ]
    np.testing.assert_allclose(plan.offers.seconds[0, :2], expected, rtol=1e-5)


@pytest.mark.parametrize("kappa", [1.0, 7.0, 400.0])
@pytest.mark.parametrize("definite", [True, False], ids=["definite", "indefinite"])
def test_the_choice_flips_where_the_gate_time_is_classical_seconds_over_queries(
    kappa, definite, machine_of, queries_of
):
    matrix = symmetric_with_spectrum(np.asarray([1.0, kappa, kappa]) * (1 if definite else [1, -1, 1]))
    machine = machine_of(lu=3e-3, cholesky=2e-3)
    classical = 2e-3 if definite else 3e-3
    boundary = classical / queries_of(kappa)
    for factor, expected in ((0.99, "QLSA(jennings2023v1)"), (1.01, "Cholesky" if definite else "LU")):
        hybrid = q.Hybrid(classical=machine, quantum=q.QuantumMachine(boundary * factor))
        plan = plan_of(hybrid, matrix)
        assert chosen(hybrid, plan) == expected
        np.testing.assert_allclose(plan.offers.seconds[0, 2], classical * factor, rtol=1e-4)
        np.testing.assert_allclose(plan.offers.queries[0], [0, 0, queries_of(kappa)], rtol=1e-4)
        assert bool(plan.offers.feasible[0, 0]) is definite


@functools.cache
def jitted_plan(gate_time_s: float) -> Callable:
    times = {"cholesky": KernelTimes(0.9e-3, 0.0, 0.0), "lu": KernelTimes(1e-3, 0.0, 0.0)}
    machine = q.ClassicalMachine("made by hand", "float32", tuple(times.items()))
    hybrid = q.Hybrid(classical=machine, quantum=q.QuantumMachine(gate_time_s))
    return jax.jit(lambda a: hybrid.init(lx.MatrixLinearOperator(a, lx.symmetric_tag), {}).plan)


@hypothesis.given(
    log_kappa=st.floats(0, 4),
    negative=st.booleans(),
    log_scale=st.floats(-3, 3),
    gate_time_s=st.sampled_from([1e-9, 1e-7]),
    seed=st.integers(0, 5),
)
def test_the_choice_is_the_least_of_numpys_predictions(queries_of, log_kappa, negative, log_scale, gate_time_s, seed):
    spectrum = np.geomspace(1, 10**log_kappa, 4) * (np.asarray([1, 1, -1, 1]) if negative else 1)
    matrix = symmetric_with_spectrum(spectrum * 10**log_scale, seed).astype(np.float32)
    eigenvalues = np.linalg.eigvalsh(matrix.astype(np.float64))
    kappa = np.abs(eigenvalues).max() / np.abs(eigenvalues).min()
    quantum = queries_of(kappa) * gate_time_s
    classical = 0.9e-3 if eigenvalues[0] > 0 else 1e-3
    hypothesis.assume(abs(quantum / classical - 1) > 1e-2)  # single precision cannot tell them apart
    plan = jitted_plan(gate_time_s)(matrix)
    expected = 2 if quantum < classical else 0 if eigenvalues[0] > 0 else 1
    assert int(plan.choice[0]) == expected
    # A query count depends on the condition number: scaling the matrix, as above, must not matter.
    np.testing.assert_allclose(plan.offers.queries[0, 2], queries_of(kappa), rtol=1e-2)


def test_an_indefinite_matrix_never_goes_to_cholesky_not_even_for_free(machine_of):
    hybrid = q.Hybrid([q.Cholesky(), q.LU()], classical=machine_of(cholesky=0.0, lu=1e3))

    @jax.jit
    def solve(a):
        solution = lx.linear_solve(lx.MatrixLinearOperator(a, lx.symmetric_tag), jnp.ones(3), solver=hybrid)
        return solution.value, solution.stats["plan"]

    for smallest in (-1.0, -1e-3, 1.0):
        matrix = symmetric_with_spectrum([smallest, 1.0, 2.0])
        value, plan = solve(jnp.asarray(matrix, jnp.float32))
        assert chosen(hybrid, plan) == ("Cholesky" if smallest > 0 else "LU")
        assert bool(plan.estimate.definite) is (smallest > 0)
        np.testing.assert_allclose(value, np.linalg.solve(matrix, np.ones(3)), rtol=1e-3)


def test_an_unsymmetric_operator_never_goes_to_cholesky(machine_of):
    hybrid = q.Hybrid([q.Cholesky(), q.LU()], classical=machine_of(cholesky=0.0))
    # Definite in the upper triangle that Cholesky would read.
    plan = plan_of(hybrid, np.asarray([[1.0, 0.0], [5.0, 1.0]]), tag=())
    assert chosen(hybrid, plan) == "LU"


def test_one_compilation_for_systems_with_different_choices(machine_of, queries_of):
    traces = []
    # Cheaper than Cholesky up to a condition number of about 50.
    hybrid = q.Hybrid(classical=machine_of(lu=2e-3, cholesky=1e-3), quantum=q.QuantumMachine(1e-3 / queries_of(50.0)))

    @jax.jit
    def solve(a, b):
        traces.append(a)
        solution = lx.linear_solve(lx.MatrixLinearOperator(a, lx.symmetric_tag), b, solver=hybrid)
        return solution.value, solution.stats["plan"].choice[0]

    spectra = {"QLSA(jennings2023v1)": [1, 2, 5], "Cholesky": [1, 10, 1000], "LU": [-1, 10, 1000]}
    vector = np.asarray([1.0, -1.0, 0.5])
    for name, spectrum in spectra.items():
        matrix = symmetric_with_spectrum(spectrum)
        value, choice = solve(jnp.asarray(matrix, jnp.float32), jnp.asarray(vector, jnp.float32))
        assert hybrid.names[int(choice)] == name
        np.testing.assert_allclose(value, np.linalg.solve(matrix, vector), rtol=2e-3, atol=1e-4)
    assert len(traces) == 1


def test_ties_go_to_the_candidate_that_is_named_first(machine_of):
    machine = machine_of(lu=1e-3, cholesky=1e-3)
    for solvers, first in (([q.LU(), q.Cholesky()], "LU"), ([q.Cholesky(), q.LU()], "Cholesky")):
        hybrid = q.Hybrid(solvers, classical=machine)
        assert chosen(hybrid, plan_of(hybrid, np.eye(2))) == first


def test_an_infinite_condition_number_refuses_the_quantum_candidate(machine_of):
    hybrid = q.Hybrid([q.QLSA(), q.LU()], classical=machine_of(), quantum=q.QuantumMachine(1e-30))
    plan = plan_of(hybrid, np.diag([1.0, 0.0]))
    assert plan.offers.feasible[0].tolist() == [False, True]
    assert np.isinf(plan.offers.seconds[0, 0])
    assert chosen(hybrid, plan) == "LU"


class Tenfold(q.assumptions.AbstractAssumptions):
    """The paper's model with every query charged ten times."""

    @property
    def name(self) -> str:
        return "tenfold"

    def charge(
        self, solver: Any, numbers: Any, precision: Any, clock: q.assumptions.Clock, *, readout_precision: Any = None
    ) -> q.assumptions.Charge:
        charge = q.assumptions.paper().charge(solver, numbers, precision, clock)
        return eqx.tree_at(lambda c: c.seconds, charge, 10 * charge.seconds)


def test_every_assumption_set_is_recorded_and_the_first_acts(machine_of, queries_of):
    gate_time_s = 1e-3 / queries_of(1.0) / 3  # quantum wins threefold under `paper`, and loses under `tenfold`
    for sets, acting in (([q.assumptions.paper(), Tenfold()], 2), ([Tenfold(), q.assumptions.paper()], 0)):
        hybrid = q.Hybrid(
            classical=machine_of(cholesky=1e-3),
            quantum=q.QuantumMachine(gate_time_s),
            assumptions=sets,
        )
        plan = plan_of(hybrid, np.eye(3))
        assert int(plan.choice[0]) == acting
        assert sorted(plan.choice.tolist()) == [0, 2]
        ratio = plan.offers.seconds[:, 2] / plan.offers.seconds[0, 2]
        np.testing.assert_allclose(ratio, [1, 10] if acting == 2 else [1, 0.1], rtol=1e-5)
        # The classical seconds are the same under both.
        assert np.ptp(plan.offers.seconds[:, :2], axis=0).tolist() == [0, 0]


def test_a_stated_floor_is_what_the_estimate_rests_on(machine_of):
    hybrid = q.Hybrid(classical=machine_of())
    # More rows than all eigenvalues are computed of.
    matrix = symmetric_with_spectrum(np.linspace(1.0, 3.0, 70))
    proven = plan_of(hybrid, matrix, eigenvalue_floor=jnp.asarray(0.5))
    # The floor proves it definite, and the truth is looked for above it.
    assert proven.estimate.kinds.definite is q.estimators.Kind.CERTIFIED
    assert proven.estimate.definite
    np.testing.assert_allclose(proven.estimate.condition_number, 3, rtol=0.05)
    assert plan_of(hybrid, matrix).estimate.kinds.definite is not q.estimators.Kind.CERTIFIED


class Pass(q.scheduling.AbstractPolicy):
    """Takes the last candidate, feasible or not."""

    @property
    def remembers(self) -> bool:
        return False

    def choose(self, offers: q.scheduling.Offers, turn: q.scheduling.Turn) -> q.scheduling.Choice:
        return q.scheduling.Choice(
            jnp.int32(len(offers.names) - 1), jnp.int32(0), jnp.zeros(len(offers.names), jnp.int32)
        )


def test_the_policy_is_asked(machine_of):
    hybrid = q.Hybrid(classical=machine_of(), policy=Pass())
    assert chosen(hybrid, plan_of(hybrid, np.eye(2))) == "QLSA(jennings2023v1)"


BAD_HYBRIDS = {
    "no candidates": ({"solvers": []}, "no candidates.*LU"),
    "no assumption set": ({"assumptions": []}, "no assumption set.*paper"),
    "the same solver twice": ({"solvers": [q.LU(), q.QLSA(), q.LU()]}, "same solver twice.*LU, QLSA"),
    "the same set twice": (
        {"assumptions": [q.assumptions.paper(), q.assumptions.paper()]},
        "same assumption set twice.*paper",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_HYBRIDS.values(), ids=BAD_HYBRIDS.keys())
def test_bad_hybrids_say_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        q.Hybrid(**arguments)


BAD_SYSTEMS = {
    "complex": (np.eye(2, dtype=np.complex64), "real systems.*complex64"),
    "wide": (np.ones((2, 3), np.float32), r"square.*\(2, 3\)"),
    "tall": (np.ones((3, 2), np.float32), r"square.*\(3, 2\)"),
    "calibrated for another dtype": (
        np.eye(2, dtype=np.float32),
        "system is float32.*calibrated for float64.*dtype='float32'",
    ),
}


@pytest.mark.parametrize(("matrix", "message"), BAD_SYSTEMS.values(), ids=BAD_SYSTEMS.keys())
def test_bad_systems_are_refused_by_name(matrix, message, machine_of):
    hybrid = q.Hybrid(classical=machine_of("float64" if "float64" in message else "float32"))
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix))
    with pytest.raises(ValueError, match=message):
        lx.linear_solve(operator, jnp.ones(matrix.shape[0], matrix.dtype), solver=hybrid)


def test_a_candidate_that_was_not_calibrated_is_named(by_qr):
    machine = q.ClassicalMachine("made by hand", "float32", (("lu", KernelTimes(1e-3, 0.0, 0.0)),))
    with pytest.raises(KeyError, match=r"unknown kernel 'qr'.*Calibrate"):
        plan_of(q.Hybrid([q.LU(), by_qr], classical=machine), np.eye(2))
