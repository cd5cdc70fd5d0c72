"""Circuits as PennyLane runs them: against dense polynomials, counted by its tracker, and inside jitted steps."""

import collections
import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebval

from qnewton._solvers import Capabilities
from qnewton._solvers.quantum.circuit import (
    BlockUnitary,
    CircuitInversion,
    CircuitQSVT,
    Elementary,
    Outcome,
    comparison_circuit,
    inversion_circuit,
)
from qnewton._solvers.quantum.circuit import reading as reading_module
from qnewton._solvers.quantum.circuit.callback import call_on_host
from qnewton._solvers.quantum.circuit.drawing import draw_text
from qnewton._solvers.quantum.circuit.levels import GATES
from qnewton._solvers.quantum.circuit.qasm import open_qasm
from qnewton._solvers.quantum.encoding import Frobenius, Ideal
from qnewton.testing import symmetric_with_spectrum

qml = pytest.importorskip("pennylane", reason="circuits need the extra `circuits`")

solve = eqx.filter_jit(lx.linear_solve)


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def indefinite(n, kappa, seed=0):
    signs = np.where(np.random.default_rng(seed).random(n) < 0.5, -1, 1)
    return symmetric_with_spectrum(signs * np.geomspace(1 / kappa, 1, n), seed=seed)


