"""Block encodings and preparations: published counts, subnormalisations of matrices, the ends of the ranges."""

import math
from typing import Any, NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from qnewton._core.records import System
from qnewton._estimation import Exact
from qnewton._solvers.quantum.encoding import (
    FABLE,
    AbstractEncoding,
    AbstractPreparation,
    CladerPreparation,
    Diagonals,
    DyadicLevels,
    Frobenius,
    FrobeniusShallow,
    Ideal,
    IdealPreparation,
    Kronecker,
    LookupPreparation,
    Preconditioned,
    SparseAccess,
    SquareRoot,
    factor_overlap,
    factor_solution_norm,
)
from qnewton._solvers.quantum.encoding.frobenius import min_count_gates
from qnewton._solvers.quantum.encoding.preparation import clader_gates, lookup_ands
from qnewton._solvers.quantum.encoding.sparse import sparse_gates
from qnewton._solvers.quantum.encoding.synthesis import ceil_log2, power


class Matrix(NamedTuple):
    """The numbers that an encoding reads; arrays where a test wants many matrices at once."""

    n: Any = 1000
    degree: Any = 100
    max_entry: Any = 0.5
    frobenius_norm: Any = 6.0
    spectral_norm: Any = 2.0
    log_condition_number: Any = math.log(500.0)
    definite: Any = True

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Matrix":
        values = np.linalg.svd(matrix, compute_uv=False)
        return cls(
            n=len(matrix),
            degree=np.count_nonzero(matrix, axis=1).max(),
            max_entry=np.abs(matrix).max(),
            frobenius_norm=np.sqrt((values**2).sum()),
            spectral_norm=values[0],
            log_condition_number=np.log(values[0] / values[-1]),
            definite=True,
        )


ENCODINGS = [
    Ideal(),
    SparseAccess(),
    SparseAccess(computed_positions=True),
    Frobenius(),
    FrobeniusShallow(),
    FABLE(),
    FABLE(kept=0.25),
    DyadicLevels(),
    DyadicLevels(np.float64(0.5), np.asarray([3.0, 20.0, 0.0]), np.asarray([0.5, 0.25, 0.0])),
    SquareRoot(rows=640),
    SquareRoot(rows=640, trace=np.float64(40.0), overlap=np.float64(0.5), row_entries=90),
    Diagonals(),
    Diagonals(np.asarray([0.5, 0.25, 0.1]), coefficients=64),
    Kronecker(rows=32),
    Kronecker(rows=20, left=SparseAccess(), right=Frobenius(), degree=1.0),
    Preconditioned(40.0),
    Preconditioned(40.0, Frobenius(), degree=30.0, peak=0.5, spread=3.0),
]
PREPARATIONS = [IdealPreparation(), CladerPreparation(), LookupPreparation()]


def numbered(values: list) -> Any:
    return pytest.mark.parametrize("member", values, ids=[f"{type(v).__name__}-{i}" for i, v in enumerate(values)])


def cost(member: AbstractEncoding | AbstractPreparation, matrix: Matrix, precision: Any):
    if isinstance(member, AbstractPreparation):
        return member.cost(matrix.n, precision)
    return member.cost(matrix, precision)


def random_definite(n: int, seed: int, density: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-3, 0, (n, n)) * (rng.random((n, n)) < density)
    matrix = matrix + matrix.T
    return matrix + np.eye(n) * (0.1 + np.abs(np.linalg.eigvalsh(matrix)).max())


# Published and measured counts.


