"""Physical cost: published golden values, a slow search for factories, its shape in theory, and its ends."""

import dataclasses
import itertools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.stats import binom

from qnewton._hardware import (
    OverheadStatus,
    QuantumProfile,
    ReactionLimited,
    Sequential,
    load_profile,
    physical_cost,
    profile_names,
    t_gates_per_rotation,
)
from qnewton._hardware.distillation import MAX_DISTANCE, compute_table, factory_table
from qnewton._hardware.factory_files import packaged_tables, table_key
from qnewton._hardware.frontier import compute_frontier, factory_frontier

LAYOUTS = {"sequential": Sequential(), "reaction-limited": ReactionLimited()}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())

# Presets of the published estimator (qdk 1.33.1) for 100 qubits, 1e6 T gates, 1e4 rotations in 5e3 layers, 1e3
# measurements and a budget of 1e-3, in thirds: seconds, physical qubits, code distance.
PRESETS = {
    "superconducting": (9.2904, 702660, 21),
    "superconducting-e4": (4.8664, 94540, 11),
    "trapped-ion": (13935.6, 341580, 21),
    "trapped-ion-e4": (7299.6, 94540, 11),
    "majorana": (3.6498, 457320, 11),
    "majorana-e6": (1.6590, 72600, 5),
}


def profile(name: str) -> QuantumProfile:
    loaded = load_profile(name)
    assert isinstance(loaded, QuantumProfile)
    return loaded


SUPERCONDUCTING = profile("superconducting")
# One of each model.
each_machine = pytest.mark.parametrize("machine", [SUPERCONDUCTING, profile("neutral-atoms")], ids=["beverland", "qre"])


@pytest.mark.parametrize(("name", "expected"), PRESETS.items(), ids=PRESETS.keys())
def test_presets_of_the_published_estimator(name, expected):
    each = t_gates_per_rotation(1e4, 1e-3 / 3)
    assert each == 19
    cost = physical_cost(
        profile(name),
        qubits=100,
        t_count=1e6 + 1e4 * each,
        cycles=1e6 + 1e4 + 1e3 + 5e3 * each,
        failure_probability=2e-3 / 3,
    )
    seconds, qubits, distance = expected
    assert cost.valid
    assert cost.reason == ""
    assert cost.seconds == pytest.approx(seconds, rel=1e-12)
    assert cost.qubits == qubits
    assert cost.code_distance == distance


def test_a_hundred_qubits_and_a_million_t_gates():
    cost = physical_cost(SUPERCONDUCTING, qubits=100, t_count=1e6, cycles=1_001_000)
    assert (cost.seconds, cost.qubits, cost.code_distance) == (pytest.approx(8.4084), 472860, 21)
    assert (cost.logical_qubits, cost.factories, cost.factory_qubits) == (230, 15, 270000)
    assert cost.logical_cycle_s == pytest.approx(8.4e-6)


def test_down_to_attoseconds_the_time_is_linear_in_the_gate_time():
    # All gates and measurements 1 as: the estimator's integer nanoseconds, scaled by 1e-9.
    one = QuantumProfile("all the same", "", "surface", 1e-9, 1e-9, 1e-9, 1e-3, 1e-3, 1e-3, 10e-6)
    cost = physical_cost(one.at_gate_time(1e-18), qubits=100, t_count=1e6, cycles=1_001_000)
    assert (cost.seconds, cost.qubits, cost.code_distance) == (pytest.approx(1.26126e-10), 472860, 21)
    swept = physical_cost(one, qubits=100, t_count=1e6, cycles=1_001_000, time_scale=np.array([1.0, 1e-9, 1e3]))
    assert swept.seconds == pytest.approx([1.26126e-1, 1.26126e-10, 1.26126e2])
    assert np.all(swept.qubits == 472860)


def test_litinskis_time_optimal_example():
    # arXiv 1808.02892, abstract: 100 qubits, T count 1e8, T depth 1e6, errors 1e-4, rounds of 1 us: 1 second.
    rounds = QuantumProfile("rounds of 1 us", "", "surface", 0.125e-6, 0.25e-6, 0.25e-6, 1e-4, 1e-4, 1e-4, 1e-6)
    cost = physical_cost(rounds, qubits=100, t_count=1e8, t_depth=1e6, layout=ReactionLimited())
    assert cost.seconds == pytest.approx(1.0)
    # "330,000,000 qubits" with another error formula, distance and factory.
    assert 1e8 < cost.qubits < 4e8
    layout = ReactionLimited()
    assert layout.tiles(np, _demand(100.0, 1e8, 1e6), 1.0, 13.0) == 441 * 1469