def vector_of(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


def operator(matrix, dtype="float64"):
    return lx.MatrixLinearOperator(jnp.asarray(matrix, dtype), lx.symmetric_tag)


def run(matrix, vector, solver):
    return solve(operator(matrix), jnp.asarray(vector), solver, throw=False)


def inversion_of(matrix, precision):
    return CircuitInversion.of(matrix, encoding=Ideal(), precision=precision, max_queries=10**5)


def matrix_of(circuit):
    tape = qml.tape.QuantumScript(list(circuit.operations), [])
    return qml.matrix(tape, wire_order=range(circuit.wires.count))


@pytest.mark.parametrize("definite", [True, False], ids=["definite", "indefinite"])
@pytest.mark.parametrize(("n", "kappa", "device"), [(5, 10, "lightning.qubit"), (64, 100, "default.qubit")], ids=str)
def test_circuit_is_the_polynomial(n, kappa, device, definite):
    signs = 1 if definite else np.where(np.arange(n) % 3, 1, -1)
    matrix = 4 * symmetric_with_spectrum(signs * np.geomspace(1 / kappa, 1, n), seed=n)
    vector = vector_of(n)
    solution = run(matrix, vector, CircuitQSVT(1e-3, device=device))
    assert solution.result == lx.RESULTS.successful
    degree = int(solution.stats["num_steps"])
    # arXiv 2507.15537, Theorem 1, in Chebyshev series and the eigenbasis.
    values, vectors = np.linalg.eigh(matrix)
    a, half = 1 / kappa, (degree + 1) // 2
    series = np.zeros(half + 1)
    series[[half - 1, half]] = (1 - a) / (1 + a), 1
    z = lambda x: np.clip((2 * x**2 - 1 - a**2) / (1 - a**2), -(1 + a**2) / (1 - a**2), 1)  # noqa: E731
    polynomial = lambda x: (1 - chebval(z(x), series) / chebval(z(0.0), series)) / x  # noqa: E731
    largest = np.max(np.abs(polynomial(np.linspace(0.2 / kappa, 1, 20001))))
    exact = vectors @ (polynomial(values / 4) * (vectors.T @ vector)) / 4
    assert np.linalg.norm(solution.value - exact) * 4 <= 1e-10 * largest * np.linalg.norm(vector)
    wanted = np.linalg.solve(matrix, vector)
    assert np.linalg.norm(solution.value - wanted) <= 1e-3 * np.linalg.norm(wanted)


@pytest.mark.parametrize("level", [BlockUnitary(), Elementary()], ids=lambda level: level.name)
def test_the_tape_s_matrix_has_the_inverse_where_both_ancillas_are_zero(level):
    inversion, vector = inversion_of(indefinite(3, 4), 0.1), np.array([0.6, 0.0, -0.8])
    whole = matrix_of(inversion_circuit(inversion, vector, level))
    np.testing.assert_allclose(whole.conj().T @ whole, np.eye(16), atol=1e-11)
    left = whole[:4, 0] * inversion.scale / inversion.alpha
    np.testing.assert_allclose(left.imag, 0, atol=1e-11)
    wanted = np.linalg.solve(inversion.matrix, vector)
    assert np.linalg.norm(left.real[:3] - wanted) <= 0.1 * np.linalg.norm(wanted)
    assert abs(left[3]) < 1e-11
    assert np.linalg.norm(whole[:4, 0]) ** 2 == pytest.approx(inversion.success_probability(vector))


@pytest.mark.parametrize("level", [BlockUnitary(), Elementary()], ids=lambda level: level.name)
def test_the_comparison_interferes_with_the_reference(level):
    inversion, vector = inversion_of(indefinite(4, 3), 0.3), np.array([0.6, 0.0, -0.8, 0.0])
    solution = matrix_of(inversion_circuit(inversion, vector, level))[:4, 0].real
    amplitude = float(np.linalg.norm(solution))
    reference = np.abs(solution) / amplitude
    circuit = comparison_circuit(inversion, vector, reference, amplitude, level)
    state = matrix_of(circuit)[:8, 0].reshape(4, 2)
    expected = np.stack([solution + amplitude * reference, solution - amplitude * reference], axis=1)
    np.testing.assert_allclose(state, expected / np.sqrt(2 * (1 + amplitude**2)), atol=1e-11)
    assert circuit.queries == inversion.degree


def test_elementary_gates_are_on_one_and_two_qubits():
    circuit = inversion_circuit(inversion_of(indefinite(3, 2), 0.3), np.ones(3) / 3**0.5, Elementary())
    gates = collections.Counter(gate.name for gate in circuit.operations)
    assert set(gates) <= set(GATES)
    assert circuit.gates() == dict(gates)
    assert all(len(gate.wires) <= 2 for gate in circuit.operations)
    # PennyLane's own depth, of a tape without global phases.
    kept = [gate for gate in circuit.operations if gate.name != "GlobalPhase"]
    assert circuit.depth() == qml.tape.QuantumScript(kept, []).specs["resources"].depth


@pytest.mark.parametrize("shots", [None, 50])
def test_counted_queries_are_the_executed_ones(shots, monkeypatch):
    trackers = []
    make = reading_module.device

    def tracked(*arguments):
        found = make(*arguments)
        trackers.append(qml.Tracker(found, persistent=True))
        trackers[-1].active = True
        return found

    monkeypatch.setattr(reading_module, "device", tracked)
    stats = run(indefinite(4, 5), vector_of(4), CircuitQSVT(0.1, shots=shots)).stats
    (tracker,) = trackers
    circuits = [entry.gate_types["QubitUnitary"] for entry in tracker.history["resources"]]
    executed = np.dot(circuits, tracker.history.get("shots", [1]))
    assert stats["queries"] == executed
    assert stats["runs"] == (1 if shots is None else 2 * shots)
    assert stats["queries"] == stats["runs"] * stats["num_steps"]


def test_shots_find_signs_and_length_and_can_be_repeated():
    matrix, vector = indefinite(5, 3, seed=2), vector_of(5)
    solver = CircuitQSVT(1e-3, shots=40_000)
    found, again, other = (run(matrix, vector, s) for s in (solver, solver, CircuitQSVT(1e-3, shots=40_000, seed=1)))
    exact = np.linalg.solve(matrix, vector)
    assert found.result == lx.RESULTS.successful
    # An amplitude errs by 1 / (2 sqrt(shots)).
    scale = CircuitInversion.of(matrix, encoding=Ideal(), precision=1e-3, max_queries=10**5).scale * np.linalg.norm(
        vector
    )
    assert np.linalg.norm(found.value - exact) <= 3 * scale * np.sqrt(5) / (2 * 200)
    np.testing.assert_array_equal(found.value, again.value)
    assert np.any(found.value != other.value)
    assert np.any(run(matrix, -vector, solver).value != -found.value)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_row(sign):
    solution = run([[-3.0]], [1.5 * sign], CircuitQSVT())
    np.testing.assert_allclose(solution.value, [-0.5 * sign], rtol=1e-12)
    assert solution.stats["queries"] == 1
    found = run([[-3.0]], [1.5 * sign], CircuitQSVT(shots=200))
    np.testing.assert_allclose(found.value, [-0.5 * sign], rtol=0.05)


def test_right_hand_side_of_zero_runs_nothing():
    solution = run(indefinite(3, 2), np.zeros(3), CircuitQSVT(shots=10))
    np.testing.assert_array_equal(solution.value, np.zeros(3))
    assert [float(solution.stats[name]) for name in ("residual", "runs", "queries", "num_steps")] == [0, 0, 0, 0]
    assert (int(solution.stats["outcome"]), int(solution.stats["runs"])) == (Outcome.SOLVED, 0)
    assert solution.result == lx.RESULTS.successful


@pytest.mark.parametrize(
    ("matrix", "vector", "options", "outcome"),
    [
        (np.diag([1.0, 0.01]), [1.0, 1.0], {"kappa": 3.0}, Outcome.RESIDUAL),
        (np.diag([1.0, 0.01]), [1.0, 1.0], {"kappa": 3.0, "shots": 20_000}, Outcome.RESIDUAL),
        (np.diag([1.0, 0.0]), [1.0, 1.0], {}, Outcome.NO_BOUND),
        (np.diag([1.0, 0.0]), [1.0, 1.0], {"kappa": 3.0}, Outcome.RESIDUAL),
        (np.diag([1.0, 0.5]), [1.0, np.nan], {}, Outcome.NOT_FINITE),
        (np.diag([1.0, np.inf]), [1.0, 1.0], {}, Outcome.NOT_FINITE),
        (np.diag([1.0, 0.5]), [1.0, 1.0], {"norm": 0.9}, Outcome.TOO_LARGE),
        (np.diag([1.0, 1e-9]), [1.0, 1.0], {}, Outcome.TOO_LONG),
        (np.diag([1.0, 0.05]), [1.0, 0.0], {"shots": 1}, Outcome.NO_SUCCESS),
    ],
    ids=["kappa", "kappa, shots", "singular", "singular, kappa", "nan", "infinite", "norm", "long", "no success"],
)
def test_failure_is_data(matrix, vector, options, outcome):
    solution = run(matrix, vector, CircuitQSVT(**options))
    assert Outcome(int(solution.stats["outcome"])) is outcome
    assert solution.result != lx.RESULTS.successful
    # What only misses its bounds may still serve.
    assert np.all(np.isfinite(solution.value)) == (outcome in (Outcome.RESIDUAL, Outcome.NO_SUCCESS))


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (257, {}, "257 rows is too large at the level block-unitary"),
        (17, {"level": Elementary()}, "17 rows is too large at the level elementary"),
        (9, {"wires": 5}, "needs 6 qubits, and the device default.qubit has 5 wires"),
        (8, {"wires": 5, "shots": 1}, "needs 6 qubits"),
        (2, {"device": "default.mixed"}, "default.mixed gives no state vector .*shots"),
        (2, {"device": "default.gaussian"}, "default.gaussian gives no state vector"),
        (2, {"device": "no.qubit"}, "no device 'no.qubit'.*default.qubit"),
    ],
    ids=str,
)
def test_what_cannot_run_raises_before_anything_does(n, options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: lx.linear_solve(operator(np.eye(n)), jnp.ones(n), CircuitQSVT(**options)).value)