@pytest.mark.parametrize(
    ("q", "bits", "rotation", "block", "vector", "qubits"),
    [
        (4, 10, 30, 6920, 3400, 179),
        (8, 10, 30, 55240, 26600, 2831),
        (10, 10, 30, 198632, 95224, 11285),
        (10, 20, 50, 388712, 190264, 21515),
        (13, 20, 50, 2865544, 1400008, 172052),
    ],
)
def test_clader_minimum_count(q, bits, rotation, block, vector, qubits):
    # arXiv 2206.03505 v1, tables 1, 3 and 4, as transcribed.
    args = (np.float64(q), np.float64(bits), np.float64(rotation))
    t_count, _, width = min_count_gates(np, *args)
    assert (t_count, width) == (block, qubits)
    assert clader_gates(2**q, *args)[0] == vector
    # The rotations come one after the other: a T gate more in each of them is a layer more, and 4 per amplitude remain.
    (count, depth, _), (counted, deeper, _) = (clader_gates(2**q, *args[:2], args[2] + more) for more in (0, 1))
    assert deeper - depth == counted - count == 2 * bits * q
    assert depth - rotation * (deeper - depth) == 4 * 2**q


@pytest.mark.parametrize(
    ("n", "qubits", "depth", "count"),
    [(16, 159, 4895, 7318), (256, 2551, 1.158e4, 5.035e4), (1024, 1.02e4, 2.011e4, 1.752e5)],
)
def test_clader_minimum_count_has_the_leading_terms_of_the_survey(n, qubits, depth, count):
    # arXiv 2310.03011 at epsilon 1e-3: its logarithm for t, three times that for R; the lower terms taken off.
    t = math.log2(1e3)
    q = math.log2(n)
    t_count, t_depth, width = min_count_gates(np, np.float64(q), np.float64(t), np.float64(3 * t))
    assert t_count - (24 * n - 16 * t * (q + 1) - 24) == pytest.approx(count, rel=5e-4)
    assert t_depth == pytest.approx(depth, rel=5e-4)
    assert width - (n + 3 * q - t + 1) == pytest.approx(qubits, rel=5e-3)


@pytest.mark.parametrize(
    ("n", "qubits", "depth", "count"),
    [(16, 1024, 279.2, 3.06e4), (256, 2.6e5, 319.2, 7.84e6), (1024, 4.19e6, 339.2, 1.254e8)],
)
def test_clader_minimum_depth_is_the_survey_s(n, qubits, depth, count):
    gates = FrobeniusShallow().cost(Matrix(n=n), 1e-3)
    assert gates.qubits == pytest.approx(qubits, rel=1e-2)
    assert gates.t_depth == pytest.approx(depth, abs=0.05)
    assert gates.t_count == pytest.approx(count, rel=1e-3)


@pytest.mark.parametrize(("n", "measured", "qubits"), [(8, 576, 20), (16, 2104, 24)])
def test_sparse_access_against_qualtran(n, measured, qubits):
    # Qualtran 0.7.0: SparseMatrix with ExplicitEntryOracle(entry_bitsize=8), dense, 11 T a rotation.
    size = np.float64(n)
    t_count, t_depth, width = sparse_gates(np, size, size, np.float64(8), np.float64(11), computed_positions=True)
    # Ours also turns labels for a degree that is not a power of two, and is controlled.
    assert measured < t_count < 1.21 * measured
    assert width == qubits
    assert t_depth < t_count
    assert sparse_gates(np, size, size, np.float64(8), np.float64(11), computed_positions=False)[0] < 2.2 * measured


def test_lookup_preparation_against_qualtran():
    # Qualtran 0.7.0: StatePreparationViaRotations, 16 complex amplitudes, 10 phase bits: 328 T.
    assert 328 <= 4 * lookup_ands(16, 4, 10) <= 1.08 * 328


def test_what_the_docstrings_quote():
    dense = [sparse_gates(np, np.float64(n), np.float64(n), 8.0, 11.0, computed_positions=True)[0] for n in (8, 16)]
    assert dense == [692, 2248]
    assert 4 * lookup_ands(16, 4, 10) == 352