def _demand(qubits, t_count, t_depth):
    from qnewton._hardware.layouts import Demand

    return Demand(qubits, t_count, t_depth, t_count)


def _slow_factory(machine, limit, error_allowed):
    """The least volume among all chains of up to two rounds, one by one and by the paper's formulas."""
    code = machine.error_correction
    best = None
    for rounds in (1, 2):
        for units in itertools.product([(31, 24, 31, 11), (12, 45, 20, 13)], repeat=rounds):
            for chain in itertools.combinations_with_replacement(range(1, limit + 1, 2), rounds):
                error, failures, sizes, seconds, clean = machine.t_gate_error_rate, [], [], 0.0, True
                for position, (unit, distance) in enumerate(zip(units, chain, strict=True)):
                    clifford = code.prefactor * (machine.physical_error_rate / code.threshold) ** ((distance + 1) / 2)
                    physical = position == 0 and distance == 1
                    if physical:
                        clifford = machine.clifford_error_rate
                    clean &= clifford <= 0.1 * machine.t_gate_error_rate
                    sizes.append(unit[0] if physical else unit[2] * code.patch_qubits(distance))
                    cycle = machine.t_gate_time_s if physical else distance * machine.syndrome_time_s
                    seconds += (unit[1] if physical else unit[3]) * cycle
                    failures.append(15 * error + 356 * clifford)
                    after = 35 * error**3 + 7.1 * clifford
                    clean &= after <= error and failures[-1] < 1
                    error = after
                if not clean or error > error_allowed:
                    continue
                needed, qubits = 1, 0.0
                for failure, size in zip(reversed(failures), reversed(sizes), strict=True):
                    repeats = needed
                    while binom.ppf(0.01 / rounds, repeats, 1 - failure) < needed:
                        repeats += 1
                    qubits, needed = max(qubits, repeats * size), 15 * repeats
                if best is None or qubits * seconds < best * (1 - 1e-12):
                    best = qubits * seconds
    return best


@pytest.mark.parametrize("name", ["superconducting-e4", "trapped-ion-e4", "majorana-e6"])
def test_factories_are_those_of_least_volume(name):
    machine = profile(name)
    table = factory_table(machine)
    found = 0
    for distance, exponent in itertools.product((1, 3, 5, 7, 9), (-5, -7, -9, -10.5)):
        log_error = exponent * math.log(10)
        expected = _slow_factory(machine, distance, 10**exponent)
        least = int(table.least_distance(np, np.float64(log_error)))
        if expected is None:
            assert least > distance or machine.t_gate_error_rate < 1e-5
        else:
            assert least <= distance
            qubits, seconds = table.lookup(np, np.float64(distance), np.float64(log_error))
            assert qubits * seconds == pytest.approx(expected, rel=1e-9)
            found += 1
    assert found > 5


@hypothesis.given(
    qubits=st.floats(0, 6),
    t_count=st.floats(3, 25),
    layers=st.floats(0, 1),
    failure=st.floats(-12, -1),
    more=st.floats(0.1, 3),
)
@each_machine
@each_layout
def test_more_work_never_takes_less(layout, machine, qubits, t_count, layers, failure, more):
    arguments = {
        "qubits": 10**qubits,
        "t_count": 10**t_count,
        # A run of a few layers waits for its first T state, and the cheapest factory need not be the fastest.
        "t_depth": 10 ** (3 + (t_count - 3) * layers),
        "cycles": 10**t_count,
        "failure_probability": 10**failure,
    }
    base = physical_cost(machine, layout=layout, **arguments)
    for name in ("qubits", "t_count", "t_depth", "cycles"):
        larger = physical_cost(machine, layout=layout, **{**arguments, name: arguments[name] * 10**more})
        assert larger.seconds >= base.seconds * (1 - 1e-9), name
        if name in ("qubits", "t_count"):
            assert larger.code_distance >= base.code_distance, name
    surer = physical_cost(
        machine, layout=layout, **{**arguments, "failure_probability": arguments["failure_probability"] / 10}
    )
    assert surer.code_distance >= base.code_distance
    assert surer.seconds >= base.seconds * (1 - 1e-9)


