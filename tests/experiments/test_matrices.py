"""Matrix files: what is read, what is refused and where, and the numbers of sparse matrices against dense oracles."""

import gzip
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from qnewton._solvers.quantum.encoding import DyadicLevels
from qnewton.lab._experiments.matrices import extremes
from qnewton.lab._experiments.matrices import numbers as module
from qnewton.lab._experiments.matrices.files import dense, read_matrices
from qnewton.lab._experiments.matrices.numbers import numbers_of_file

HEAD = "%%MatrixMarket matrix"
REAL, SYMMETRIC = f"{HEAD} coordinate real general", f"{HEAD} coordinate real symmetric"


def as_array(matrix: np.ndarray | scipy.sparse.csr_array) -> np.ndarray:
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    symmetry=st.sampled_from(["general", "symmetric", "hermitian"]),
    kind=st.sampled_from([np.float64, np.int64, np.complex128]),
    packed=st.booleans(),
    sparse=st.booleans(),
)
def test_what_scipy_writes_is_read_as_scipy_reads_it(tmp_path_factory, seed, n, symmetry, kind, packed, sparse) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.round(4 * rng.standard_normal((n, n))).astype(kind)
    if kind is np.complex128:
        matrix += 1j * rng.standard_normal((n, n))
    elif symmetry == "hermitian":
        symmetry = "symmetric"
    if symmetry != "general":
        matrix = np.tril(matrix) + (np.tril(matrix, -1).conj().T if symmetry == "hermitian" else np.tril(matrix, -1).T)
        if symmetry == "hermitian":
            matrix[np.diag_indices(n)] = np.real(matrix.diagonal())
    path = tmp_path_factory.mktemp("mtx") / "a.mtx"
    written = scipy.sparse.coo_array(matrix) if sparse else matrix
    scipy.io.mmwrite(path, written, symmetry=symmetry)
    if packed:
        path, plain = path.with_suffix(".mtx.gz"), path
        path.write_bytes(gzip.compress(plain.read_bytes()))
    ((name, found),) = read_matrices(path).items()
    assert name == "a"
    assert isinstance(found, np.ndarray) != sparse
    np.testing.assert_allclose(as_array(found), matrix, rtol=1e-13)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{SYMMETRIC}\n2 2 3\n1 1 1.0D+00\n2 2 2.0\n2 1 .1\n", "line 3 is '1 1 1.0D\\+00'"),
        (
            f"{HEAD} coordinate real symmetric\n%a\n\n2 2 2\n1 1 3\n2 2 3 oops\n",
            "line 6 is '2 2 3 oops': a row, a column and",
        ),
        (f"{SYMMETRIC}\n2 2 2\n1 1 3\n2 2 1_0\n", "line 4 is '2 2 1_0'"),
        (
            f"{HEAD} coordinate real symmetric\n2 2 4\n1 1 3\n2 2 3\n2 1 1\n1 2 1\n",
            "line 6: a symmetric file holds the lower",
        ),
        (
            f"{HEAD} coordinate real general\n2 2 3\n1 1 3\n2 2 3\n1 1 1\n",
            "line 5: this entry stands in the file already",
        ),
        (f"{REAL}\n2 2 2\n1 1 3\n3 2 3\n", "line 4: a row is a number from 1 to 2"),
        (f"{REAL}\n2 2 2\n1 1 3\n2 0 3\n", "line 4: a column is a number from 1 to 2"),
        (
            f"{HEAD} coordinate real general\n2 2 3\n1 1 3\n2 2 3\n",
            "line 4: the file has 2 entries, and its head .* 3",
        ),
        (
            f"{HEAD} coordinate real general\n2 2 1\n1 1 3\n2 2 3\n",
            "line 4: the file goes on after the 1 entries that its head announces",
        ),
        (
            f"{HEAD} coordinate complex hermitian\n1 1 1\n1 1 3 1\n",
            "line 3: the diagonal of a Hermitian",
        ),
        (f"{HEAD} coordinate real skew-symmetric\n1 1 0\n", "line 1: a skew-symmetric matrix"),
        (f"{HEAD} coordinate quaternion general\n1 1 0\n", "line 1 is .*a Matrix Market file begins with"),
        ("1 2 3\n", "line 1 is '1 2 3'"),
        (f"{REAL}\n2 two 1\n", "line 2 is '2 two 1': the numbers of rows, columns and entries"),
        (f"{HEAD} array real general\n2 2\n1\n2\n3\nfour\n", "line 6 is 'four': one number stand"),
        (f"{HEAD} array real symmetric\n2 3\n1\n", "line 2: a symmetric matrix is square"),
    ],
)
def test_a_line_that_says_anything_else_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.mtx"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"a.mtx cannot be read as a matrix: {message}"):
        read_matrices(path)