# Subnormalisations.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_subnormalisations_of_matrices(seed, density):
    dense = random_definite(12, seed, density)
    matrix = Matrix.of(dense)
    norm, smallest = np.linalg.norm(dense, 2), np.linalg.svd(dense, compute_uv=False)[-1]
    expected = [
        (Ideal(), norm),
        (SparseAccess(), max(np.count_nonzero(row) for row in dense) * abs(dense).max()),
        (Frobenius(), math.sqrt(np.trace(dense @ dense.T))),
        (FrobeniusShallow(), math.sqrt(np.trace(dense @ dense.T))),
        (FABLE(), 16 * abs(dense).max()),
        (DyadicLevels(), max(np.count_nonzero(row) for row in dense) * abs(dense).max()),
    ]
    for member, alpha in expected:
        encoding = member.encode(matrix)
        assert encoding.subnormalisation == pytest.approx(alpha / norm, rel=1e-12)
        assert encoding.subnormalisation >= 1
        assert encoding.condition_number == pytest.approx(norm / smallest, rel=1e-10)
        assert not member.rectangular
        assert member.smallest_solution_norm == 1
        assert member.amplitudes(matrix) == 12


def slow_levels(dense: np.ndarray, levels: int) -> float:
    """The definition, entry by entry."""
    n = len(dense)
    off = [[abs(dense[i, j]) for j in range(n) if j != i and dense[i, j] != 0] for i in range(n)]
    largest = max((entry for row in off for entry in row), default=0.0)
    total = 0.0
    for level in range(levels):
        upper = largest / 2**level
        lower = largest / 2 ** (level + 1) if level < levels - 1 else 0.0
        rows = [[entry for entry in row if lower < entry <= upper] for row in off]
        total += max(len(row) for row in rows) * max((entry for row in rows for entry in row), default=0.0)
    return max(abs(dense[i, i]) for i in range(n)) + min(total, max(len(row) for row in off) * largest)


@pytest.mark.parametrize(("levels", "density"), [(1, 1.0), (2, 0.15), (12, 1.0)])
def test_dyadic_levels_are_measured(levels, density, dtype):
    dense = np.asarray(random_definite(20, levels, density), dtype)
    dense[3, 4] = dense[4, 3] = 2 * np.abs(dense - np.diag(np.diag(dense))).max()  # a level's bound is met exactly
    matrix = Matrix.of(dense.astype(float))
    measured = jax.jit(DyadicLevels.of, static_argnums=1)(jnp.asarray(dense), levels)
    measured = jax.tree.map(np.asarray, measured)
    alpha = float(measured.encode(matrix).subnormalisation) * matrix.spectral_norm
    assert alpha == pytest.approx(slow_levels(dense.astype(float), levels), rel=1e-5)
    # Between the floor of everything that reads rows and sparse access.
    assert alpha >= np.abs(dense).sum(axis=1).max() * (1 - 1e-6)
    assert alpha <= float(SparseAccess().encode(matrix).subnormalisation) * matrix.spectral_norm * (1 + 1e-6)
    assert measured.assumed == ()
    counts = np.asarray(measured.degrees)
    assert measured.entries(matrix) == pytest.approx(20 * (1 + counts.sum()))
    gates = measured.cost(matrix, 1e-6)
    assert gates.valid
    parts = [SparseAccess().cost(matrix._replace(degree=max(c, 1)), 1e-6).t_count for c in counts if c]
    assert gates.t_count > sum(parts)  # every level's oracle, finer angles, and the diagonal


def test_dyadic_levels_of_a_diagonal_matrix():
    measured = jax.tree.map(np.asarray, jax.jit(DyadicLevels.of)(jnp.diag(jnp.asarray([1.0, -3.0, 2.0]))))
    estimate = Matrix.of(np.diag([1.0, -3.0, 2.0]))
    assert float(measured.encode(estimate).subnormalisation) == pytest.approx(1.0)
    assert measured.cost(estimate, 1e-3).valid


def test_the_weights_of_levels_are_prepared_twice_by_rotations():
    precision = 1e-4
    one, four = (
        DyadicLevels(np.float64(0.5), np.asarray([20.0, 0.0, 0.0][:levels]), np.asarray([0.5, 0.0, 0.0][:levels]))
        for levels in (1, 3)
    )
    found, more = (member.cost(Matrix(), precision) for member in (one, four))

    def prepared(weights):
        """A tree of rotations for so many amplitudes, there and back, on half of the error."""
        count = 2 * (weights - 1)
        return count * 3 * math.log2(count / (precision / 2))

    # The diagonal is one of the weights, so one level makes two of them, and three make four.
    for field in ("t_count", "t_depth"):
        grown = float(getattr(more, field)) - float(getattr(found, field))
        assert grown == pytest.approx(prepared(4) - prepared(2), rel=1e-9)


