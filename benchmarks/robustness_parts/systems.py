"""Linear systems: spectra, faults and scales, and what a wide oracle says of them."""

import dataclasses

import numpy as np

SIZES = (1, 2, 5, 12, 30)
SPECTRA = (
    "geometric",
    "clustered",
    "identity",
    "diagonal",
    "indefinite",
    "near width",
    "beyond width",
    "singular consistent",
    "singular inconsistent",
    "rank one",
    "zero right-hand side",
    "zero matrix",
    "nan entry",
    "inf entry",
    "nan in one triangle",
    "inf in one triangle",
    "nan in right-hand side",
    "nonsymmetric",
)
# Whose answer is known to be no answer at all.
NOT_FINITE = ("nan entry", "inf entry", "nan in one triangle", "inf in one triangle", "nan in right-hand side")


@dataclasses.dataclass(frozen=True)
class LinearSystem:
    """`matrix @ x = vector` as the solver gets it, rounded to its type.

    Attributes:
        root, shift: with `root.T @ root + shift I` the matrix, where the solver asks for them.
    """

    spectrum: str
    matrix: np.ndarray
    vector: np.ndarray
    scales: tuple[float, float]
    root: np.ndarray | None = None
    shift: float = 0.0


def orthogonal(rng: np.random.Generator, n: int, complex_: bool) -> np.ndarray:
    gaussian = rng.standard_normal((n, n))
    if complex_:
        gaussian = gaussian + 1j * rng.standard_normal((n, n))
    return np.linalg.qr(gaussian)[0]