def test_more_wires_than_needed_and_a_mixed_state_simulator():
    matrix, vector = indefinite(2, 3), vector_of(2)
    exact = np.linalg.solve(matrix, vector)
    np.testing.assert_allclose(run(matrix, vector, CircuitQSVT(1e-6, wires=6)).value, exact, rtol=1e-5)
    solver = CircuitQSVT(1e-3, device="default.mixed", shots=20_000)
    np.testing.assert_allclose(run(matrix, vector, solver).value, exact, atol=0.05 * float(np.linalg.norm(exact)))


def test_gradient_map_and_single_precision():
    matrix, vectors = indefinite(3, 4), np.stack([vector_of(3), vector_of(3, 1)])
    solver = CircuitQSVT(1e-8, encoding=Frobenius())

    @jax.jit
    @jax.grad
    def gradient(b):
        return jnp.sum(jax.vmap(lambda b: lx.linear_solve(operator(matrix), b, solver).value)(b)[:, 0])

    exact = np.linalg.solve(matrix, np.eye(3)[0])
    np.testing.assert_allclose(gradient(jnp.asarray(vectors)), [exact, exact], rtol=1e-6)
    single = solve(operator(matrix, "float32"), jnp.asarray(vectors[0], "float32"), solver).value
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, np.linalg.solve(matrix, vectors[0]), rtol=1e-4)


def test_numbers_keep_their_width_in_whatever_thread_the_callback_runs(dtype):
    third = jnp.asarray(1 / 3, dtype)
    seen = []

    def function(array):
        seen.append(array)
        return np.array([array[0], 2 * array[1], 0.1]), np.array([7])

    def call(size):
        # The product is large enough for a pool of threads.
        large = jnp.ones((size, size), dtype) @ jnp.ones((size, size), dtype)
        return call_on_host(function, 3, 1, third * large[0, :2] / size)

    with jax.enable_x64(dtype == "float64"):
        found, counted = jax.jit(call, static_argnums=0)(500)
        assert found.dtype == seen[0].dtype == dtype
        np.testing.assert_allclose(found, [1 / 3, 2 / 3, 0.1], rtol=4 * float(jnp.finfo(dtype).eps))
        assert counted.tolist() == [7]


def test_what_it_says_about_itself():
    solver = CircuitQSVT(level=Elementary(), device="lightning.qubit", encoding=Frobenius())
    assert solver.execution == "circuit"
    assert solver.name == "CircuitQSVT(Frobenius, fewest T)"
    assert solver.runs_as == "elementary circuit on lightning.qubit"
    assert solver.capabilities == Capabilities(quantum=True)