def test_levels_need_to_be():
    with pytest.raises(ValueError, match="levels is 0"):
        DyadicLevels.of(jnp.eye(2), levels=0)
    with pytest.raises(ValueError, match="together or not at all"):
        DyadicLevels(degrees=jnp.ones(2))


@pytest.fixture(scope="module")
def factor() -> dict[str, np.ndarray]:
    """A softmax Gauss-Newton block with its factor, step and right-hand side."""
    rng = np.random.default_rng(5)
    batch, outputs, n, damping = 7, 3, 9, 1e-2
    jacobian = rng.standard_normal((batch, outputs, n))
    logits = rng.standard_normal((batch, outputs))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.eye(outputs)[rng.integers(outputs, size=batch)]
    curvature = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    values, vectors = np.linalg.eigh(curvature)
    kept = values > 1e-12
    root = np.einsum("bij,bj,bkj->bik", vectors, np.sqrt(values * kept), vectors)
    inverse = np.einsum("bij,bj,bkj->bik", vectors, kept / np.sqrt(np.where(kept, values, 1)), vectors)
    rows = np.einsum("bij,bjn->bin", root, jacobian).reshape(-1, n) / math.sqrt(batch)
    whole = np.concatenate([rows, math.sqrt(damping) * np.eye(n)])
    b = np.concatenate([np.einsum("bij,bj->bi", inverse, p - y).ravel() / math.sqrt(batch), np.zeros(n)])
    hessian = np.einsum("bin,bij,bjm->nm", jacobian, curvature, jacobian) / batch + damping * np.eye(n)
    gradient = np.einsum("bin,bi->n", jacobian, p - y) / batch
    return {"L": whole, "b": b, "H": hessian, "g": gradient, "x": np.linalg.solve(hessian, gradient)}


def test_square_root_is_that_of_the_factor(factor):
    whole, b, hessian, g, x = (factor[key] for key in ("L", "b", "H", "g", "x"))
    np.testing.assert_allclose(whole.T @ whole, hessian, atol=1e-12)
    np.testing.assert_allclose(whole.T @ b, g, atol=1e-12)
    np.testing.assert_allclose(np.linalg.pinv(whole) @ b, x, atol=1e-10)
    matrix = Matrix.of(hessian)
    member = SquareRoot(rows=len(whole) - len(x), trace=np.trace(hessian))
    encoding = member.encode(matrix)
    assert encoding.condition_number == pytest.approx(np.linalg.cond(whole), rel=1e-9)
    assert encoding.subnormalisation == pytest.approx(np.linalg.norm(whole) / np.linalg.norm(whole, 2), rel=1e-9)
    assert member.amplitudes(matrix) == np.count_nonzero(np.arange(len(b)) < 21)
    assert member.entries(matrix) == 21 * 9

    unit = whole / np.linalg.norm(whole, 2)
    projected = np.linalg.norm(whole @ np.linalg.pinv(whole) @ b) / np.linalg.norm(b)
    overlap = factor_overlap(g @ x, float(np.linalg.norm(b)))
    norm = factor_solution_norm(matrix.spectral_norm, float(np.linalg.norm(x)), float(np.linalg.norm(b)))
    assert overlap == pytest.approx(projected, rel=1e-10)
    assert norm == pytest.approx(np.linalg.norm(np.linalg.pinv(unit) @ b) / np.linalg.norm(b), rel=1e-10)
    # The amplitude of a method that inverts the factor holds the overlap already: it is the worst case, not a factor.
    assert 0 < overlap <= 1
    assert overlap <= norm <= overlap * encoding.condition_number
    assert SquareRoot(rows=21, overlap=overlap).smallest_solution_norm == overlap
    assert member.rectangular


