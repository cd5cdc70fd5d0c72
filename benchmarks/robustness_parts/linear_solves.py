"""Every solver on systems of every spectrum and scale: is what it reports as solved within what it claims?"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

import qnewton as qn
from qnewton._core.layout import Layout, Piece
from qnewton._core.operators import KroneckerFactors, Shifted
from qnewton.testing import DenseBlock, DenseRoot

from .judge import FLAGGED, RIGHT, SILENT, Outcome, of_exception
from .systems import NOT_FINITE, SIZES, SPECTRA, Facts, LinearSystem, draw_system, facts_of, root_rows

GENERAL, SYMMETRIC, DEFINITE = "general", "symmetric", "definite"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A solver, what it takes, and what it claims.

    Attributes:
        takes: the widest class of matrices that it solves.
        tag: that its operators carry.
        rtol: relative residual that an iterative solver claims; None: the rounding of the width.
        form: `matrix`, `root` or `layers`: which operator it is given.
        absolute: whether it solves `|A| x = b`.
        singular: whether it solves consistent singular systems too.
        error: relative error of the solution that an emulated solver claims, before rounding.
        sizes: of the systems; one that is slow to compile gets fewer.
    """

    solver: Any
    takes: str
    tag: Any = ()
    rtol: float | None = None
    form: str = "matrix"
    absolute: bool = False
    singular: bool = False
    error: float | None = None
    sizes: tuple[int, ...] = SIZES


_PSD, _SYM = lx.positive_semidefinite_tag, lx.symmetric_tag
# Two sizes for those that take seconds to compile.
_FEW = (5, 12)

CONTESTANTS: dict[str, Contestant] = {
    "Cholesky()": Contestant(qn.Cholesky(), DEFINITE, _PSD),
    "Cholesky(fallback)": Contestant(qn.Cholesky(fallback=True), DEFINITE, _PSD),
    "LU()": Contestant(qn.LU(), GENERAL),
    "LU() symmetric": Contestant(qn.LU(), GENERAL, _SYM),
    "CG()": Contestant(qn.CG(), DEFINITE, _PSD, rtol=1e-3),
    "CG(0.3)": Contestant(qn.CG(rtol=0.3), DEFINITE, _PSD, rtol=0.3),
    "CG(1e-5, Jacobi)": Contestant(qn.CG(rtol=1e-5, preconditioner=qn.Jacobi()), DEFINITE, _PSD, rtol=1e-5),
    "CG(Nystrom)": Contestant(qn.CG(preconditioner=qn.Nystrom(2)), DEFINITE, _PSD, rtol=1e-3),
    "CG(KFAC)": Contestant(qn.CG(preconditioner=qn.KFAC()), DEFINITE, _PSD, rtol=1e-3, form="layers", sizes=(12,)),
    "CG(EKFAC)": Contestant(qn.CG(preconditioner=qn.EKFAC()), DEFINITE, _PSD, rtol=1e-3, form="layers", sizes=(12,)),
    "MINRES()": Contestant(qn.MINRES(), SYMMETRIC, _SYM, rtol=1e-3, singular=True),
    "MINRES(1e-6)": Contestant(qn.MINRES(rtol=1e-6), SYMMETRIC, _SYM, rtol=1e-6, singular=True),
    "MINRES(Jacobi)": Contestant(qn.MINRES(preconditioner=qn.Jacobi()), DEFINITE, _PSD, rtol=1e-3),
    "Eigh()": Contestant(qn.Eigh(), SYMMETRIC, _SYM, singular=True),
    "SaddleFree()": Contestant(qn.SaddleFree(), SYMMETRIC, _SYM, absolute=True),
    "Dual()": Contestant(qn.Dual(), DEFINITE, form="root"),
    "Refine(LU())": Contestant(qn.Refine(qn.LU()), GENERAL, rtol=1e-6),
    "Refine(Cholesky())": Contestant(qn.Refine(qn.Cholesky()), DEFINITE, _PSD, rtol=1e-6),
    "Refine(CG(0.1))": Contestant(qn.Refine(qn.CG(rtol=0.1), tolerance=1e-4), DEFINITE, _PSD, rtol=1e-4),
    "QLSA()": Contestant(qn.QLSA(), GENERAL),
    "QLSA(Cholesky())": Contestant(qn.QLSA(stand_in=qn.Cholesky()), DEFINITE, _PSD),
    "Hybrid()": Contestant(qn.Hybrid(), GENERAL, sizes=_FEW),
    "Hybrid() definite": Contestant(qn.Hybrid(), DEFINITE, _PSD, sizes=_FEW),
    "Hybrid() symmetric": Contestant(qn.Hybrid(), SYMMETRIC, _SYM, sizes=_FEW),
    "Hybrid(CG, MINRES, QLSA)": Contestant(
        qn.Hybrid([qn.CG(), qn.MINRES(), qn.QLSA()]), DEFINITE, _PSD, rtol=1e-3, sizes=_FEW
    ),
    "Hybrid(Cholesky, Dual)": Contestant(
        qn.Hybrid([qn.Cholesky(fallback=True), qn.Dual(), qn.QLSA()]), DEFINITE, form="root", sizes=_FEW
    ),
    "EmulatedQSVT(1e-6)": Contestant(qn.EmulatedQSVT(1e-6), GENERAL, error=1e-6, sizes=_FEW),
    "Refine(EmulatedQSVT(1e-2))": Contestant(
        qn.Refine(qn.EmulatedQSVT(1e-2), rounds=12, tolerance=1e-5), DEFINITE, _PSD, rtol=1e-5, sizes=(5,)
    ),
}
# Shapes that a solver's systems have, of those that are among its sizes: each costs a compilation.
SHAPES = ((5, "float32"), (30, "float32"), (12, "float64"), (1, "float32"), (12, "float32"), (5, "complex64"))
SHAPES += ((2, "float64"), (12, "complex128"))
COMMON = np.array([5, 4, 4, 1, 2, 0.7, 1, 0.5])
# The layers' systems are A kron G in float, of this shape.
LAYER_SHAPE = (4, 3)