def test_blank_lines_and_the_rounding_of_a_diagonal_are_no_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "a.mtx"
    path.write_text(f"{HEAD} coordinate complex hermitian\n\n2 2 3\n\n1 1 3 1e-17\n2 1 1 1\n\n2 2 3 0\n\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers_of_file(path, lambda _: None)["condition_number"] == pytest.approx(
            (3 + np.sqrt(2)) / (3 - np.sqrt(2))
        )


def laplacian(size: int, dimensions: int) -> scipy.sparse.csr_array:
    line = scipy.sparse.csr_array(2 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1))
    found = scipy.sparse.csr_array((size**dimensions, size**dimensions))
    for place in range(dimensions):
        parts = [line if k == place else scipy.sparse.eye_array(size) for k in range(dimensions)]
        product = parts[0]
        for part in parts[1:]:
            product = scipy.sparse.kron(product, part)
        found = found + product
    return scipy.sparse.csr_array(found)


def test_a_large_sparse_matrix_has_its_numbers_without_being_made_dense(tmp_path: Path, monkeypatch) -> None:
    """The Laplacian on a grid has the eigenvalues `sum_i 2 - 2 cos(pi k_i / (m + 1))`."""
    monkeypatch.setattr(scipy.sparse.csr_array, "toarray", lambda *_: pytest.fail("made dense"))
    matrix, m = laplacian(20, 3), 20
    path, said = tmp_path / "a.npz", []
    for scale in (1.0, 1e-300, 1e160):
        scipy.sparse.save_npz(path, matrix * scale)
        found = numbers_of_file(path, said.append)
        assert found["condition_number"] == pytest.approx(1 / np.tan(np.pi / (2 * m + 2)) ** 2, rel=0.01)
        assert found["definite"] is True
        assert (found["n"], found["degree"]) == (m**3, 7)
        # The scale cancels, so only quotients mean something.
        largest = 6 - 6 * np.cos(np.pi * m / (m + 1))
        assert found["max_entry"] / found["spectral_norm"] == pytest.approx(6 / largest, rel=0.01)
        frobenius = np.sqrt(36 * m**3 + 6 * (m - 1) * m**2)
        assert found["frobenius_norm"] / found["max_entry"] == pytest.approx(frobenius / 6, rel=1e-12)
    assert "8,000 rows" in said[0]
    assert "take about" in said[0]


@pytest.mark.parametrize("kind", ["indefinite", "complex"])
def test_iterated_numbers_are_those_of_all_eigenvalues(tmp_path: Path, monkeypatch, kind: str) -> None:
    rng = np.random.default_rng(1)
    matrix = scipy.sparse.random_array((300, 300), density=0.02, rng=rng)
    if kind == "complex":
        matrix = matrix + 1j * scipy.sparse.random_array((300, 300), density=0.02, rng=rng)
    shift = scipy.sparse.diags_array(np.where(np.arange(300) < 100, -3.0, 3.0)) if kind == "indefinite" else 4.0
    eye = scipy.sparse.eye_array(300) * shift if kind == "complex" else shift
    matrix = scipy.sparse.csr_array(matrix + matrix.conj().T + eye)
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    exact = numbers_of_file(tmp_path / "a.npz")
    monkeypatch.setattr(module, "_EXACT_ROWS", 0)
    found = numbers_of_file(tmp_path / "a.npz")
    values = np.linalg.eigvalsh(matrix.toarray())
    kappa = np.abs(values).max() / np.abs(values).min()
    assert exact["condition_number"] == pytest.approx(kappa, rel=1e-9)
    assert found["condition_number"] == pytest.approx(kappa, rel=0.02)
    for name in ("n", "degree", "definite"):
        assert found[name] == exact[name]
    for name in ("max_entry", "frobenius_norm"):
        assert found[name] == pytest.approx(exact[name], rel=1e-12)
    assert exact["definite"] is bool(values.min() > 0)


