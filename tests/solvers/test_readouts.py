"""Read-outs: the published tables, refinement against a simulation, and the ends of the ranges."""

import math
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton._solvers.quantum.readout import (
    AmplitudeEstimation,
    EntryEstimation,
    FittedNorm,
    FreeReadout,
    HadamardForest,
    InteriorPoint,
    KerenidisPrakash,
    Refined,
    SuccessAmplitude,
)

READOUTS = [
    FreeReadout(),
    KerenidisPrakash(),
    InteriorPoint(),
    AmplitudeEstimation(constant=2.0),
    EntryEstimation(),
    EntryEstimation(kept=3),
    HadamardForest(),
    Refined(KerenidisPrakash()),
    Refined(InteriorPoint()),
    Refined(AmplitudeEstimation(constant=2.0)),
]
NORMS = [FittedNorm(), SuccessAmplitude()]
ARRAYS = ("copies", "controlled_applications", "rounds", "precision", "products", "applications", "valid")


def numbered(values: list) -> Any:
    return pytest.mark.parametrize("member", values, ids=[getattr(v, "name", str(v)) for v in values])


@pytest.mark.parametrize(
    ("n", "precision", "copies"),
    [
        (16, 0.1, 1.597e5),
        (16, 0.01, 1.597e7),
        (256, 0.1, 5.110e6),
        (1024, 0.1, 2.555e7),
        (1024, 0.01, 2.555e9),
        (10**4, 0.1, 3.316e8),
    ],
)
def test_kerenidis_prakash(n, precision, copies):
    cost = KerenidisPrakash().copies(n, precision, 0.1)
    assert cost.copies == pytest.approx(copies, rel=3e-4)
    assert cost.controlled_applications == cost.copies


@pytest.mark.parametrize(
    ("n", "precision", "copies"),
    [(16, 0.1, 7.815e5), (256, 0.1, 1.755e7), (1024, 0.1, 8.031e7), (10**4, 0.1, 9.464e8), (1024, 0.5, 3.377e6)],
)
def test_interior_point(n, precision, copies):
    cost = InteriorPoint().copies(n, precision, 0.1)
    assert cost.copies == pytest.approx(copies, rel=3e-4)
    assert cost.applications == 2 * cost.copies
    assert not cost.coherent


def test_amplitude_estimation_is_linear_in_its_constant_and_coherent():
    one, three = (AmplitudeEstimation(constant=c).copies(1024, 1e-2, 0.1) for c in (1.0, 3.0))
    assert three.applications == pytest.approx(3 * one.applications)
    assert one.applications == pytest.approx(1024 / 1e-2 * math.log(1024 / 0.1))
    assert one.copies == 0
    assert one.coherent


@pytest.mark.parametrize("constant", [0.0, -1.0, math.nan, math.inf])
def test_the_unpublished_constant_is_positive(constant):
    with pytest.raises(ValueError, match=f"constant is {constant}"):
        AmplitudeEstimation(constant=constant)


@pytest.mark.parametrize("entry", [-0.9, -0.05, 0.0, 0.3, 1.0])
def test_phases_of_an_entry_are_as_close_as_they_should_be(entry):
    # The outcomes of phase estimation of an iterate with the eigenvalues exp(+-2 i theta), sin(theta) = (1 + x) / 2.
    n, precision = 9.0, 0.2
    iterates = math.ceil(2 * math.pi * math.sqrt(n) / precision)
    theta = math.asin((1 + entry) / 2)
    phases = np.arange(iterates) * math.pi / iterates
    chance = np.zeros(iterates)
    for own in (theta, math.pi - theta):
        waves = np.exp(2j * np.outer(own - phases, np.arange(iterates)))
        chance += 0.5 * np.abs(waves.mean(axis=1)) ** 2
    found = 2 * np.sin(phases) - 1
    assert chance.sum() == pytest.approx(1)
    assert chance[np.abs(found - entry) <= precision / math.sqrt(n) + 1e-12].sum() >= 8 / math.pi**2
    cost = EntryEstimation().copies(n, precision, 0.1)
    tries = math.log(n / 0.1) / (2 * (8 / math.pi**2 - 0.5) ** 2)
    assert cost.applications == pytest.approx(n * tries * (4 * math.pi * math.sqrt(n) / precision + 1))
    assert cost.coherent
    assert cost.copies == 0
    assert EntryEstimation(kept=9).copies(1e6, precision, 0.1).applications == cost.applications


