"""What every assumption set must do, on every query model and quantum profile. A new set is one row of `SETS`."""

import dataclasses
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import qnewton as q
from qnewton._core.records import System
from qnewton._hardware import KernelTimes, QuantumProfile, ReactionLimited, profile_names
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.paper import groups_of, lifted, lifted_numbers
from qnewton._pricing.problem import Problem
from qnewton._solvers.quantum.encoding import DyadicLevels, Frobenius, SparseAccess, SquareRoot
from qnewton._solvers.quantum.readout import FittedNorm, InteriorPoint, KerenidisPrakash
from qnewton.testing import symmetric_with_spectrum

SETS = {**ASSUMPTION_SETS, "own": q.assumptions.Assumptions("own", readout=KerenidisPrakash(), norm=FittedNorm())}
each = pytest.mark.parametrize("assumed", SETS.values(), ids=SETS.keys())
PROFILES = {p.name: p for p in map(q.load_profile, profile_names()) if isinstance(p, QuantumProfile)}
SUPERCONDUCTING = q.assumptions.Clock.of(PROFILES["superconducting"].machine)
PROBLEM = Problem(n=256, condition_number=300.0, precision=1e-3, degree=16)


def charge_of(
    assumed, problem=PROBLEM, model=q.queries.jennings2023v1, clock=SUPERCONDUCTING, factor=None
) -> q.assumptions.Charge:
    solver = q.assumptions.CountedSolver.of(model, problem.solution_norm, factor)
    return assumed.charge(solver, problem.numbers, problem.precision, clock)


def test_the_names_are_the_keys():
    assert all(assumed.name == name for name, assumed in SETS.items())


@each
def test_a_square_root_is_refused_to_whoever_applies_no_pseudo_inverse(assumed):
    factor = SquareRoot(rows=30)
    assert charge_of(assumed, model=q.queries.sunderhauf2025, factor=factor).valid
    charge = charge_of(assumed, model=q.queries.dalzell2024, factor=factor)
    assert not charge.valid
    assert charge.reason().startswith("needs a square matrix: it does not apply the pseudo-inverse of a factor")


def test_an_encoding_that_cannot_be_says_why_and_leaves_the_others_alone():
    # More entries on a level than a row has.
    broken = DyadicLevels(np.float64(0.5), np.asarray([1000.0]), np.asarray([0.25]))
    alone = charge_of(dataclasses.replace(q.assumptions.logical(), encodings=(broken,)))
    assert alone.reason().startswith("needs a count of entries per level in [0, n]")
    assert (float(alone.seconds), float(alone.queries), float(alone.success_probability)) == (math.inf, math.inf, 0)
    beside = charge_of(dataclasses.replace(q.assumptions.logical(), encodings=(broken, Frobenius())))
    assert beside.valid
    assert int(beside.encoding) == 1


@each
def test_a_charge_is_whole(assumed):
    charge = charge_of(assumed)
    assert charge.valid
    assert charge.reason() == ""
    for field in ("seconds", "queries", "repetitions", "copies", "qubits", "t_depth", "success_probability"):
        assert 0 < float(getattr(charge, field)) < math.inf, field
    # The factors are what the seconds are made of.
    product = math.prod(float(value) for value in charge.factors.values())
    assert float(charge.seconds) == pytest.approx(product * SUPERCONDUCTING.gate_time_s, rel=1e-9)


def test_paper_is_queries_times_the_gate_time_and_nothing_else():
    queries = float(q.queries.jennings2023v1(q.solvers.Encoding(300.0, 1.0), 1e-3).queries)
    charge = charge_of(q.assumptions.paper())
    assert float(charge.queries) == pytest.approx(queries, rel=1e-12)
    assert float(charge.seconds) == pytest.approx(queries * 50e-9, rel=1e-12)
    assert (float(charge.copies), float(charge.t_count), float(charge.fixed_seconds)) == (1, 0, 0)
    # One layer a query, and the count that is charged has no number that a jitted step would trace.
    assert float(charge.t_depth) == pytest.approx(queries, rel=1e-12)
    assert jax.tree.leaves(q.assumptions.CountedSolver.of(q.queries.jennings2023v1)) == []