@pytest.mark.parametrize("kind", ["definite", "indefinite", "complex"])
def test_what_products_do_not_resolve_a_factorisation_does(tmp_path: Path, monkeypatch, kind: str) -> None:
    """A Laplacian on a line of 300 rows has kappa cot(pi / 602)^2; a shift between eigenvalues makes it worse."""
    matrix, values = laplacian(300, 1), 2 - 2 * np.cos(np.pi * np.arange(1, 301) / 301)
    if kind == "indefinite":
        matrix = scipy.sparse.csr_array(matrix - scipy.sparse.eye_array(300) * (values[4] + 1e-6))
        values = values - values[4] - 1e-6
    elif kind == "complex":
        # A turn of each basis vector leaves the spectrum as it is.
        turns = scipy.sparse.diags_array(np.exp(1j * np.arange(300)))
        matrix = scipy.sparse.csr_array(turns @ matrix @ turns.conj())
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    monkeypatch.setattr(module, "_EXACT_ROWS", 0)
    monkeypatch.setattr(extremes, "_MOST_PRODUCTS", 60)
    found = numbers_of_file(tmp_path / "a.npz")
    sizes = np.abs(values)
    assert found["condition_number"] == pytest.approx(sizes.max() / sizes.min(), rel=0.05)
    assert found["definite"] == (kind != "indefinite")
    assert "solves" in found["notes"][0]
    monkeypatch.setattr(extremes, "available_bytes", lambda: 1000.0)
    with pytest.raises(ValueError, match="not resolved after"):
        numbers_of_file(tmp_path / "a.npz")


def test_the_levels_of_rows_are_those_of_the_dense_matrix() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 8, 8, 8, 8):  # a shape is compiled once
        matrix = np.where(rng.random((n, n)) < 0.4, 10.0 ** rng.uniform(-4, 2, (n, n)), 0.0).astype(np.float32)
        rows = scipy.sparse.csr_array(matrix)
        found, wanted = DyadicLevels.of_rows(rows.indptr, rows.indices, rows.data), DyadicLevels.of(jnp.asarray(matrix))
        for name in ("diagonal", "degrees", "magnitudes"):
            np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-6)


def test_what_is_no_system_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.npz"
    upper = scipy.sparse.csr_array(np.triu(np.ones((3, 3))))
    monkeypatch.setattr(module, "_EXACT_ROWS", 0)
    for matrix, message in (
        (upper, r"a.npz: a is not symmetric: its entries \(0, 1\) and \(1, 0\) are 1 and 0"),
        (scipy.sparse.csr_array((4, 4)), "a.npz: a is singular to rounding"),
        (scipy.sparse.csr_array(np.diag([1.0, np.nan])), "a.npz: a holds NaN or infinity"),
        (scipy.sparse.csr_array(np.diag([1.0, 1.0, 0.0])), "a.npz: a.*not resolved after"),
        (scipy.sparse.csr_array(np.ones((2, 3))), r"a has the shape \(2, 3\)"),
    ):
        scipy.sparse.save_npz(path, matrix)
        with pytest.raises(ValueError, match=message):
            numbers_of_file(path)
    scipy.sparse.save_npz(path, scipy.sparse.eye_array(30))
    monkeypatch.setattr(module, "available_bytes", lambda: 1000.0)
    monkeypatch.setattr(module, "read_matrices", lambda _: pytest.fail("read"))
    with pytest.raises(MemoryError, match=r"a\.npz takes about .* are free"):
        numbers_of_file(path)
    scipy.io.mmwrite(tmp_path / "a.mtx", scipy.sparse.eye_array(30).tocoo())
    with pytest.raises(MemoryError, match=r"a\.mtx takes about .* are free"):
        numbers_of_file(tmp_path / "a.mtx")
    with pytest.raises(ValueError, match="a is complex: only qnewton plan and breakeven take complex"):
        dense(np.eye(2, dtype=complex), "a")
    with pytest.raises(ValueError, match="a is sparse and has 30000 rows: as a dense array it would"):
        dense(scipy.sparse.csr_array((30000, 30000)), "a")
