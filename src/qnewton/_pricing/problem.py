"""The system of a plan: given numbers, and the worst case for those not given."""

import dataclasses
import functools
import operator
from typing import Any

import equinox as eqx
import numpy as np

from .._core.arrays import floating
from .._solvers.quantum.encoding import Diagonals, DyadicLevels, SquareRoot
from .structure import UNKNOWN, Structure

MOST_ROWS = 1e12
"""Rows up to which formulas are evaluated on paper."""
_SLACK = 1 + 1e-4
"""Of inequalities between numbers that were rounded."""


class MatrixNumbers(eqx.Module):
    """Numbers of a matrix that encodings read (`encoding.Numbers`); arrays of numpy, in double precision."""

    n: Any
    degree: Any
    max_entry: Any
    frobenius_norm: Any
    spectral_norm: Any
    log_condition_number: Any
    definite: bool = eqx.field(static=True)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A symmetric system. Numbers, or numpy arrays that broadcast, for sweeps; a scale cancels.

    Attributes:
        n: rows.
        condition_number: in the 2-norm.
        precision: 2-norm error of the step, relative to its length, in (0, 1).
        degree: d, nonzeros in a row at most; None: n.
        max_entry, frobenius_norm, spectral_norm: None: at their worst, given the others; see `numbers`.
        definite: whether the matrix is positive definite, as a damped Gauss-Newton matrix is.
        solution_norm: `||x||` for `||A|| = ||b|| = 1`; None: at its worst, which each formula knows.
        factor: the square root of the matrix, where it is known.
        levels: measured magnitudes of the entries.
        structure: what is known of pattern and origin.
        diagonals: measured magnitudes of the diagonals, where there are few.
    """

    n: Any
    condition_number: Any
    precision: Any = 1e-3
    degree: Any = None
    max_entry: Any = None
    frobenius_norm: Any = None
    spectral_norm: Any = None
    definite: bool = True
    solution_norm: Any = None
    factor: SquareRoot | None = None
    levels: DyadicLevels | None = None
    structure: Structure = UNKNOWN
    diagonals: Diagonals | None = None

    def __post_init__(self) -> None:
        rows = np.asarray(self.n)
        refuse(np.isfinite(rows) & (rows >= 1), "n", rows, "a system has at least one row")
        refuse(rows <= MOST_ROWS, "n", rows, f"plans go up to {MOST_ROWS:g} rows")
        kappa = np.asarray(self.condition_number)
        refuse(np.isfinite(kappa) & (kappa >= 1), "kappa", kappa, "a condition number is finite and at least 1")
        precision = np.asarray(self.precision)
        refuse((precision > 0) & (precision < 1), "epsilon", precision, "a relative error must lie in (0, 1)")
        if self.degree is not None:
            degree = np.asarray(self.degree)
            refuse(
                (degree >= 1) & (degree <= self.n),
                "sparsity",
                degree,
                f"a row of {self.n:g} entries has 1 to n nonzeros"
                if np.ndim(self.n) == 0
                else "a row has 1 to n nonzeros",
            )
        for field in ("max_entry", "frobenius_norm", "spectral_norm"):
            value = getattr(self, field)
            if value is not None:
                refuse(
                    np.isfinite(value) & (np.asarray(value) > 0),
                    field.replace("_", "-"),
                    value,
                    "a norm is positive and finite",
                )
        if self.solution_norm is not None:
            norm = np.asarray(self.solution_norm)
            refuse(
                (norm >= 1) & (norm <= kappa),
                "solution-norm",
                norm,
                "||x|| for ||A|| = ||b|| = 1 lies between 1 and kappa",
            )
        numbers = self.numbers
        entry, frobenius, spectral = numbers.max_entry, numbers.frobenius_norm, numbers.spectral_norm
        refuse(entry <= spectral * _SLACK, "max-entry", entry, f"no entry exceeds the spectral norm, {spectral}")
        refuse(
            (spectral <= frobenius * _SLACK) & (frobenius <= spectral * np.sqrt(self.n) * _SLACK),
            "frobenius-norm",
            frobenius,
            f"it lies between the spectral norm, {spectral}, and sqrt(n) times that",
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays of a sweep; `()` of numbers."""
        return np.broadcast_shapes(
            *(np.shape(value) for value in vars(self.numbers).values()), np.shape(self.precision)
        )

    def at(self, points: Any) -> "Problem":
        """The system at some points of a sweep `[points]`, or at one."""
        swept = ("n", "condition_number", "precision", "degree", "max_entry", "frobenius_norm", "spectral_norm")
        arrays = {name: getattr(self, name) for name in (*swept, "solution_norm")}
        taken = {name: array[points] for name, array in arrays.items() if np.ndim(array)}
        mesh = {name: getattr(self.structure, name) for name in ("fill", "factor_flops")}
        own = {name: array[points] for name, array in mesh.items() if np.ndim(array)}
        return dataclasses.replace(self, **taken, structure=dataclasses.replace(self.structure, **own))

    @property
    def inequalities(self) -> tuple[tuple[Any, str, Any, str], ...]:
        """What holds between the numbers of any matrix: whether it does, whose number breaks it, that number, the rule.

        Sweeps leave out points that break one; `check_possible` raises.
        """
        numbers = self.numbers
        xp, n, degree, kappa = floating(numbers.n, numbers.degree, self.condition_number)
        entry, frobenius, spectral = numbers.max_entry, numbers.frobenius_norm, numbers.spectral_norm
        # All singular values are at least the spectral norm over kappa.
        least_frobenius = spectral * xp.sqrt(1 + (n - 1) / kappa / kappa)
        least_entry = spectral * (1 + (n - 1) / kappa) / n
        return (
            ((n > 1) | (kappa == 1), "kappa", kappa, "the condition number of a single number is 1"),
            (
                spectral <= degree * entry * _SLACK,
                "max-entry",
                entry,
                f"the spectral norm, {spectral}, is at most sparsity x max-entry = {degree * entry}",
            ),
            (
                frobenius <= xp.sqrt(n * degree) * entry * _SLACK,
                "frobenius-norm",
                frobenius,
                f"it is at most sqrt(n x sparsity) x max-entry = {xp.sqrt(n * degree) * entry}",
            ),
            (
                frobenius * _SLACK >= least_frobenius,
                "frobenius-norm",
                frobenius,
                f"with that kappa and spectral norm it is at least {least_frobenius}",
            ),
            (
                (not self.definite) | (entry * _SLACK >= least_entry),
                "max-entry",
                entry,
                f"the diagonal of a definite matrix adds up to its eigenvalues: some entry is at least {least_entry}",
            ),
        )

    @property
    def possible(self) -> Any:
        """Whether there is such a matrix, as far as `inequalities` tell."""
        return functools.reduce(operator.and_, (holds for holds, *_ in self.inequalities))

    def check_possible(self) -> None:
        """Refuse numbers that no matrix has.

        Raises:
            ValueError: names the inequality that they break.
        """
        for holds, option, value, rule in self.inequalities:
            refuse(holds, option, value, rule)

    @property
    def numbers(self) -> MatrixNumbers:
        """Numbers, with the worst case for those not given.

        Worst is what makes a subnormalisation largest: the largest degree, entry and Frobenius norm that the others
        allow, over the smallest spectral norm. `max|A| <= ||A|| <= ||A||_F <= sqrt(n) ||A||` and
        `||A||_F <= sqrt(n d) max|A|`.
        """
        xp, n, degree, kappa = floating(self.n, self.n if self.degree is None else self.degree, self.condition_number)
        if self.degree is None and self.structure.bandwidth is not None:
            degree = xp.minimum(n, 2 * self.structure.bandwidth + 1)
        entry, frobenius, spectral = self.max_entry, self.frobenius_norm, self.spectral_norm
        if spectral is None:
            known = [
                value for value in (entry, None if frobenius is None else frobenius / xp.sqrt(n)) if value is not None
            ]
            spectral = functools.reduce(xp.maximum, known) if known else 1.0
        if frobenius is None:
            frobenius = xp.sqrt(n) * spectral
            if entry is not None:
                frobenius = xp.minimum(frobenius, xp.sqrt(n * degree) * entry)
            frobenius = xp.maximum(frobenius, spectral)
        if entry is None:
            entry = xp.minimum(spectral, frobenius)
        return MatrixNumbers(
            n=n,
            degree=degree,
            max_entry=xp.asarray(entry, float),
            frobenius_norm=xp.asarray(frobenius, float),
            spectral_norm=xp.asarray(spectral, float),
            log_condition_number=xp.log(kappa),
            definite=self.definite,
        )

    @property
    def assumed(self) -> tuple[str, ...]:
        """Assumptions made for numbers that were not given."""
        said = []
        if self.degree is None:
            banded = self.structure.bandwidth is not None
            said.append(f"d = {'2 x bandwidth + 1' if banded else 'n'}: no sparsity was given")
        if self.max_entry is None:
            said.append("the largest entry is as large as the spectral norm")
        if self.frobenius_norm is None:
            said.append("the Frobenius norm is as large as the other numbers allow")
        if self.spectral_norm is None and (self.max_entry is not None or self.frobenius_norm is not None):
            said.append("the spectral norm is as small as the other numbers allow")
        if self.solution_norm is None:
            said.append("||x|| (at ||A|| = ||b|| = 1) is at its worst: 1 for counts, kappa for the length's read-out")
        return tuple(said)


def refuse(holds: Any, option: str, value: Any, rule: str) -> None:
    """Refuse a number, or the first of several, that breaks a rule.

    Args:
        holds: whether, or where, it keeps the rule.
        option: its name.
        value: itself.
        rule: in words.

    Raises:
        ValueError: where it does not hold.
    """
    holds = np.asarray(holds)
    if not holds.all():
        shown = float(np.broadcast_to(value, holds.shape)[~holds].flat[0])
        raise ValueError(f"{option} is {shown:g}: {rule}")