def test_a_known_norm_is_that_of_the_matrix_and_not_of_its_square_root():
    encoding, model = q.solvers.Encoding(20.0, 1.0), q.queries.dalzell2024_known_norm
    known, unknown = (float(model(encoding, 1e-3, norm).queries) for norm in (5.0, None))
    assert known != unknown
    for factor, expected in ((None, known), (SquareRoot(rows=30), unknown)):
        solver = q.assumptions.CountedSolver.of(model, 5.0, factor)
        assert float(solver.count(encoding, 1e-3).queries) == expected


def test_paper_sparse_is_the_abstracts_complexity():
    charge = charge_of(q.assumptions.paper_sparse(), model=q.queries.qnewton2024_abstract)
    assert float(charge.queries) == pytest.approx(16 * 300 * math.log(256 * 300 / 1e-3), rel=1e-12)


def test_logical_adds_up_the_gates_of_an_independent_count():
    encoding, n, eps = SparseAccess(), 256, 1e-3
    assumed = dataclasses.replace(q.assumptions.logical(), encodings=(encoding,))
    charge = charge_of(assumed)
    # alpha = d max|A| over ||A||, and half of the error to the gates of all calls.
    work = q.queries.jennings2023v1(q.solvers.Encoding(300.0, 16.0), eps / 2)
    calls = float(work.queries + work.state_preparations)
    each = eps / 2 / calls
    query, vector = encoding.cost(PROBLEM.numbers, each), assumed.preparation.cost(n, each)
    depth = work.queries * query.t_depth + work.state_preparations * vector.t_depth
    count = work.queries * query.t_count + work.state_preparations * vector.t_count
    assert float(charge.t_depth) == pytest.approx(float(depth), rel=1e-12)
    assert float(charge.t_count) == pytest.approx(float(count), rel=1e-12)
    assert float(charge.seconds) == pytest.approx(float(depth) * 50e-9, rel=1e-12)


def test_end_to_end_is_runs_of_a_corrected_circuit_and_a_load():
    from qnewton._hardware import physical_cost

    assumed = dataclasses.replace(q.assumptions.end_to_end(), encodings=(Frobenius(),), norm=None)
    charge = charge_of(assumed)
    copies = InteriorPoint().copies(256, 0.9e-3, 0.005)
    assert 1 < float(charge.copies) < float(copies.applications)  # refined, since that is cheaper
    runs = float(charge.copies)
    cost = physical_cost(
        PROFILES["superconducting"],
        qubits=float(charge.logical_qubits),
        t_count=float(charge.t_count) / runs,
        t_depth=float(charge.t_depth) / runs,
        failure_probability=0.005 / runs,
    )
    load = (256**2 + (float(charge.rounds) - 1) * 256 * 16) / assumed.entries_per_s
    assert float(charge.seconds) == pytest.approx(runs * float(cost.seconds) + load, rel=1e-9)
    assert float(charge.qubits) == pytest.approx(float(cost.qubits), rel=1e-9)
    assert float(charge.fixed_seconds) == pytest.approx(load, rel=1e-9)


