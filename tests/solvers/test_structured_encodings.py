"""Encodings of structured matrices: corners of unitaries that are built as the encoding says, and published counts."""

import dataclasses
import math

import numpy as np
import pytest

import qnewton as q
from qnewton._solvers.quantum.encoding import (
    AbstractEncoding,
    Diagonals,
    Frobenius,
    Kronecker,
    Preconditioned,
    SparseAccess,
    SquareRoot,
    sparse_approximate_inverse,
)
from qnewton._solvers.quantum.encoding.base import OwnNumbers
from qnewton._solvers.quantum.encoding.diagonals import walsh_gates

SYSTEM = OwnNumbers(1000, 100, 0.5, 6.0, 2.0, math.log(500.0), True)


def numbers_of(matrix: np.ndarray) -> OwnNumbers:
    values = np.linalg.svd(matrix, compute_uv=False)
    degree = np.count_nonzero(matrix, axis=1).max()
    kappa = np.log(values[0] / values[-1])
    norm = float(np.linalg.norm(matrix))
    return OwnNumbers(len(matrix), degree, np.abs(matrix).max(), norm, values[0], kappa, True)


def random_definite(n: int, seed: int, density: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, n)) * (rng.random((n, n)) < density)
    matrix = matrix + matrix.T
    return matrix + np.eye(n) * (0.1 + np.abs(np.linalg.eigvalsh(matrix)).max())


def dilated(block: np.ndarray) -> np.ndarray:
    """A unitary with the block as its upper left corner."""
    left, values, right = np.linalg.svd(block)
    other = left @ np.diag(np.sqrt(np.maximum(1 - values**2, 0))) @ left.T
    mirrored = right.T @ np.diag(np.sqrt(np.maximum(1 - values**2, 0))) @ right
    return np.block([[block, other], [mirrored, -block.T]])


def alpha_of(member: AbstractEncoding, matrix: np.ndarray) -> float:
    return float(member.encode(numbers_of(matrix)).subnormalisation) * float(np.linalg.norm(matrix, 2))


@pytest.mark.parametrize(("left", "right"), [(Frobenius(), Frobenius()), (SparseAccess(), SparseAccess())])
def test_factors_side_by_side_hold_their_product(left, right):
    first, second = random_definite(3, 1), random_definite(4, 2, density=0.5)
    whole = np.kron(first, second)
    alphas = alpha_of(left, first), alpha_of(right, second)
    sides = [dilated(matrix / alpha) for matrix, alpha in zip((first, second), alphas, strict=True)]
    both = np.kron(*sides).reshape([2, 3, 2, 4] * 2)[0, :, 0, :, 0, :, 0, :].reshape(12, 12)
    member = Kronecker(3, left, right, degree=float(np.count_nonzero(first, axis=1).max()))
    alpha = alpha_of(member, whole)
    assert alpha == pytest.approx(alphas[0] * alphas[1], rel=1e-12)
    np.testing.assert_allclose(both, whole / alpha, atol=1e-12)
    gates, halves = (
        member.cost(numbers_of(whole), 1e-4),
        [one.cost(numbers_of(matrix), 5e-5) for one, matrix in ((left, first), (right, second))],
    )
    assert gates.t_count == sum(one.t_count for one in halves)
    assert gates.qubits == sum(one.qubits for one in halves)
    assert gates.t_depth == max(one.t_depth for one in halves)
    assert member.entries(numbers_of(whole)) == left.entries(numbers_of(first)) + right.entries(numbers_of(second))
    # The whole by itself takes at least as many.
    assert gates.t_count < left.cost(numbers_of(whole), 1e-4).t_count


@pytest.mark.parametrize("seed", range(3))
def test_factors_that_are_encoded_differently_have_a_bound(seed):
    first, second = random_definite(5, seed), random_definite(4, seed + 9)
    whole = np.kron(first, second)
    exact = alpha_of(SparseAccess(), first) * alpha_of(Frobenius(), second)
    norm = np.linalg.norm(first, 2)
    spread, peak = float(np.linalg.norm(first) / norm), float(np.abs(first).max() / norm)
    told = Kronecker(5, SparseAccess(), Frobenius(), spread=spread, peak=peak)
    untold = Kronecker(5, SparseAccess(), Frobenius())
    assert alpha_of(told, whole) == pytest.approx(exact, rel=1e-9)
    assert alpha_of(untold, whole) >= exact * (1 - 1e-12)
    assert untold.assumed == ("the norms of the factors: both at their worst",)
    assert told.assumed == Kronecker(5).assumed == ()
    assert told.name == "sparse access (x) Frobenius, fewest T"


