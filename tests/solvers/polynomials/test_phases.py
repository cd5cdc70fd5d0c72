"""Phase factors against the package nlft-qsp, plain products of 2 x 2 matrices, and block encodings."""

import json
import math
from pathlib import Path

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebval

from qnewton import qsp

GOLDEN = json.loads(Path(__file__).with_name("golden_nlft_qsp.json").read_text())
SEEDS = st.integers(0, 2**32)
POINTS = np.cos(np.linspace(0, np.pi, 12))


def wx(x):
    other = 1j * math.sqrt(1 - x**2)
    return np.array([[x, other], [other, x]])


def reflection(x):
    other = math.sqrt(1 - x**2)
    return np.array([[x, other], [other, -x]])


def product(phases, signal):
    """The upper left entry of the product, matrix by matrix."""
    matrix = np.diag(np.exp([1j * phases[0], -1j * phases[0]]))
    for phase in phases[1:]:
        matrix = matrix @ signal @ np.diag(np.exp([1j * phase, -1j * phase]))
    return matrix[0, 0]


def target(seed, degree, norm):
    """Random coefficients of the degree's parity, with this largest absolute value on [-1, 1]."""
    coefficients = np.random.default_rng(seed).normal(size=degree + 1)
    coefficients[degree - 1 :: -2] = 0
    if degree == 0:
        coefficients = np.array([1.0])
    grid = np.cos(np.linspace(0, np.pi, 200 * (degree + 1)))
    return coefficients * norm / np.max(np.abs(chebval(grid, coefficients)))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["target"])
def test_golden(case):
    found = qsp.symmetric_phases(np.array(case["coefficients"]))
    np.testing.assert_allclose(found.phases, case["phases"], atol=1e-14)
    assert found.certificate < 1e-13


def test_golden_degree_4999():
    golden = GOLDEN["inverse_4999"]
    coefficients = qsp.InversePolynomial(golden["kappa"], 4999).coefficients() * golden["scale"]
    found = qsp.symmetric_phases(coefficients)
    np.testing.assert_allclose(found.phases[:: golden["every"]], golden["phases"], atol=1e-14)
    assert found.certificate < 1e-11


@hypothesis.given(SEEDS, st.sampled_from([0, 1, 2, 3, 8, 25]), st.floats(1e-3, 0.9999))
def test_make_the_target(seed, degree, norm):
    coefficients = target(seed, degree, norm)
    found = qsp.symmetric_phases(coefficients)
    assert found.phases.shape == (degree + 1,)
    np.testing.assert_array_equal(found.phases, found.phases[::-1])
    assert np.all(np.abs(found.phases) < np.pi / 2)
    assert found.certificate < 1e-12
    made = [product(found.phases, wx(x)).imag for x in POINTS]
    np.testing.assert_allclose(made, chebval(POINTS, coefficients), atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 5, 8, 11])
def test_conventions(degree):
    coefficients = target(degree, degree, 0.8)
    phases = qsp.symmetric_phases(coefficients).phases
    expected = chebval(POINTS, coefficients)
    real = [product(qsp.real_phases(phases), wx(x)).real for x in POINTS]
    np.testing.assert_allclose(real, expected, atol=1e-13)
    projected = [product(qsp.projector_phases(phases), reflection(x)).real for x in POINTS]
    np.testing.assert_allclose(projected, expected, atol=1e-13)


@pytest.mark.parametrize("symmetric", [True, False])
def test_block_encoding(symmetric):
    """Projector-controlled phases around a unitary dilation and its adjoint, as PennyLane's QSVT lays them out."""
    matrix = np.random.default_rng(3).normal(size=(4, 4))
    matrix = matrix + matrix.T if symmetric else matrix
    left, values, right = np.linalg.svd(matrix / (1.1 * np.linalg.norm(matrix, 2)))
    matrix, rest = (left * values) @ right, np.sqrt(1 - values**2)
    unitary = np.block([[matrix, (left * rest) @ left.T], [(right.T * rest) @ right, -matrix.T]])
    np.testing.assert_allclose(unitary @ unitary.T, np.eye(8), atol=1e-14)
    coefficients = target(0, 7, 0.9)

    def block(phases):
        turns = [np.diag(np.exp(1j * phase * np.repeat([1, -1], 4))) for phase in phases]
        circuit = turns[0]
        for step, turn in enumerate(turns[1:]):
            circuit = circuit @ (unitary.T if step % 2 else unitary) @ turn
        return circuit[:4, :4]

    phases = qsp.projector_phases(qsp.symmetric_phases(coefficients).phases)
    expected = (left * chebval(values, coefficients)) @ right
    np.testing.assert_allclose((block(phases) + block(-phases)) / 2, expected, atol=1e-13)