@pytest.mark.parametrize("seed", range(5))
def test_square_root_without_a_trace_takes_a_bound(seed):
    dense = random_definite(10, seed)
    matrix = Matrix.of(dense)
    exact = SquareRoot(rows=30, trace=np.trace(dense), overlap=0.5).encode(matrix)
    bound = SquareRoot(rows=30).encode(matrix)
    assert bound.subnormalisation >= exact.subnormalisation * (1 - 1e-12)
    # alpha^2 = tr A >= n lambda_min.
    assert exact.subnormalisation * exact.condition_number >= math.sqrt(10)
    assert len(SquareRoot(rows=30).assumed) == 2
    assert SquareRoot(rows=30, trace=1.0, overlap=0.5).assumed == ()


def test_square_root_needs_a_definite_matrix_and_an_overlap():
    matrix = Matrix(definite=False)
    assert SquareRoot(rows=30).encode(matrix).condition_number == math.inf
    assert SquareRoot(rows=30).cost(matrix, 1e-3).reason() == "needs a definite matrix"
    for overlap in (0.0, 1.5, math.nan):
        assert SquareRoot(rows=30, overlap=overlap).cost(Matrix(), 1e-3).reason() == "needs an overlap in (0, 1]"
    with pytest.raises(ValueError, match="rows is 0"):
        SquareRoot(rows=0)
    with pytest.raises(ValueError, match="row_entries is 0"):
        SquareRoot(rows=3, row_entries=0)


@pytest.mark.parametrize(("n", "q"), [(1, 0), (2, 1), (5, 3), (1000, 10)])
def test_fable_takes_twice_the_index_and_one_qubit(n, q):
    # Camps and Van Beeumen, arXiv 2205.00081: 2 q + 1 qubits and 4^q rotations.
    gates = FABLE().cost(Matrix(n=n, degree=1), 1e-3)
    assert float(gates.qubits) == 2 * q + 1
    assert float(gates.t_count) == pytest.approx(4**q * 3 * math.log2(4**q / 1e-3))


@pytest.mark.parametrize("kept", [0.0, 1.5, math.nan])
def test_fable_keeps_a_fraction(kept):
    with pytest.raises(ValueError, match=f"kept is {kept}"):
        FABLE(kept=kept)


# Properties that all share.


@numbered(ENCODINGS)
def test_scaling_the_matrix_changes_nothing(member):
    matrix = Matrix()
    for scale in (1e-200, 1e-3, 1e3, 1e200):
        scaled = matrix._replace(max_entry=scale * 0.5, frobenius_norm=scale * 6.0, spectral_norm=scale * 2.0)
        if isinstance(member, SquareRoot) and member.trace is not None:
            same = SquareRoot(member.rows, scale * member.trace, member.overlap)
        elif isinstance(member, DyadicLevels) and member.diagonal is not None and member.magnitudes is not None:
            same = DyadicLevels(scale * member.diagonal, member.degrees, scale * member.magnitudes)
        elif isinstance(member, Diagonals) and member.largest is not None:
            same = Diagonals(scale * member.largest, member.coefficients)
        else:
            same = member
        before, after = member.encode(matrix), same.encode(scaled)
        assert after.subnormalisation == pytest.approx(before.subnormalisation, rel=1e-12)
        assert after.condition_number == before.condition_number
        assert same.cost(scaled, 1e-4).t_count == member.cost(matrix, 1e-4).t_count


precisions = st.floats(-12, -0.1).map(lambda e: 10**e)
FIELDS = ("t_count", "t_depth", "qubits")