def banded(n: int, offsets: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return sum(np.diag(rng.uniform(-1, 1, n - abs(k)), k) for k in offsets) + np.diag(np.full(n, 2.0))


@pytest.mark.parametrize("offsets", [(0,), (0, 1, -1), (0, 1, -1, 4, -4)])
def test_shifted_diagonals_add_up_to_the_matrix(offsets):
    n = 8
    matrix = banded(n, offsets)
    rows, columns = np.nonzero(matrix)
    member = Diagonals.of_entries(rows, columns, np.abs(matrix[rows, columns]))
    assert member.largest is not None
    order = sorted(offsets)
    # The state of the weights, each label's shift and its entries beside their complement, the state back.
    size = 2 ** math.ceil(math.log2(len(order)))
    weights = np.zeros(size)
    weights[: len(order)] = member.largest
    select = np.zeros((size, 2 * n, size, 2 * n))
    for label in range(size):
        k = order[label] if label < len(order) else n
        entries = np.array([matrix[i, i + k] / weights[label] if 0 <= i + k < n else 0.0 for i in range(n)])
        shift = np.eye(n)[:, (np.arange(n) - k) % n]
        select[label, :, label] = dilated(np.diag(entries)) @ np.kron(np.eye(2), shift)
    amplitudes = np.sqrt(weights / weights.sum())
    block = np.einsum("a,aibj,b->ij", amplitudes, select, amplitudes)[:n, :n]
    flat = select.reshape(size * 2 * n, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-12)
    np.testing.assert_allclose(block, matrix / alpha_of(member, matrix), atol=1e-12)
    # Never worse than one bound for all.
    assert alpha_of(member, matrix) <= alpha_of(Diagonals(), matrix) * (1 + 1e-12)
    assert member.entries(numbers_of(matrix)) == n * len(order)


@pytest.mark.parametrize(
    ("diagonals", "n", "coefficients", "t_count"),
    [(3, 2**20, 512, 296_524), (3, 2**20, 256, 149_068), (5, 2**10, 512, 493_708), (5, 2**10, 64, 63_628)],
)
def test_walsh_functions_take_the_published_gates(diagonals, n, coefficients, t_count):
    # PennyLane 0.45.1's estimator on its demonstration of arXiv 2512.05183, 44 T gates a rotation; the paper has 3e13
    # for 1e8 calls of the first one. The states of the weights, which it prepares by lookups, are the difference.
    found, _, _ = walsh_gates(np, *(np.float64(v) for v in (n, diagonals, coefficients, 44)))
    assert found == pytest.approx(t_count, rel=0.05)
    grid = OwnNumbers(2**20, 3, 1.0, 1.0, 1.0, 1.0, True)
    whole = Diagonals(np.ones(3), coefficients=512).cost(grid, 8 * 512 * 2.0 ** (-44 / 3))
    assert 1e8 * float(whole.t_count) == pytest.approx(3e13, rel=0.05)


@pytest.mark.parametrize("infill", [0, 2])
def test_a_sparse_approximate_inverse_lowers_the_condition_number(infill):
    n = 24
    matrix = banded(n, (0, 1, -1), seed=4) + np.diag(10.0 ** np.linspace(0, 2, n))
    inverse = sparse_approximate_inverse(matrix, infill)
    product = inverse @ matrix
    # The residual of the least squares is orthogonal to what the pattern lets move, and the pattern is kept.
    pattern = np.linalg.matrix_power((matrix != 0).astype(int), infill + 1) > 0
    assert not inverse[~pattern].any()
    np.testing.assert_allclose(((product - np.eye(n)) @ matrix.T)[pattern], 0, atol=1e-9)
    member = Preconditioned.of(product)
    encoding = member.encode(numbers_of(matrix))
    own = SparseAccess().encode(numbers_of(product))
    assert float(encoding.condition_number) == pytest.approx(np.linalg.cond(product), rel=1e-9)
    degree = max(np.count_nonzero(product, axis=axis).max() for axis in (0, 1))
    alpha = degree * np.abs(product).max() / np.linalg.norm(product, 2)
    assert float(encoding.subnormalisation) == pytest.approx(alpha, rel=1e-9)
    assert float(own.subnormalisation) <= alpha * (1 + 1e-12)
    effective, before = (
        float(one.condition_number * one.subnormalisation)
        for one in (encoding, SparseAccess().encode(numbers_of(matrix)))
    )
    assert effective < before / 5
    untold = Preconditioned(float(np.linalg.cond(product)), degree=float(degree)).encode(numbers_of(matrix))
    assert untold.subnormalisation >= encoding.subnormalisation


def test_a_preconditioned_matrix_is_not_the_system_s():
    encoding = Preconditioned(40.0).encode(SYSTEM)
    general, definite = q.queries.dalzell2024, q.queries.costa2021_definite
    assert general(encoding, 1e-3).valid
    assert "a definite matrix: a preconditioned one" in definite(encoding, 1e-3).reason()
    assert "the solution's norm of the matrix itself" in general(encoding, 1e-3, 20.0).reason()
    named = dataclasses.replace(q.assumptions.logical(), encodings=(SparseAccess(), Preconditioned(40.0)))
    charge = named.charge(q.assumptions.CountedSolver.of(general), SYSTEM, 1e-3, q.assumptions.Clock(1e-8))
    assert int(charge.encoding) == 1
    solver = q.assumptions.CountedSolver.of(definite)
    assert int(named.charge(solver, SYSTEM, 1e-3, q.assumptions.Clock(1e-8)).encoding) == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Kronecker(0), "rows is 0"),
        (lambda: Kronecker(4, left=SquareRoot(rows=3)), "left is square root"),
        (lambda: Kronecker(4, degree=5.0), "degree is 5"),
        (lambda: Kronecker(4, spread=3.0), "spread is 3"),
        (lambda: Kronecker(4, peak=1.5), "peak is 1.5"),
        (lambda: Diagonals(coefficients=0), "coefficients is 0"),
        (lambda: Preconditioned(0.5), "condition_number is 0.5"),
        (lambda: Preconditioned(5.0, SquareRoot(rows=3)), "encoding is square root"),
        (lambda: Preconditioned(5.0, degree=0.0), "degree is 0"),
        (lambda: Preconditioned(5.0, peak=0.0), "peak is 0"),
        (lambda: Preconditioned(5.0, spread=0.5), "spread is 0.5"),
        (lambda: Preconditioned.of(np.zeros((2, 2))), "P A is singular"),
        (lambda: sparse_approximate_inverse(np.eye(2), -1), "infill is -1"),
    ],
)
def test_what_no_matrix_has_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_the_identity_has_is_taken():
    made = Preconditioned(1.0, degree=1.0, peak=1.0, spread=1.0)
    assert (made.degree, made.peak, made.spread) == (1.0, 1.0, 1.0)