def test_solve_a_system_as_the_ideal_circuit_does():
    polynomial = qsp.InversePolynomial.within(20.0, 1e-3)
    scale = 1 / (1.01 * polynomial.maximum)
    phases = qsp.symmetric_phases(polynomial.coefficients() * scale).phases
    eigenvalues = np.linspace(0.05, 1, 9)
    with jax.enable_x64(True):
        spectrum = jnp.asarray(eigenvalues)
        circuit = np.asarray(qsp.response(jnp.asarray(phases), spectrum).imag)
        emulated = np.asarray(qsp.apply(lambda v: spectrum * v, jnp.ones(9), 20.0, polynomial.degree))
        np.testing.assert_allclose(circuit, scale * emulated, atol=1e-12)
    assert np.max(np.abs(circuit / scale - 1 / eigenvalues)) <= 1.001e-3


def test_response_of_any_phases(dtype):
    phases = np.random.default_rng(5).uniform(-np.pi, np.pi, 8)
    expected = [product(phases, wx(x)) for x in POINTS]
    found = jax.jit(qsp.response)(jnp.asarray(phases, dtype), jnp.asarray(POINTS, dtype))
    np.testing.assert_allclose(found, expected, atol=1e-13 if dtype == "float64" else 1e-5)


@hypothesis.given(SEEDS, st.sampled_from([1, 2, 3, 8]), st.floats(0.0, 0.1))
def test_certificate_is_the_error(seed, degree, off):
    coefficients = target(seed, degree, 0.7)
    phases = qsp.symmetric_phases(coefficients).phases
    phases = phases + off * np.random.default_rng(seed).normal(size=degree + 1)
    size = 2 * (degree + 1)
    nodes = np.cos((np.arange(size) + 0.5) * np.pi / size)
    errors = [abs(product(phases, wx(x)).imag - chebval(x, coefficients)) for x in nodes]
    found = qsp.certificate(phases, coefficients)
    assert found == pytest.approx(max(errors), rel=1e-6, abs=1e-13)
    # What the nodes may miss between them.
    dense = max(abs(product(phases, wx(x)).imag - chebval(x, coefficients)) for x in np.linspace(-1, 1, 201))
    assert dense <= math.sqrt(2) * found + 1e-13


@pytest.mark.parametrize("norm", [0.999, 1 - 1e-5])
def test_close_to_one(norm):
    """Where the fixed-point iteration has long ceased to converge."""
    polynomial = qsp.InversePolynomial(20.0, 199)
    found = qsp.symmetric_phases(polynomial.coefficients() * norm / polynomial.maximum)
    assert found.certificate < 1e-12


def test_steep_target():
    """`0.9 T_1000`, whose slope at 1 is a million: rounded nodes alone would be 4e-11 off."""
    assert qsp.symmetric_phases(np.append(np.zeros(1000), 0.9)).certificate < 1e-12


def test_degenerate_targets():
    np.testing.assert_array_equal(qsp.symmetric_phases(np.zeros(4)).phases, [0.0])
    np.testing.assert_allclose(qsp.symmetric_phases(np.array([0.5])).phases, [math.asin(0.5)])
    # Trailing zeros do not make the degree; inner ones do no harm, and integers are numbers.
    padded = qsp.symmetric_phases(np.array([0.0, 0.3, 0.0, 0.0]))
    np.testing.assert_array_equal(padded.phases, qsp.symmetric_phases(np.array([0.0, 0.3])).phases)
    assert qsp.symmetric_phases(np.array([0, 0, 0])).certificate == 0


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        (np.array([0.0, 1.0]), r"reaches 1 on \[-1, 1\].*divide it"),
        (np.array([0.0, 0.9, 0.0, 0.9]), r"reaches 1.8 on"),
        (np.array([0.0, 1 - 1e-14]), r"too close to 1 for a Fourier transform"),
        (np.array([0.1, 0.2]), "coefficient of the other parity of 1.0e-01: split it"),
        (np.array([0.0, np.nan]), "coefficient 1 is not finite"),
        (np.array([0.1, 0.0, np.inf]), "coefficient 2 is not finite"),
        (np.array([0.1j]), "complex"),
        (np.zeros((2, 2)), r"shape \(2, 2\).*give a vector"),
        (np.array([]), r"shape \(0,\)"),
        (np.array(["x"]), "dtype <U1"),
    ],
)
def test_refuses_targets(coefficients, message, monkeypatch):
    # What cannot be reached need not be tried to the end here.
    monkeypatch.setattr("qnewton._solvers.quantum.polynomials.complementary.LONGEST_TRANSFORM", 2**12)
    with pytest.raises(ValueError, match=message):
        qsp.symmetric_phases(coefficients)


def test_refuses_what_misses_the_tolerance():
    with pytest.raises(ValueError, match=r"the phases of degree 69 make the target only to .*, asked was 1\.0e-30"):
        qsp.symmetric_phases(np.array(GOLDEN["cases"][1]["coefficients"]), tolerance=1e-30)


def test_refuses_other_lengths():
    with pytest.raises(ValueError, match="2 phases make a polynomial of degree 1: there are 3 coefficients"):
        qsp.certificate(np.zeros(2), np.zeros(3))
    for convert in (qsp.real_phases, qsp.projector_phases):
        with pytest.raises(ValueError, match=r"there are 1 phases.*degree of 1 or more"):
            convert(np.zeros(1))