@hypothesis.given(
    qubits=st.floats(0, 300),
    t_count=st.one_of(st.just(-math.inf), st.floats(0, 300)),
    failure=st.floats(-300, 0),
    scale=st.floats(-12, 6),
)
@each_machine
@each_layout
def test_everywhere_finite_or_invalid_with_a_reason(layout, machine, qubits, t_count, failure, scale):
    cost = physical_cost(
        machine,
        qubits=10**qubits,
        t_count=10**t_count,
        failure_probability=10**failure,
        layout=layout,
        time_scale=10**scale,
    )
    if cost.valid:
        assert 0 < cost.seconds < math.inf
        assert 1 <= cost.qubits < math.inf
        assert cost.code_distance % 2 == 1
        assert cost.extrapolated or cost.code_distance <= MAX_DISTANCE
        assert cost.reason == ""
    else:
        assert cost.reason
        assert cost.seconds == cost.qubits == math.inf, "an argmin passes it over"


BAD = {
    "NaN qubits": {"qubits": math.nan},
    "no qubits": {"qubits": 0},
    "infinitely many T gates": {"t_count": math.inf},
    "negative T gates": {"t_count": -1},
    "NaN depth": {"t_depth": math.nan},
    "negative cycles": {"cycles": -1},
    "certain success": {"failure_probability": 0.0},
    "certain failure": {"failure_probability": 1.0},
    "no time": {"time_scale": 0.0},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_bad_input_is_a_status(change):
    cost = physical_cost(SUPERCONDUCTING, **{"qubits": 10, "t_count": 100, **change})
    assert cost.status == OverheadStatus.BAD_INPUT
    assert "failure probability is not in (0, 1)" in cost.reason


def test_ranges_end_with_a_reason():
    long = physical_cost(SUPERCONDUCTING, qubits=1e306, t_count=1e200)
    assert long.status == OverheadStatus.TOO_LONG
    assert "outside the floating-point range" in long.reason
    cultivated = dataclasses.replace(profile("transmon-cultivated"), factories="cultivation")
    # qdk.qre finds nothing there either: its least error is 0.0789, of 1e8 T states.
    assert physical_cost(cultivated, qubits=100, t_count=1e8, failure_probability=0.08).valid
    many = physical_cost(cultivated, qubits=100, t_count=1e8, failure_probability=0.0785)
    assert many.status == OverheadStatus.TOO_MANY_T_GATES
    assert "below 1e-12" in many.reason


@pytest.mark.parametrize("name", ["superconducting", "transmon-distilled"])
def test_t_gates_that_nothing_distils_are_refused(name):
    noisy = dataclasses.replace(profile(name), t_gate_error_rate=0.2)
    with pytest.raises(ValueError, match=f"no T factory of {name} .*t_gate_error_rate 0.2"):
        physical_cost(noisy, qubits=1, t_count=1e4)


@pytest.mark.parametrize("name", profile_names())
def test_prices_have_no_step_where_the_listed_factories_end(name):
    machine = load_profile(name)
    if isinstance(machine, QuantumProfile):
        t_count = 10 ** np.arange(8, 120, 0.02)
        cost = physical_cost(machine, qubits=1e3, t_count=t_count, failure_probability=1e-6)
        assert np.all(cost.valid)
        assert cost.extrapolated.tolist() == sorted(cost.extrapolated)
        assert not cost.extrapolated[0]
        assert cost.extrapolated[-1]
        # A step of the count is one of 0.02, and the distance goes from 5 to 7 at most.
        assert np.min(np.diff(np.log10(cost.seconds))) >= 0
        assert np.max(np.diff(np.log10(cost.seconds))) < 0.02 + np.log10(7 / 5) + 1e-9


def test_the_smallest_runs():
    nothing = physical_cost(SUPERCONDUCTING, qubits=1, t_count=0, failure_probability=0.5)
    assert (nothing.factories, nothing.logical_cycles) == (0, 1), "a run takes at least one logical cycle"
    # One T gate waits for its factory.
    one = physical_cost(SUPERCONDUCTING, qubits=1, t_count=1)
    assert one.factories == 1
    assert one.logical_cycles >= 11


def test_the_reaction_is_what_limits_a_fast_machine():
    # At 1 as per gate, layers take 10 us each all the same; one after the other, gates take what they take.
    counts = {"qubits": 100, "t_count": 1e8, "t_depth": 1e6}
    fast = SUPERCONDUCTING.at_gate_time(1e-18)
    assert physical_cost(fast, layout=ReactionLimited(), **counts).seconds == pytest.approx(1e6 * 10e-6)
    assert physical_cost(fast, layout=Sequential(), **counts).seconds < 1e-6
    # On a slow machine a reaction is at least a round.
    slow = SUPERCONDUCTING.at_gate_time(1e-3)
    assert physical_cost(slow, layout=ReactionLimited(), **counts).seconds == pytest.approx(1e6 * 8e-3)


@each_machine
@each_layout
def test_traced_arrays_give_the_same(layout, machine, dtype):
    rng = np.random.default_rng(0)
    qubits, t_count, t_depth, scale = (
        10 ** rng.uniform(low, high, 2000) for low, high in [(0, 5), (9, 20), (0, 9), (-9, 2)]
    )
    expected = physical_cost(machine, qubits=qubits, t_count=t_count, t_depth=t_depth, layout=layout, time_scale=scale)
    assert expected.seconds.dtype == np.float64, "numpy keeps its digits without x64"

    @jax.jit
    def traced(qubits, t_count, t_depth, scale):
        return physical_cost(machine, qubits=qubits, t_count=t_count, t_depth=t_depth, layout=layout, time_scale=scale)

    cost = traced(*(jnp.asarray(a, dtype) for a in (qubits, t_count, t_depth, scale)))
    assert cost.seconds.dtype == dtype
    near = np.abs(np.asarray(cost.seconds) / expected.seconds - 1) < (1e-12 if dtype == "float64" else 1e-5)
    # A count on the edge of a distance or a whole number of factories may fall on either side in single precision.
    assert near.mean() > (0.9999 if dtype == "float64" else 0.99)
    near = np.abs(np.asarray(cost.qubits) / expected.qubits - 1) < 1e-3
    assert near.mean() > 0.98


def test_derivative_where_it_is_smooth():
    # One logical cycle per T gate.
    derivative = jax.jit(jax.grad(lambda t: physical_cost(SUPERCONDUCTING, qubits=100.0, t_count=t).seconds))(1e6)
    assert derivative == pytest.approx(8.4e-6)
    seconds = jax.grad(lambda t: jnp.where(t > 0, physical_cost(SUPERCONDUCTING, qubits=1.0, t_count=t).seconds, t))
    assert jax.jit(seconds)(-1.0) == 1.0, "what is invalid leaves no NaN behind"


def test_a_sweep_broadcasts():
    cost = physical_cost(SUPERCONDUCTING, qubits=np.array([[10.0], [100.0]]), t_count=np.array([1e3, 1e6, 1e9]))
    assert cost.seconds.shape == cost.status.shape == (2, 3)


def test_no_rotations_need_no_t_gates():
    assert t_gates_per_rotation(0, 1e-3) == 0
    assert t_gates_per_rotation(np.array([1.0, 1e6]), 1e-3).tolist() == [math.ceil(0.53 * math.log2(1e3) + 4.86), 21]


def test_the_packaged_factories_are_those_that_are_computed():
    profiles = [profile for profile in map(load_profile, profile_names()) if isinstance(profile, QuantumProfile)]
    assert set(packaged_tables()) == {table_key(profile) for profile in profiles}
    for profile in profiles:
        if profile.model == "qre":
            computed, packaged = compute_frontier(profile), factory_frontier(profile)
        else:
            computed, packaged = compute_table(profile), factory_table(profile)
        for field in dataclasses.fields(computed):
            np.testing.assert_allclose(getattr(packaged, field.name), getattr(computed, field.name), rtol=1e-12)
    # Another machine has factories of its own.
    other = dataclasses.replace(profiles[0], t_gate_error_rate=2e-3)
    assert table_key(other) not in packaged_tables()