@numbered(ENCODINGS + PREPARATIONS)
@hypothesis.given(
    n=st.floats(0, 12).map(lambda e: int(10**e)),
    share=st.floats(0, 1),
    precision=precisions,
    growth=st.floats(1, 1e3),
)
def test_costs_grow_with_size_degree_and_accuracy(member, n, share, precision, growth):
    if isinstance(member, DyadicLevels) and member.degrees is not None:
        n = max(n, 20)
    matrix = Matrix(n=n, degree=max(1, int(n**share)))
    base = cost(member, matrix, precision)
    finer = cost(member, matrix, precision / growth)
    larger = cost(member, matrix._replace(n=int(n * growth)), precision)
    denser = cost(member, matrix._replace(degree=min(n, int(matrix.degree * growth))), precision)
    assert base.valid
    assert base.reason() == ""
    assert 1 <= base.t_depth <= max(base.t_count, 1)
    assert base.qubits >= max(math.log2(n), 0)
    for more in (finer, larger, denser):
        assert more.valid
        for field in FIELDS:
            assert getattr(more, field) >= getattr(base, field) * (1 - 1e-12), field


@numbered(ENCODINGS)
def test_condition_numbers_and_norms_enter_as_they_should(member):
    matrix = Matrix()
    base = member.encode(matrix)
    worse = member.encode(matrix._replace(log_condition_number=math.log(1e300)))
    assert worse.subnormalisation == base.subnormalisation
    if base.other is False:
        power_of_kappa = 0.5 if member.rectangular else 1.0
        assert worse.condition_number == pytest.approx(1e300**power_of_kappa, rel=1e-10)
        assert member.encode(matrix._replace(log_condition_number=0.0)).condition_number == 1
    for field in ("degree", "max_entry", "frobenius_norm"):
        more = member.encode(matrix._replace(**{field: 2 * getattr(matrix, field)}))
        assert more.subnormalisation >= base.subnormalisation
    # A norm that is only a bound cancels in the product, or makes it an upper bound.
    loose = member.encode(matrix._replace(spectral_norm=20.0, log_condition_number=math.log(5000.0)))
    product = loose.subnormalisation * loose.condition_number
    assert product >= base.subnormalisation * base.condition_number * (1 - 1e-12)


@numbered(ENCODINGS + PREPARATIONS)
@pytest.mark.parametrize("precision", [0.0, -1.0, 1.0, 2.0, math.nan, math.inf])
def test_no_number_for_a_precision_out_of_range(member, precision):
    gates = cost(member, Matrix(), precision)
    assert not gates.valid
    assert "a precision in (0, 1)" in gates.reason()
    assert all(getattr(gates, field) == math.inf for field in FIELDS)
    assert "n >= 1" in gates.validity


@numbered(ENCODINGS + PREPARATIONS)
@pytest.mark.parametrize("n", [0, -3, math.nan, math.inf])
def test_no_number_for_a_size_out_of_range(member, n):
    gates = cost(member, Matrix(n=n, degree=1), 1e-3)
    assert not gates.valid
    assert gates.reason().startswith("needs ")
    assert gates.t_count == math.inf


@numbered([SparseAccess(), SparseAccess(computed_positions=True), DyadicLevels(), ENCODINGS[8]])
@pytest.mark.parametrize("degree", [0, 1001, math.nan])
def test_a_degree_is_one_of_the_matrix(member, degree):
    assert "a degree in [1, n]" in member.cost(Matrix(degree=degree), 1e-3).reason()


@numbered(ENCODINGS)
def test_numbers_that_are_not_finite_stay_visible(member):
    """A query formula refuses an encoding that is not finite, so it must not come out as one that is."""
    for field in ("spectral_norm", "log_condition_number"):
        encoding = member.encode(Matrix()._replace(**{field: math.nan}))
        assert not np.isfinite(encoding.condition_number * encoding.subnormalisation)
    zero = member.encode(Matrix(max_entry=0.0, frobenius_norm=0.0, spectral_norm=0.0))
    assert not np.isfinite(zero.subnormalisation)


@numbered(ENCODINGS + PREPARATIONS)
def test_smallest_matrix(member):
    if isinstance(member, DyadicLevels) and member.degrees is not None:
        member = DyadicLevels(member.diagonal, np.zeros(3), np.zeros(3))
    gates = cost(member, Matrix(n=1, degree=1), 1e-3)
    assert gates.valid
    # Nothing may cost no time: a query takes a logical cycle, even where the formula says 0.
    assert gates.t_depth >= 1
    assert gates.t_count >= 0