SWITCHES = {
    "subnormalisation": False,
    "encoding_gates": False,
    "preparation_gates": False,
    "repetitions": False,
    "error_correction": None,
    "readout": None,
    "norm": None,
    "loading": False,
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_term_can_be_switched_off_and_makes_it_cheaper(switch):
    # One encoding, so that the cheapest stays the same.
    whole = dataclasses.replace(q.assumptions.end_to_end(), encodings=(SparseAccess(),), entries_per_s=1e-9)
    less = dataclasses.replace(whole, label="less", **{switch: SWITCHES[switch]})
    assert float(charge_of(less).seconds) < float(charge_of(whole).seconds)


def test_all_switched_off_is_the_paper():
    off = dataclasses.replace(q.assumptions.end_to_end(), **{k: v for k, v in SWITCHES.items() if k != "repetitions"})
    assert float(charge_of(off).seconds) == float(charge_of(q.assumptions.paper()).seconds)


def test_a_load_is_the_matrix_or_the_rows_of_its_factor():
    def loaded(factor):
        assumed = dataclasses.replace(q.assumptions.end_to_end(), encodings=(Frobenius(),), readout=None, norm=None)
        charge = charge_of(assumed, model=q.queries.sunderhauf2025, factor=factor)
        return float(charge.fixed_seconds) * assumed.entries_per_s

    assert loaded(None) == pytest.approx(256**2)
    assert loaded(SquareRoot(rows=40, overlap=0.5)) == pytest.approx(40 * 256)


problems = st.builds(
    Problem,
    n=st.floats(0, 9).map(lambda e: float(round(10**e))),
    condition_number=st.floats(0, 12).map(lambda e: 10**e),
    precision=st.floats(-9, -0.3).map(lambda e: 10**e),
    definite=st.booleans(),
)


@hypothesis.given(problems, st.floats(0, 1), st.floats(0, 1), st.sampled_from(sorted(PROFILES)), st.integers(-9, 3))
@hypothesis.settings(max_examples=15)
def test_each_set_is_dearer_than_the_one_before(problem, sparse, length, profile, scale):
    """Over every solver; profiles and gate times are drawn."""
    problem = dataclasses.replace(
        problem,
        degree=max(1.0, math.floor(problem.n**sparse)),
        solution_norm=problem.condition_number**length if length > 0.3 else None,
        factor=SquareRoot(rows=30) if problem.definite else None,
    )
    machine = PROFILES[profile]
    clock = q.assumptions.Clock(machine.two_qubit_time_s * 10.0**scale, machine)
    free, gates, whole = (
        all_charges(assumed, problem, clock)
        for assumed in (q.assumptions.paper(), q.assumptions.logical(), q.assumptions.end_to_end())
    )
    assert not np.isnan(whole).any()
    assert (free <= gates).all()
    assert (gates <= whole).all()


def all_charges(assumed, problem, clock):
    """Seconds of every solver."""
    numbers, precision = lifted_numbers(problem.numbers), lifted(problem.precision)
    charges = [assumed.charge(group.solver, numbers, precision, clock) for group in groups_of(problem)]
    return np.concatenate([charge.seconds for charge in charges])


def test_all_solvers_at_once_are_the_single_ones():
    seconds = iter(all_charges(q.assumptions.end_to_end(), PROBLEM, SUPERCONDUCTING))
    for group in groups_of(PROBLEM):
        for model in group.models:
            assert next(seconds) == pytest.approx(
                float(charge_of(q.assumptions.end_to_end(), model=model).seconds), rel=1e-12
            )


def test_no_machine_undercuts_its_own_gates():
    # Measurements a thousand times faster than gates, in a code that only measures.
    odd = dataclasses.replace(PROFILES["majorana"], measurement_time_s=1e-10)
    clock = q.assumptions.Clock.of(odd.machine)
    for model in (q.queries.jennings2023v1, q.queries.costa2023):
        seconds = [
            float(charge_of(assumed, model=model, clock=clock).seconds)
            for assumed in (q.assumptions.logical(), q.assumptions.end_to_end())
        ]
        assert seconds[0] <= seconds[1]


@each
@pytest.mark.parametrize(
    "model",
    [q.queries.jennings2023v1, q.queries.costa2023, q.queries.sunderhauf2025, q.queries.hhl2009],
    ids=lambda m: m.name,
)
def test_more_of_anything_takes_longer(assumed, model):
    base = dataclasses.replace(PROBLEM, precision=1e-5)
    seconds = float(charge_of(assumed, base, model).seconds)
    for change in ({"condition_number": 900.0}, {"precision": 1e-7}, {"n": 4096}, {"degree": 200}):
        assert float(charge_of(assumed, dataclasses.replace(base, **change), model).seconds) >= seconds, change


@each
@pytest.mark.parametrize("scale", [1e-15, 1e3, 1e15])
def test_a_scale_of_the_matrix_costs_nothing(assumed, scale):
    norms = {"max_entry": 0.5, "frobenius_norm": 3.0, "spectral_norm": 1.0}
    base = dataclasses.replace(PROBLEM, **norms)
    scaled = dataclasses.replace(PROBLEM, **{name: scale * value for name, value in norms.items()})
    assert float(charge_of(assumed, scaled).seconds) == pytest.approx(float(charge_of(assumed, base).seconds), rel=1e-9)


@each
def test_at_the_ends_there_is_a_number_or_a_reason(assumed):
    ends = [(1, 1.0, 0.5), (1, 1e300, 1e-3), (1e12, 1e300, 1e-15), (2, 1.0, 1e-300), (1e12, 1e6, 0.9)]
    for n, kappa, precision in ends:
        problem = Problem(n, kappa, precision)
        for group in groups_of(problem):
            numbers = lifted_numbers(problem.numbers)
            charge = assumed.charge(group.solver, numbers, lifted(precision), SUPERCONDUCTING)
            for index, model in enumerate(group.models):
                number = bool(np.isfinite(charge.seconds[index]))
                assert number == charge.valid[index] == (charge.reason((index,)) == ""), (model.name, n, kappa)


def test_the_reaction_time_is_a_layout():
    fast = dataclasses.replace(q.assumptions.end_to_end(), error_correction=ReactionLimited())
    charge = charge_of(fast)
    # A layer a reaction of 10 us.
    assert float(charge.seconds - charge.fixed_seconds) == pytest.approx(float(charge.t_depth) * 10e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver_share": 0.0}, "solver_share is 0.0: it is a part of a whole"),
        ({"failure_probability": 1.0}, "failure_probability is 1.0"),
        ({"entries_per_s": 0.0}, "entries_per_s is 0.0: it must be a positive number"),
        ({"encodings": ()}, "encodings is empty: name at least one"),
    ],
)
def test_bad_sets_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(q.assumptions.end_to_end(), **change)