def test_missing_pennylane_is_a_message(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pennylane", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'qnewton\[circuits\]'"):
        lx.linear_solve(operator(np.eye(2)), jnp.ones(2), CircuitQSVT())


# A reader of OpenQASM 3, as far as it is written: gate definitions, `inv @`, calls.
_FIXED = {"h": np.array([[1, 1], [1, -1]]) / 2**0.5, "cx": np.eye(4)[[0, 1, 3, 2]]}
_TURNED = {
    "rx": lambda t: [[np.cos(t / 2), -1j * np.sin(t / 2)], [-1j * np.sin(t / 2), np.cos(t / 2)]],
    "ry": lambda t: [[np.cos(t / 2), -np.sin(t / 2)], [np.sin(t / 2), np.cos(t / 2)]],
    "rz": lambda t: np.diag(np.exp([-0.5j * t, 0.5j * t])),
    "p": lambda t: np.diag([1, np.exp(1j * t)]),
    "gphase": lambda t: np.exp(1j * t),
}
_CALL = re.compile(r"(inv @ )?(\w+)(?:\((.*?)\))?\s*(.*);")


def unitary_of(lines, names, defined):
    whole = np.eye(2 ** len(names), dtype=complex)
    for line in lines:
        match = _CALL.fullmatch(line.strip())
        assert match, line
        inverse, name, angle, on = match.groups()
        gate = defined.get(name, _FIXED.get(name))
        if gate is None:
            gate = np.asarray(_TURNED[name](float(angle)))
        places = [names.index(qubit) for qubit in on.split(", ")] if on else []
        gate = gate.conj().T if inverse else gate
        if not places:
            whole = whole * gate
            continue
        axes = whole.reshape([2] * len(names) + [-1])
        tensor = np.tensordot(gate.reshape([2] * 2 * len(places)), axes, (range(len(places), 2 * len(places)), places))
        whole = np.moveaxis(tensor, range(len(places)), places).reshape(whole.shape)
    return whole


def test_open_qasm_is_the_circuit():
    inversion, vector = inversion_of(indefinite(3, 3), 0.3), np.array([0.6, -0.8, 0.0])
    circuit = inversion_circuit(inversion, vector, Elementary())
    text = open_qasm(circuit, ["a comment"])
    lines = text.splitlines()
    assert lines[:3] == ["OPENQASM 3.0;", "// a comment", 'include "stdgates.inc";']
    assert lines[-3:] == ["failed[0] = measure real;", "failed[1] = measure flag;", "row = measure x;"]
    declared = [line for line in lines if line.startswith(("qubit", "bit"))]
    assert declared == ["qubit real;", "qubit flag;", "qubit[2] x;", "bit[2] failed;", "bit[2] row;"]
    defined = {}
    for name, arguments, body in re.findall(r"gate (\w+) (.*?) \{\n(.*?)\}", text, re.DOTALL):
        defined[name] = unitary_of(body.splitlines(), arguments.split(", "), {})
    np.testing.assert_allclose(defined["block_encoding"], inversion.unitary, atol=1e-12)
    start = next(place for place, line in enumerate(lines) if line.startswith("prepare"))
    main = list(itertools.takewhile(bool, lines[start:]))
    assert sum("block_encoding" in line for line in main) == circuit.queries == inversion.degree
    whole = unitary_of(main, ["real", "flag", "x[0]", "x[1]"], defined)
    np.testing.assert_allclose(whole, matrix_of(circuit), atol=1e-11)


def test_dense_unitaries_and_comparisons_are_not_exported():
    inversion, vector = inversion_of(indefinite(2, 2), 0.3), np.array([0.6, 0.8])
    with pytest.raises(ValueError, match="no StatePrep: export the circuit at the level elementary"):
        open_qasm(inversion_circuit(inversion, vector, BlockUnitary()))
    with pytest.raises(ValueError, match="that of `inversion_circuit`"):
        open_qasm(comparison_circuit(inversion, vector, vector, 0.3, Elementary()))


def test_the_drawing_leaves_the_middle_out_and_counts_it():
    inversion, vector = inversion_of(indefinite(3, 9), 0.1), np.array([0.6, -0.8, 0.0])
    text = draw_text(inversion_circuit(inversion, vector, BlockUnitary()), shown=2)
    assert f"… {inversion.degree - 4} queries …" in text
    # One box over all four wires.
    assert text.count("queries") == 4
    # Preparation, two queries at either end, the last of an odd number like the first.
    (last,) = (line for line in text.splitlines() if line.startswith("x[1]:"))
    assert re.findall("[bU]†?", last.removesuffix("Probs")) == ["b", "U", "U†", "U†", "U"]
    assert text.count("real:") == text.count("x[1]:")
    short = draw_text(inversion_circuit(inversion_of(np.eye(2), 0.1), vector[:2], BlockUnitary()))
    assert "queries" not in short