def everything(matrix: Matrix, precision: Any) -> list[dict[str, Any]]:
    found = []
    for member in ENCODINGS + PREPARATIONS:
        gates = cost(member, matrix, precision)
        out = {field: getattr(gates, field) for field in (*FIELDS, "valid")}
        if isinstance(member, AbstractEncoding):
            encoding = member.encode(matrix)
            out |= {"kappa": encoding.condition_number, "alpha": encoding.subnormalisation}
            out |= {"entries": member.entries(matrix), "amplitudes": member.amplitudes(matrix)}
        found.append(out)
    return found


def test_jit_and_arrays_give_the_same():
    n = np.asarray([20.0, 64.0, 65.0, 1000.0, 2.0**20, 1e6])
    degree = np.asarray([1.0, 3.0, 8.0, 20.0, 1000.0, 20.0])
    precision = np.asarray([[1e-3], [0.3e-7]])
    traced = jax.jit(lambda n, degree, precision: everything(Matrix(n=n, degree=degree), precision))(
        *(jnp.asarray(v, jnp.float32) for v in (n, degree, precision))
    )
    arrays = everything(Matrix(n=n, degree=degree), precision)
    single = everything(Matrix(n=65, degree=8), 1e-3)
    for member, plain, jitted, one in zip(ENCODINGS + PREPARATIONS, arrays, traced, single, strict=True):
        assert plain["t_count"].shape == plain["valid"].shape == (2, 6)
        assert plain["t_count"].dtype == np.float64
        assert plain["valid"].all()
        for key, value in plain.items():
            np.testing.assert_allclose(jitted[key], value, rtol=1e-5, err_msg=f"{member} {key}")
            if key in FIELDS:
                assert jitted[key].dtype == jnp.float32
                assert one[key] == value[0, 2]


def test_derivatives_are_finite_and_fall_with_the_precision():
    smooth = [m for m in ENCODINGS + PREPARATIONS if not isinstance(m, Ideal | IdealPreparation | LookupPreparation)]

    def counts(precision):
        return jnp.stack([cost(member, Matrix(), precision).t_count for member in smooth])

    with jax.enable_x64(True):
        values, slopes = jax.jit(lambda p: jax.jvp(counts, (p,), (jnp.ones_like(p),)))(jnp.asarray(1.1e-4))
    values, slopes = np.asarray(values), np.asarray(slopes)
    np.testing.assert_allclose(values, [cost(member, Matrix(), 1.1e-4).t_count for member in smooth], rtol=1e-13)
    assert np.all(np.isfinite(slopes))
    assert np.all(slopes < 0)


# Parts.


@pytest.mark.parametrize("q", [0, 1, 2, 3, 10, 23, 40, 100])
def test_bits_of_addresses_are_exact(q, dtype):
    for xp in (np, jnp):
        whole = xp.asarray(2.0**q, dtype)
        assert ceil_log2(xp, whole) == q
        assert ceil_log2(xp, whole * (1 + 2 * float(jnp.finfo(dtype).eps))) == q + 1
        assert power(xp, xp.asarray(float(q), dtype)) == 2.0**q


def test_estimates_of_the_library_are_read():
    dense = random_definite(12, 0)
    members = [SparseAccess(), DyadicLevels(), SquareRoot(rows=30)]
    with jax.enable_x64(True):
        estimate = Exact()(System.of(jnp.asarray(dense), symmetric=True))
        found = jax.jit(lambda e: [(m.encode(e), m.cost(e, 1e-3)) for m in members])(estimate)
    for member, (encoding, gates) in zip(members, found, strict=True):
        ours = member.encode(Matrix.of(dense))
        assert float(encoding.subnormalisation) == pytest.approx(float(ours.subnormalisation), rel=1e-9)
        assert float(encoding.condition_number) == pytest.approx(float(ours.condition_number), rel=1e-9)
        assert gates.valid
