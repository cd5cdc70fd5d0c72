"""How error and failure are shared out between a solve's parts, by spies that note what each part is asked for."""

import dataclasses
from typing import Any

import equinox as eqx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.evidence import Evidence
from qnewton._hardware import QuantumProfile, physical_cost
from qnewton._pricing.problem import Problem
from qnewton._solvers.quantum.encoding import Frobenius
from qnewton._solvers.quantum.readout import AbstractNorm, AbstractReadout, ReadoutCost

PROBLEM = Problem(n=64, condition_number=50.0, precision=0.02)
PROFILE = q.load_profile("superconducting")
assert isinstance(PROFILE, QuantumProfile)
CLOCK = q.assumptions.Clock.of(PROFILE.machine)


class SpyReadout(AbstractReadout):
    """As many runs whatever is asked for, so that refining never pays."""

    seen: Any = eqx.field(static=True)

    @property
    def name(self) -> str:
        return "spy"

    @property
    def source(self) -> str:
        return "the test"

    @property
    def evidence(self) -> Evidence:
        return Evidence.PROVEN

    def copies(self, n: Any, precision: Any, failure_probability: Any) -> ReadoutCost:
        self.seen.append((float(np.max(precision)), float(np.max(failure_probability))))
        return ReadoutCost.once([(True, "")], copies=7.0 + 0 * n, controlled_applications=0 * n, precision=precision)


class SpyNorm(AbstractNorm):
    """The same for the length."""

    seen: Any = eqx.field(static=True)

    @property
    def name(self) -> str:
        return "spy"

    @property
    def source(self) -> str:
        return "the test"

    def copies(self, success_probability: Any, precision: Any, failure_probability: Any) -> ReadoutCost:
        self.seen.append((float(np.max(precision)), float(np.max(failure_probability))))
        zero = 0 * success_probability
        return ReadoutCost.once([(True, "")], copies=5.0 + zero, controlled_applications=zero, precision=precision)


def _watched(**change: Any) -> tuple[q.assumptions.Assumptions, list, list, list]:
    direction, length, solver = [], [], []
    assumed = dataclasses.replace(
        q.assumptions.end_to_end(),
        readout=SpyReadout(direction),
        norm=SpyNorm(length),
        encodings=(Frobenius(),),
        **change,
    )
    return assumed, direction, length, solver


def _charge(
    assumed: q.assumptions.Assumptions, asked: list, precision: Any = PROBLEM.precision, **how: Any
) -> q.assumptions.Charge:
    def count(encoding: q.solvers.Encoding, precision: Any) -> q.solvers.QuantumWorkload:
        asked.append(float(np.max(precision)))
        return q.queries.jennings2023v1(encoding, precision)

    return assumed.charge(q.assumptions.CountedSolver(count), PROBLEM.numbers, precision, CLOCK, **how)


@pytest.mark.parametrize(("solver_share", "gate_share", "norm_share"), [(0.1, 0.5, 0.1), (0.3, 0.2, 0.4)])
def test_the_error_of_the_step_is_shared_out_between_solver_gates_direction_and_length(
    solver_share, gate_share, norm_share
):
    assumed, direction, length, solver = _watched(
        solver_share=solver_share, gate_share=gate_share, norm_share=norm_share
    )
    charge = _charge(assumed, solver)
    assert charge.valid
    # One round, which is asked first: more rounds would be coarser and take more runs.
    assert float(charge.rounds) == 1
    assert solver[0] == pytest.approx(solver_share * (1 - gate_share) * 0.02)
    assert direction[0][0] == pytest.approx((1 - norm_share) * (1 - solver_share) * 0.02)
    assert length[0][0] == pytest.approx(norm_share * (1 - solver_share) * 0.02)
    # What solver, gates, direction and length may err adds up to the step's error, and no more.
    gates = solver_share * gate_share * 0.02
    assert solver[0] + gates + direction[0][0] + length[0][0] == pytest.approx(0.02)
    assert float(charge.copies) == 12


def test_a_read_out_that_is_asked_for_a_precision_gets_that_one():
    assumed, direction, length, solver = _watched()
    _charge(assumed, solver, readout_precision=0.3)
    assert (direction[0][0], length[0][0]) == (pytest.approx(0.27), pytest.approx(0.03))
    # The solver's part stays.
    assert solver[0] == pytest.approx(0.1 * 0.5 * 0.02)


@pytest.mark.parametrize("free", ["readout", "norm"])
def test_what_is_free_leaves_its_share_to_nobody_else(free):
    assumed, direction, length, solver = _watched()
    _charge(dataclasses.replace(assumed, **{free: None}), solver)
    if free == "readout":
        assert not direction
        assert length[0][0] == pytest.approx(0.1 * 0.9 * 0.02)
    else:
        # Without a length to find all of the read-out's error is the direction's.
        assert not length
        assert direction[0][0] == pytest.approx(0.9 * 0.02)


def test_the_failure_probability_is_shared_out_between_read_out_and_error_correction():
    for failure in np.geomspace(1e-6, 0.5, 25):
        assumed, direction, length, solver = _watched(failure_probability=float(failure))
        charge = _charge(assumed, solver)
        # Half of it to the read-out, evenly between direction and length; half to error correction, evenly by run.
        assert direction[0][1] == pytest.approx(failure / 4)
        assert length[0][1] == pytest.approx(failure / 4)
        runs = float(charge.copies)
        assert isinstance(PROFILE, QuantumProfile)
        expected = physical_cost(
            PROFILE,
            qubits=float(charge.logical_qubits),
            t_count=float(charge.t_count) / runs,
            t_depth=float(charge.t_depth) / runs,
            failure_probability=failure / 2 / runs,
        )
        # Code distances are integers, so a wrong share shows at some of these probabilities only.
        assert float(charge.qubits) == pytest.approx(float(expected.qubits), rel=1e-9)
        parts = direction[0][1] + length[0][1] + runs * (failure / 2 / runs)
        assert parts == pytest.approx(failure)