def test_error_correction_needs_a_profile():
    with pytest.raises(
        ValueError, match="end_to_end corrects errors, and the machine says nothing of them: use load_pr"
    ):
        q.Hybrid(assumptions=(q.assumptions.paper(), q.assumptions.end_to_end()))
    q.Hybrid(assumptions=(q.assumptions.end_to_end(),), quantum=PROFILES["majorana"].machine)


def test_the_scheduler_charges_every_set():
    hybrid = q.Hybrid(
        (q.LU(), q.QLSA()),
        classical=q.ClassicalMachine("made", "float32", (("lu", KernelTimes(1e-3, 0.0, 0.0)),)),
        quantum=PROFILES["superconducting"].machine,
        assumptions=tuple(ASSUMPTION_SETS.values()),
    )
    matrix = jnp.asarray(symmetric_with_spectrum(np.geomspace(1, 60, 12)), "float32")
    plan = jax.jit(hybrid.plan)(System.of(matrix, symmetric=True))
    assert plan.offers.feasible.all()
    assert plan.offers.seconds.dtype == jnp.float32
    found = plan.estimate
    host = Problem(
        n=12,
        condition_number=float(found.condition_number),
        precision=1e-2,
        degree=int(found.degree),
        max_entry=float(found.max_entry),
        frobenius_norm=float(found.frobenius_norm),
        spectral_norm=float(found.spectral_norm),
    )
    for row, assumed in enumerate(hybrid.assumptions):
        expected = charge_of(assumed, host)
        # Code distances and bits are integers and may fall on the other side in single precision.
        assert float(plan.offers.seconds[row, 1]) == pytest.approx(float(expected.seconds), rel=0.1)
        assert float(plan.offers.queries[row, 1]) == pytest.approx(float(expected.queries), rel=0.02)
        assert float(plan.offers.copies[row, 1]) == pytest.approx(float(expected.copies), rel=0.02)
    np.testing.assert_array_equal(plan.offers.copies[:, 0], 0)
