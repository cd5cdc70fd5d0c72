"""Two hundred random matrix files in every format with known answers: right, or refused with the reason."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from qnewton.lab._experiments.matrices.numbers import numbers_of_file

COUNT = 200


def known(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """A Hermitian matrix in one of several shapes, and what its numbers are by their definitions."""
    n = int(rng.integers(1, 15))
    spectrum = 10.0 ** rng.uniform(-2, 2, n) * rng.choice([1.0, -1.0], n, p=[0.8, 0.2])
    kind = rng.choice(["full", "complex", "diagonal", "pairs", "integer"])
    if kind == "full" or kind == "complex":
        square = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if kind == "complex" else 0.0)
        basis = np.linalg.qr(square)[0]
        matrix = (basis * spectrum) @ basis.conj().T
    elif kind == "diagonal":
        matrix = np.diag(spectrum)
    elif kind == "integer":
        # Dominated by its diagonal, so that it is not singular.
        lower = np.tril(rng.integers(-3, 4, (n, n)), -1) * (rng.random((n, n)) < 0.4)
        matrix = lower + lower.T
        matrix = matrix + np.diag(1 + np.abs(matrix).sum(axis=1))
    else:
        # Rotations of pairs: two numbers in a row.
        matrix = np.diag(spectrum)
        for i in range(0, n - 1, 2):
            turn = rng.uniform(0.1, 1.4)
            c, s = np.cos(turn), np.sin(turn)
            block = np.asarray([[c, -s], [s, c]])
            matrix[i : i + 2, i : i + 2] = block @ matrix[i : i + 2, i : i + 2] @ block.T
    matrix = matrix / 2 + matrix.conj().T / 2
    scale = 10.0 ** rng.choice([0, 0, 0, -150, 150]) if kind != "integer" else 1.0
    matrix = matrix if kind == "integer" else matrix * scale
    values = np.linalg.eigvalsh(matrix / scale)
    largest = np.abs(values).max()
    return matrix, {
        "n": n,
        "degree": int(np.count_nonzero(matrix, axis=1).max()),
        "condition_number": largest / np.abs(values).min(),
        "definite": bool(values.min() > 0),
        "max_entry": np.abs(matrix / scale).max() / largest,
        "frobenius_norm": np.sqrt(np.sum(values**2)) / largest,
    }


def write(rng: np.random.Generator, folder: Path, matrix: np.ndarray) -> Path:
    """The matrix in a file of some format."""
    how = rng.choice(["npy", "npz", "sparse", "mtx", "mtx.gz"])
    if how == "npy":
        np.save(folder / "a.npy", np.asfortranarray(matrix) if rng.random() < 0.5 else matrix)
    elif how == "npz":
        np.savez(folder / "a.npz", matrix)
    elif how == "sparse":
        kind: Callable[[Any], Any] = getattr(scipy.sparse, f"{rng.choice(['csr', 'csc', 'coo', 'bsr'])}_array")
        scipy.sparse.save_npz(folder / "a.npz", kind(matrix))
        how = "npz"
    else:
        sparse, real = rng.random() < 0.6, matrix.dtype.kind != "c"
        symmetry = str(rng.choice(["general", "symmetric" if real else "hermitian"]))
        file = io.BytesIO()
        written = scipy.sparse.coo_array(matrix) if sparse else matrix
        scipy.io.mmwrite(file, written, symmetry=symmetry, precision=17)
        text = file.getvalue()
        (folder / f"a.{how}").write_bytes(gzip.compress(text) if how == "mtx.gz" else text)
    return folder / f"a.{how}"


BROKEN: dict[str, tuple[str, str]] = {
    "text behind a number": ("1 1 2.0 m", "line 4 is '1 1 2.0 m'"),
    "Fortran's exponent": ("1 1 1.0D+3", "line 4 is '1 1 1.0D"),
    "Fortran's exponent, lower case": ("1 1 1.0d0", "line 4 is '1 1 1.0d0'"),
    "an underscore": ("1 1 1_0", "line 4 is '1 1 1_0'"),
    "a comma": ("1 1 1,5", "line 4 is '1 1 1,5'"),
    "the other triangle": ("1 2 1.0", "line 4: a symmetric file holds the lower triangle alone"),
    "an entry twice": ("2 2 3.0", "line 5: this entry stands in the file already"),
    "a row too far": ("3 1 1.0", "line 4: a row is a number from 1 to 2"),
    "row zero": ("0 1 1.0", "line 4: a row is a number from 1 to 2"),
    "half a number": ("1 1", "line 4 is '1 1'"),
    "no number": ("1 1 nan", "NaN or infinity"),
    "endless": ("1 1 inf", "NaN or infinity"),
    "a fraction for a row": ("1.5 1 1.0", "line 4 is '1.5 1 1.0'"),
    "a comment between": ("% 1 1 1.0", "line 4 is '% 1 1 1.0'"),
}


def test_two_hundred_files_are_read_right(tmp_path: Path) -> None:
    rng = np.random.default_rng(20261201)
    for at in range(COUNT):
        matrix, wanted = known(rng)
        folder = tmp_path / str(at)
        folder.mkdir()
        path = write(rng, folder, matrix)
        found = numbers_of_file(path)
        for name in ("n", "degree", "definite"):
            assert found[name] == wanted[name], (path, name)
        assert found["condition_number"] == pytest.approx(wanted["condition_number"], rel=1e-7), path
        for name in ("max_entry", "frobenius_norm"):
            assert found[name] / found["spectral_norm"] == pytest.approx(wanted[name], rel=1e-9), (path, name)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("line", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_line_is_refused_by_its_number(tmp_path: Path, line: str, message: str, packed: bool) -> None:
    text = f"%%MatrixMarket matrix coordinate real symmetric\n% a comment\n2 2 2\n{line}\n2 2 3.0\n".encode()
    path = tmp_path / ("a.mtx.gz" if packed else "a.mtx")
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(ValueError, match=message.replace("+", r"\+").replace("(", r"\(")):
        numbers_of_file(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    def refused(name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            numbers_of_file(tmp_path / name)

    def saved(write: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
        file = io.BytesIO()
        write(file, *arrays, **named)
        return file.getvalue()

    eye, text = np.eye(3), b"%%MatrixMarket matrix array real general\n1 1\n2.0\n"
    whole = gzip.compress(text * 50)
    refused("cut.mtx.gz", whole[: len(whole) // 2], "cannot be read as a matrix")
    spoilt = bytearray(whole)
    spoilt[20] ^= 255
    refused("spoilt.mtx.gz", bytes(spoilt), "cannot be read as a matrix")
    refused("plain.mtx.gz", text, "cannot be read as a matrix")
    refused("cut.npy", saved(np.save, eye)[:-4], "cannot be read as a matrix")
    refused("cut.npz", saved(np.savez, eye)[:-40], "cannot be read as a matrix")
    refused("text.npy", b"1 2\n3 4\n", "cannot be read as a matrix")
    refused("objects.npy", saved(np.save, np.asarray([[None]]), allow_pickle=True), "cannot be read as a matrix")
    # Errors of other kinds, from below: tokenize, zipfile and numpy have their own.
    refused("head.npy", saved(np.save, eye).replace(b"(3, 3)", b"08, 3)"), "cannot be read as a matrix: TokenError")
    packed = bytearray(saved(np.savez, eye))
    packed[packed.rindex(b"PK\1\2") + 10] = 77
    refused("method.npz", bytes(packed), "cannot be read as a matrix: NotImplementedError")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("notes.txt", "none")
    refused("text.npz", (tmp_path / "text.npz").read_bytes(), "notes.txt in it is no array")
    beyond = scipy.sparse.csr_array(eye)
    beyond.indices[1] = 3_000_000
    refused("beyond.npz", saved(scipy.sparse.save_npz, beyond), "cannot be read as a matrix: .*ind")
    refused("words.npy", saved(np.save, np.asarray([["a"]])), "numbers are asked for")
    refused("none.npz", saved(np.savez), "holds no array")
    refused("two.npz", saved(np.savez, a=eye, b=eye), "holds 2 matrices")
    refused("flat.npy", saved(np.save, np.ones(3)), "a square matrix is asked for")
    refused("wide.npy", saved(np.save, np.ones((2, 3))), "a square matrix is asked for")
    refused("empty.npy", saved(np.save, np.ones((0, 0))), "a square matrix is asked for")
    refused("turned.npy", saved(np.save, np.asarray([[1.0, 2.0], [0.0, 1.0]])), "is not symmetric")
    refused("singular.npy", saved(np.save, np.ones((3, 3))), "singular to rounding")
    refused("zero.npy", saved(np.save, np.zeros((3, 3))), "singular to rounding")
    refused("nan.npy", saved(np.save, np.full((2, 2), np.nan)), "NaN or infinity")
    refused("a.mat", b"", "its name does not end in")
    refused("a.mtx", b"", "line 1 is ''")
    refused(
        "two.mtx", text.replace(b"1 1\n2.0", b"2 2\n1.0\n0.0\n0.0"), "the file has 3 entries, and its head announces 4"
    )