def eigenvalues(rng: np.random.Generator, spectrum: str, n: int, eps: float) -> np.ndarray:
    """Of size one at most."""
    if spectrum in ("identity",):
        return np.ones(n)
    if spectrum == "zero matrix":
        return np.zeros(n)
    if spectrum == "rank one":
        return np.r_[1.0, np.zeros(n - 1)]
    if spectrum == "clustered":
        return np.where(np.arange(n) < (n + 1) // 2, 1.0, 10.0 ** -rng.uniform(0, 3)) * (1 + 1e-4 * rng.random(n))
    if spectrum == "near width":
        kappa = 10 ** rng.uniform(-2, 0) / eps
    elif spectrum == "beyond width":
        kappa = 10 ** rng.uniform(0, 4) / eps
    else:
        kappa = 10 ** rng.uniform(0, 4)
    values = np.geomspace(1, 1 / kappa, n)
    if spectrum in ("singular consistent", "singular inconsistent"):
        values[n - max(1, n // 3) :] = 0
    if spectrum == "indefinite":
        values = values * rng.choice([-1.0, 1.0], n)
    return values


def with_fault(rng: np.random.Generator, spectrum: str, matrix: np.ndarray) -> np.ndarray:
    n = len(matrix)
    bad = np.nan if spectrum.startswith("nan") else rng.choice([np.inf, -np.inf])
    matrix = matrix.copy()
    if spectrum in ("nan entry", "inf entry"):
        i, j = rng.integers(n, size=2)
        matrix[i, j] = matrix[j, i] = bad
    elif spectrum.endswith("in one triangle"):
        i, j = (0, 0) if n == 1 else sorted(rng.choice(n, 2, replace=False))
        place = (i, j) if rng.random() < 0.5 else (j, i)
        matrix[place] = bad
    elif spectrum == "nonsymmetric":
        matrix = matrix + rng.uniform(0.1, 1) * np.triu(rng.standard_normal((n, n)), 1)
    return matrix


def draw_scales(rng: np.random.Generator, dtype: np.dtype) -> tuple[float, float]:
    """Of the matrix and of the right-hand side."""
    exponents = [-30, -24, -20, -12, 0, 12, 20, 24, 30]
    if np.finfo(dtype).bits == 64:
        exponents += [-160, 160]
    one = 10.0 ** rng.choice(exponents)
    which = rng.choice(["neither", "matrix", "vector", "both", "each"])
    if which == "each":
        return one, 10.0 ** rng.choice(exponents)
    return (one if which in ("matrix", "both") else 1.0), (one if which in ("vector", "both") else 1.0)


def draw_system(rng: np.random.Generator, spectrum: str, n: int, dtype: np.dtype, rooted: bool) -> LinearSystem:
    """A system of the spectrum and size; `rooted` asks for `R^T R + s I` with fewer rows than columns."""
    complex_ = np.issubdtype(dtype, np.complexfloating)
    eps = float(np.finfo(dtype).eps)
    scales = draw_scales(rng, dtype)
    root, shift = None, 0.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if rooted:
            root, shift = _draw_root(rng, spectrum, n, eps)
            root = (root * np.sqrt(scales[0])).astype(dtype)
            shift = float(np.asarray(shift * scales[0], dtype))
            # The oracle's matrix is that of the rounded root, in the widest type there is.
            wide = root.astype(np.longdouble)
            matrix = wide.T @ wide + np.longdouble(shift) * np.eye(n, dtype=np.longdouble)
        else:
            values, basis = eigenvalues(rng, spectrum, n, eps), orthogonal(rng, n, complex_)
            if spectrum == "diagonal":
                basis = np.eye(n)
            matrix = (basis * values) @ basis.conj().T
            matrix = with_fault(rng, spectrum, (matrix + matrix.conj().T) / 2)
            matrix = (matrix * scales[0]).astype(dtype)
        vector = rng.standard_normal(n) + (1j * rng.standard_normal(n) if complex_ else 0)
        if spectrum in ("singular consistent", "rank one") and not rooted:
            vector = matrix @ (vector / scales[0])
        if spectrum == "zero right-hand side":
            vector = np.zeros(n)
        if spectrum == "nan in right-hand side":
            vector = np.where(np.arange(n) == rng.integers(n), np.nan, vector)
        vector = (vector * scales[1]).astype(dtype)
    return LinearSystem(spectrum, matrix, vector, scales, root, shift)


def _draw_root(rng: np.random.Generator, spectrum: str, n: int, eps: float) -> tuple[np.ndarray, float]:
    root = rng.standard_normal((root_rows(n), n)) / np.sqrt(n)
    shift = {"near width": eps * 10 ** rng.uniform(0, 2), "beyond width": eps * 10 ** rng.uniform(-4, 0)}.get(
        spectrum, 10 ** rng.uniform(-4, 0)
    )
    if spectrum in ("singular consistent", "singular inconsistent", "rank one"):
        shift = 0.0
    if spectrum == "indefinite":
        shift = -shift
    if spectrum == "zero matrix":
        root = np.zeros_like(root)
    if spectrum in NOT_FINITE[:4]:
        root[rng.integers(len(root)), rng.integers(n)] = np.nan if "nan" in spectrum else np.inf
    return root, shift


def root_rows(n: int) -> int:
    return max(1, n // 2)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What float64 and wider say of a system.

    Attributes:
        finite: whether all of it is.
        kappa: 2-norm; of the nonzero singular values for `range_kappa`.
        definite, symmetric: seen at the width.
        solution: None where there is none.
    """

    finite: bool
    kappa: float = np.inf
    range_kappa: float = np.inf
    definite: bool = False
    symmetric: bool = False
    consistent: bool = False
    solution: np.ndarray | None = None


def facts_of(system: LinearSystem, eps: float) -> Facts:
    """By scipy-free numpy in float64, of the system scaled to size one."""
    matrix, vector = system.matrix, system.vector
    if not (np.all(np.isfinite(matrix)) and np.all(np.isfinite(vector))):
        return Facts(False)
    wide = np.complex128 if np.iscomplexobj(matrix) else np.float64
    size = np.max(np.abs(matrix))
    if size == 0:
        return Facts(True, symmetric=True)
    length = np.max(np.abs(vector)) or 1.0
    a, b = (matrix / size).astype(wide), (vector / length).astype(wide)
    singular = np.linalg.svd(a, compute_uv=False)
    cut = len(a) * eps * singular[0]
    kept = singular[singular > cut]
    symmetric = bool(np.max(np.abs(a - a.conj().T)) <= 4 * eps)
    definite = symmetric and bool(np.linalg.eigvalsh(a)[0] > 4 * cut)
    least = np.linalg.lstsq(a, b, rcond=len(a) * eps)[0]
    consistent = bool(np.linalg.norm(a @ least - b) <= 1e3 * cut * np.linalg.norm(least) + 10 * eps * np.linalg.norm(b))
    solution = None
    if singular[-1] > 1e-15 * singular[0]:
        with np.errstate(all="ignore"):
            solution = np.linalg.solve(a, b).astype(np.clongdouble if wide == np.complex128 else np.longdouble)
            solution = solution * np.longdouble(length) / np.longdouble(size)
    return Facts(
        True,
        float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf,
        float(singular[0] / kept[-1]),
        definite,
        symmetric,
        consistent,
        solution,
    )