# What a program raised when it was traced: of shapes alone, so once is enough.
_RAISED: dict[tuple[str, int, str], tuple[str, str]] = {}


@functools.cache
def program(name: str) -> Callable:
    """The solver as one compiled function of arrays: value, and whether it says that it was successful."""
    contestant = CONTESTANTS[name]

    @jax.jit
    def solve(arrays: dict[str, jax.Array], vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        operator = _operator(contestant, arrays)
        solution = lx.linear_solve(operator, vector, contestant.solver, throw=False)
        return solution.value, solution.result == lx.RESULTS.successful

    return solve


def _operator(contestant: Contestant, arrays: dict[str, jax.Array]) -> lx.AbstractLinearOperator:
    if contestant.form == "root":
        block = DenseBlock(matrix=arrays["root"].T @ arrays["root"], rooted=DenseRoot(arrays["root"]))
        operator = Shifted(block, arrays["shift"])
        return operator if contestant.tag == () else lx.TaggedLinearOperator(operator, contestant.tag)
    if contestant.form == "layers":
        rows, outputs = LAYER_SHAPE
        layout = Layout(rows * outputs, ((Piece(0, rows, outputs),),), ())
        nothing = jnp.zeros(0, arrays["matrix"].dtype)
        factors = KroneckerFactors(layout, (arrays["inputs"],), (arrays["outputs"],), nothing)
        block = DenseBlock(matrix=arrays["matrix"], factors=factors)
        shifted = Shifted(block, jnp.zeros((), arrays["matrix"].dtype), definite=True)
        return lx.TaggedLinearOperator(shifted, contestant.tag)
    return lx.MatrixLinearOperator(arrays["matrix"], contestant.tag)


def draw(seed: int, index: int) -> tuple[str, LinearSystem, np.dtype]:
    """The case with this number: solvers and spectra take turns, the rest is random."""
    rng = np.random.default_rng([seed, 1, index])
    names = list(CONTESTANTS)
    name = names[index % len(names)]
    contestant = CONTESTANTS[name]
    open_to = np.array([n in contestant.sizes and (contestant.form == "matrix" or d[0] == "f") for n, d in SHAPES])
    n, dtype_name = SHAPES[rng.choice(len(SHAPES), p=COMMON * open_to / np.sum(COMMON * open_to))]
    dtype = np.dtype(dtype_name)
    # Faults are half of the spectra, and not half of the cases.
    ordinary = rng.random() < 0.4
    spectrum = str(rng.choice(SPECTRA[:5])) if ordinary else SPECTRA[(index // len(names)) % len(SPECTRA)]
    return name, draw_system(rng, spectrum, n, dtype, contestant.form == "root"), dtype


def _arrays(contestant: Contestant, system: LinearSystem, dtype: np.dtype, index: int) -> dict[str, jax.Array]:
    if contestant.form == "root":
        assert system.root is not None
        assert len(system.root) == root_rows(system.root.shape[1])
        return {"root": jnp.asarray(system.root), "shift": jnp.asarray(system.shift, dtype)}
    arrays = {"matrix": jnp.asarray(system.matrix)}
    if contestant.form == "layers":
        # Factors of about the system's size: a preconditioner need not be right, only definite.
        rng = np.random.default_rng(index)
        sizes = (system.scales[0], 1.0)
        for key, n, scale in zip(("inputs", "outputs"), LAYER_SHAPE, sizes, strict=True):
            root = rng.standard_normal((n, n + 2))
            arrays[key] = jnp.asarray((root @ root.T / n * scale).astype(dtype))
    return arrays


def run_case(seed: int, index: int) -> Outcome:
    """Solve and judge one case."""
    name, system, dtype = draw(seed, index)
    contestant = CONTESTANTS[name]
    width = np.dtype(dtype.type(0).real.dtype)
    eps = float(np.finfo(width).eps)
    facts = facts_of(system, eps)
    expected = is_expected(contestant, system, facts, width)
    kind = f"{name} | {system.spectrum}"

    def outcome(verdict: str, note: str) -> Outcome:
        return Outcome("solvers", index, kind, verdict, expected, note)

    shape = name, len(system.vector), dtype.name
    if shape in _RAISED:
        return outcome(*_RAISED[shape])
    with jax.enable_x64(width == np.float64):
        try:
            value, successful = program(name)(_arrays(contestant, system, dtype, index), jnp.asarray(system.vector))
            value, successful = np.asarray(value), bool(successful)
        except Exception as error:
            _RAISED[shape] = of_exception(error)
            return outcome(*_RAISED[shape])
    residual, allowed, note = judged(contestant, system, facts, value, eps)
    a, b = system.scales
    note = f"{dtype.name} n={len(system.vector)}, A times {a:.0e}, b times {b:.0e}, kappa {facts.kappa:.1e}: {note}"
    if not successful:
        return outcome(FLAGGED, note)
    return outcome(RIGHT if residual <= allowed else SILENT, note)


def judged(
    contestant: Contestant, system: LinearSystem, facts: Facts, value: np.ndarray, eps: float
) -> tuple[float, float, str]:
    """The relative residual in extended precision, and what it may be; NaN where the value is not finite."""
    n = len(value)
    if system.spectrum in NOT_FINITE and not facts.finite:
        return np.nan, 0.0, "the system is not finite"
    if not np.all(np.isfinite(value)):
        return np.nan, 0.0, "value is not finite"
    wide = np.clongdouble if np.iscomplexobj(system.matrix) else np.longdouble
    a, b, x = system.matrix.astype(wide), system.vector.astype(wide), value.astype(wide)
    if contestant.absolute:
        a = _absolute(a)
    size, length = np.sqrt(np.sum(np.abs(a) ** 2)), np.sqrt(np.sum(np.abs(x) ** 2))
    right = np.sqrt(np.sum(np.abs(b) ** 2))
    residual = np.sqrt(np.sum(np.abs(a @ x - b) ** 2))
    if right == 0:
        return float(length > 0), 0.0, f"|x| = {float(length):.1e} for b = 0"
    relative, stretch = float(residual / right), float(size * length / right)
    rounding = 8 * n * eps * (stretch + 1)
    # What an exact solver claims in all: a third of the digits of its width.
    most = 1.05 * eps ** (1 / 3)
    if contestant.error is not None:
        allowed = min(contestant.error * stretch * 1.1 + 8 * rounding, 1e-2)
    elif contestant.rtol is not None:
        allowed = 1.05 * contestant.rtol + min(rounding, most)
    else:
        allowed = min(8 * rounding, most)
    return relative, allowed, f"residual {relative:.2g}, may be {allowed:.2g}"


def _absolute(matrix: np.ndarray) -> np.ndarray:
    """`(A^T A)^(1/2)`, of a matrix scaled to size one."""
    scale = np.max(np.abs(matrix))
    if scale == 0:
        return matrix
    wide = np.complex128 if np.iscomplexobj(matrix) else np.float64
    _, values, right = np.linalg.svd((matrix / scale).astype(wide))
    return ((right.conj().T * values) @ right).astype(matrix.dtype) * scale


def is_expected(contestant: Contestant, system: LinearSystem, facts: Facts, width: np.dtype) -> bool:
    """Whether the oracle's solution is one that the solver's kind and the width can give."""
    eps, info = float(np.finfo(width).eps), np.finfo(width)
    if not facts.finite or np.iscomplexobj(system.matrix):
        # A solver may refuse complex systems; where it takes them, its answers are judged.
        return False
    if contestant.takes == DEFINITE and not (facts.definite and system.shift >= 0):
        return False
    if contestant.tag != () and not facts.symmetric:
        return False
    singular = contestant.singular and facts.consistent and facts.range_kappa < 1e3
    needed = 1e-2 if contestant.rtol is None else min(1e-2, contestant.rtol)
    if contestant.rtol is not None and contestant.rtol < 1e-4:
        needed = max(needed, 1e-3)
    kappa = facts.range_kappa if singular else facts.kappa
    if not (singular or facts.solution is not None):
        return False
    exact = contestant.rtol is None and contestant.error is None
    # An exact solver claims to reach eps^(-2/3); of the others rounding leaves as much as they ask for.
    if kappa > eps ** (-2 / 3) if exact else kappa * eps * 30 * len(system.vector) > needed:
        return False
    size = float(np.max(np.abs(system.matrix)))
    if facts.solution is None:
        return 1e-30 < size < 1e30
    # Nothing on the way need leave the range: the least singular value, the solution, and its products.
    largest = float(np.max(np.abs(facts.solution)))
    low, high = float(info.tiny) / eps, float(info.max) * eps
    sound = low * 10 < size / kappa and size < high * 10
    return sound and (largest == 0 or low < largest < high)


def cases(seed: int, count: int, part: int = 0, parts: int = 1) -> Iterator[Outcome]:
    """One part in `parts` of the family's first `count` cases: those of every so many-th solver."""
    for index in range(count):
        if index % len(CONTESTANTS) % parts == part:
            yield run_case(seed, index)