def forest(x: np.ndarray, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Magnitudes from one setting; signs along the surest edges of the hypercube, from one setting for each bit."""
    bits, labels = int(math.log2(len(x))), np.arange(len(x))
    size = np.sqrt(rng.multinomial(copies, x**2) / copies)
    product = np.zeros((bits, len(x)))
    for bit in range(bits):
        (low,) = np.nonzero((labels >> bit) & 1 == 0)
        pair = np.concatenate([(x[low] + x[low ^ 1 << bit]) ** 2, (x[low] - x[low ^ 1 << bit]) ** 2]) / 2
        counts = rng.multinomial(copies, pair / pair.sum()) / copies
        product[bit, low] = product[bit, low ^ 1 << bit] = (counts[: len(low)] - counts[len(low) :]) / 2
    signs, edges = np.zeros(len(x)), []
    votes = np.zeros(len(x))
    for _ in range(3):
        signs[:] = 0
        start = int(np.argmax(size))
        signs[start], edges = 1, [(start, bit) for bit in range(bits)]
        noise = rng.exponential(size=product.shape) ** 0.5
        while edges:
            best = max(edges, key=lambda edge: abs(product[edge[1], edge[0]]) * noise[edge[1], edge[0]])
            label, bit = best
            other = label ^ 1 << bit
            signs[other] = signs[label] * (1 if product[bit, label] >= 0 else -1)
            edges += [(other, own) for own in range(bits)]
            edges = [edge for edge in edges if signs[edge[0] ^ 1 << edge[1]] == 0]
        votes += signs
    return size * np.sign(votes)


@pytest.mark.parametrize(("n", "precision"), [(16, 0.1), (64, 0.3)])
def test_a_forest_reads_with_as_many_copies_as_are_charged(n, precision):
    rng = np.random.default_rng(n)
    cost = HadamardForest().copies(n, precision, 0.1)
    assert cost.applications == pytest.approx((math.log2(n) + 1) * n / precision**2)
    errors = []
    for _ in range(40):
        x = rng.standard_normal(n)
        x /= np.linalg.norm(x)
        y = forest(x, math.ceil(n / precision**2), rng)
        errors.append(min(np.linalg.norm(x - y), np.linalg.norm(x + y)))
    assert np.quantile(errors, 0.95) <= precision


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="kept is 0"):
        EntryEstimation(kept=0)
    with pytest.raises(ValueError, match="constant is 0"):
        HadamardForest(constant=0.0)


# Refinement.


def test_refinement_contracts_as_it_says():
    """Rounds of a noisy solve of the residual, in double precision, with noise of the length allowed."""
    rng = np.random.default_rng(1)
    values = np.geomspace(1, 1e3, 30)
    basis = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    matrix = basis @ np.diag(values) @ basis.T
    x, b = np.zeros(30), rng.standard_normal(30)
    exact = basis @ ((basis.T @ b) / values)
    cost = Refined(InteriorPoint()).copies(30, 1e-6, 0.1)
    for _ in range(int(cost.rounds)):
        correction = basis @ ((basis.T @ (b - matrix @ x)) / values)
        noise = rng.standard_normal(30)
        x = x + correction + cost.precision * np.linalg.norm(correction) * noise / np.linalg.norm(noise)
    error = np.linalg.norm(x - exact) / np.linalg.norm(exact)
    assert 1e-8 < error <= 1e-6 * (1 + 1e-6)
    assert cost.precision**cost.rounds == pytest.approx(1e-6)
    assert cost.products == cost.rounds - 1


@pytest.mark.parametrize("inner", [KerenidisPrakash(), InteriorPoint(), AmplitudeEstimation(constant=1.0)])
@pytest.mark.parametrize("precision", [0.9, 0.5, 0.1, 1e-2, 1e-3, 1e-6, 1e-10, 1e-15])
def test_refinement_is_close_to_the_best_number_of_rounds_and_never_dearer(inner, precision):
    refined = Refined(inner).copies(1024, precision, 0.1).applications
    every = [k * inner.copies(1024, precision ** (1 / k), 0.1 / k).applications for k in range(1, 200)]
    assert min(every) * (1 - 1e-12) <= refined <= 1.05 * min(every)
    assert refined <= inner.copies(1024, precision, 0.1).applications


def test_a_coarse_read_out_is_not_refined():
    cost = Refined(InteriorPoint()).copies(1024, 0.6, 0.1)
    assert (cost.rounds, cost.precision, cost.products) == (1, 0.6, 0)


def test_precision_costs_a_logarithm():
    readout = Refined(InteriorPoint())
    steps = [readout.copies(1024, 10.0**-e, 0.1).applications for e in (3, 6, 9, 12)]
    assert np.all(np.diff(steps) < 1.3 * steps[0])
    assert InteriorPoint().copies(1024, 1e-12, 0.1).applications > 1e15 * steps[-1]


def test_refinement_reaches_where_the_read_out_alone_overflows():
    assert not InteriorPoint().copies(10, 1e-300, 0.1).valid
    cost = Refined(InteriorPoint()).copies(10, 1e-300, 0.1)
    assert cost.valid
    assert cost.applications < 2e8
    assert cost.reason() == ""


# Length.


@pytest.mark.parametrize("p", [1e-12, 1e-3, 0.5, 1.0])
@pytest.mark.parametrize("precision", [0.5, 1e-2, 1e-6])
def test_success_amplitude_meets_the_bound(p, precision):
    runs = SuccessAmplitude().copies(p, precision, math.exp(-1))
    repetitions = 1 / (2 * (8 / math.pi**2 - 0.5) ** 2)
    iterates = (runs.applications / repetitions - 1) / 2
    error = 2 * math.pi * math.sqrt(p * (1 - p)) / iterates + math.pi**2 / iterates**2
    # Either end of the interval that amplitude estimation leaves is within the precision, one of them exactly.
    assert math.sqrt(p + error) <= math.sqrt(p) * (1 + precision) * (1 + 1e-9)
    assert math.sqrt(max(p - error, 0)) == pytest.approx(math.sqrt(p) * (1 - precision), rel=1e-6)
    assert runs.coherent


def test_line_fit_takes_one_product():
    cost = FittedNorm().copies(0.1, 1e-3, 0.1)
    assert (cost.applications, cost.products) == (0, 1)


@numbered(NORMS)
@pytest.mark.parametrize(
    "bad", [(0.0, 0.1, 0.1), (1.1, 0.1, 0.1), (0.5, 0.0, 0.1), (0.5, 0.1, 0.0), (math.nan, 0.1, 0.1)]
)
def test_no_length_out_of_range(member, bad):
    cost = member.copies(*bad)
    assert not cost.valid
    assert cost.applications == math.inf
    assert cost.reason().startswith("needs ")


@hypothesis.given(p=st.floats(-12, 0).map(lambda e: 10**e), factor=st.floats(0.1, 1))
def test_a_length_costs_more_for_less_success_and_more_accuracy(p, factor):
    norm = SuccessAmplitude()
    base = norm.copies(p, 0.1, 0.1).applications
    assert norm.copies(p * factor, 0.1, 0.1).applications >= base * (1 - 1e-12)
    assert norm.copies(p, 0.1 * factor, 0.1).applications >= base * (1 - 1e-12)
    assert norm.copies(p, 0.1, 0.1 * factor).applications >= base * (1 - 1e-12)


# Properties that all share.


@numbered(READOUTS)
@hypothesis.given(
    n=st.floats(0, 12).map(lambda e: int(10**e)),
    precision=st.floats(-12, -0.01).map(lambda e: 10**e),
    failure=st.floats(-12, -0.01).map(lambda e: 10**e),
    growth=st.floats(1, 1e3),
)
def test_read_outs_grow_with_size_accuracy_and_certainty(member, n, precision, failure, growth):
    base = member.copies(n, precision, failure)
    assert base.valid
    assert base.applications >= 1
    assert base.rounds >= 1
    assert base.precision**base.rounds == pytest.approx(precision, rel=1e-9)
    for more in (
        member.copies(int(n * growth), precision, failure),
        member.copies(n, precision / growth, failure),
        member.copies(n, precision, failure / growth),
    ):
        assert more.applications >= base.applications * (1 - 1e-12)


@numbered(READOUTS)
@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((0, 0.1, 0.1), "n >= 1"),
        ((math.nan, 0.1, 0.1), "n >= 1"),
        ((16, 0.0, 0.1), "a precision in (0, 1)"),
        ((16, 1.0, 0.1), "a precision in (0, 1)"),
        ((16, -0.1, 0.1), "a precision in (0, 1)"),
        ((16, math.nan, 0.1), "a precision in (0, 1)"),
        ((16, 0.1, 0.0), "a failure probability in (0, 1)"),
        ((16, 0.1, 5.0), "a failure probability in (0, 1)"),
        ((16, 0.1, 1.0), "a failure probability in (0, 1)"),
        ((16, 0.1, math.nan), "a failure probability in (0, 1)"),
    ],
)
def test_no_number_out_of_range(member, args, reason):
    cost = member.copies(*args)
    assert not cost.valid
    assert cost.applications == math.inf
    assert reason in cost.reason()
    assert reason in cost.validity


def test_jit_and_arrays_give_the_same():
    n = np.asarray([1.0, 16.0, 1e4, 1e12])
    precision = np.asarray([[0.7], [1e-2], [1e-6]])
    traced = jax.jit(lambda *args: [member.copies(*args) for member in READOUTS])(
        *(jnp.asarray(v, jnp.float32) for v in (n, precision, 0.1))
    )
    for member, jitted in zip(READOUTS, traced, strict=True):
        plain = member.copies(n, precision, 0.1)
        assert plain.copies.shape == plain.valid.shape == plain.precision.shape == (3, 4)
        assert plain.copies.dtype == np.float64
        assert jitted.copies.dtype == jnp.float32
        for key in ARRAYS:
            np.testing.assert_allclose(
                np.asarray(getattr(jitted, key)), getattr(plain, key), rtol=3e-5, err_msg=f"{member.name} {key}"
            )
        assert member.copies(16, 1e-2, 0.1).applications == plain.applications[1, 1]


def test_derivatives_are_finite_and_fall_with_the_precision():
    def runs(precision):
        return jnp.stack([member.copies(100, precision, 0.1).applications for member in READOUTS[1:]])

    with jax.enable_x64(True):
        values, slopes = jax.jit(lambda p: (runs(p), jax.jacrev(runs)(p)))(jnp.asarray(1e-3))
    values, slopes = np.asarray(values), np.asarray(slopes)
    np.testing.assert_allclose(values, [m.copies(100, 1e-3, 0.1).applications for m in READOUTS[1:]], rtol=1e-12)
    assert np.all(np.isfinite(slopes))
    assert np.all(slopes < 0)
