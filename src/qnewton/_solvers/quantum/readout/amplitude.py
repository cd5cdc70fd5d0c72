"""Read-outs by amplitude estimation: errors fall with the number of runs itself."""

import math
from types import ModuleType
from typing import ClassVar

import equinox as eqx

from ...._core.arrays import Number, NumberArray, floating, quiet
from ...._core.evidence import Evidence
from .base import AbstractReadout, ReadoutCost, demands


class AmplitudeEstimation(AbstractReadout):
    """Amplitude estimation by `C (n / epsilon) ln(n / delta)` coherent, controlled runs of the solver and its inverse.

    Van Apeldoorn, Cornelissen, Gilyén and Nannicini, arXiv 2207.08800, proposition 22, second-hand: largest error
    `epsilon / sqrt(n)` of an entry, hence epsilon in the 2-norm. No constant is published, so C has no default, and
    what it gives is no more than what was put in.

    Attributes:
        constant: C.
    """

    constant: float = eqx.field(static=True)
    source: ClassVar[str] = "arXiv 2207.08800 proposition 22"
    evidence: ClassVar[Evidence] = Evidence.ASYMPTOTIC

    def __check_init__(self):
        if not 0 < self.constant < math.inf:
            raise ValueError(f"constant is {self.constant}: it multiplies a number of runs and must be positive")

    @property
    def name(self) -> str:
        return f"amplitude estimation, C = {self.constant:g}"

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        count = xp.maximum(self.constant * n / precision * xp.log(n / failure), 1.0)
        return ReadoutCost.once(
            demands(n, precision, failure),
            copies=xp.zeros_like(count),
            controlled_applications=count,
            precision=precision,
            coherent=True,
        )


class EntryEstimation(AbstractReadout):
    """Amplitude estimation entry by entry, signs included: about `65 n^(3/2) ln(n / delta) / epsilon` runs.

    With `(|0>|i> + |1>|x>) / sqrt(2)` and a Hadamard gate on the first qubit, `|0>|i>` has the amplitude
    `(1 + x_i) / 2 = sin(theta)`. M Grover iterates, each a controlled run and its inverse, give theta to `pi / M` with
    probability `8 / pi^2` (Brassard, Hoyer, Mosca and Tapp, quant-ph/0005055, theorem 12; from memory), so x_i to
    `2 pi / M`; `M = 2 pi sqrt(n) / epsilon` gives epsilon in the 2-norm. Each entry fails with probability `delta / n`
    at most: a median of repetitions, as in `SuccessAmplitude`. Ours; Patterson and Lapworth, arXiv 2411.00723 (abstract
    read), combine another amplitude estimation with a solver, and count its gates, which were not seen. Beside a run
    the two reflections of an iterate are some 8 T gates per qubit, and are not charged.

    Attributes:
        kept: entries that are read, the largest ones; what is left out is an error of its own, which is not in the
            precision. None: all.
    """

    kept: int | None = eqx.field(static=True, default=None)
    source: ClassVar[str] = "arXiv quant-ph/0005055 theorem 12, by entry; proposed in 2411.00723"
    evidence: ClassVar[Evidence] = Evidence.DERIVED

    def __check_init__(self):
        if self.kept is not None and self.kept < 1:
            raise ValueError(f"kept is {self.kept}: it counts the entries that are read, at least one")

    @property
    def name(self) -> str:
        return "entry estimation" + ("" if self.kept is None else f", {self.kept} kept")

    @quiet
    def copies(self, n: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, n, precision, failure = floating(n, precision, failure_probability)
        read = n if self.kept is None else xp.minimum(self.kept, n)
        iterates = 2 * math.pi * xp.sqrt(read) / precision
        count = read * median_repetitions(xp, failure / read) * (2 * iterates + 1)
        return ReadoutCost.once(
            demands(n, precision, failure),
            copies=xp.zeros_like(count),
            controlled_applications=count,
            precision=precision,
            coherent=True,
        )


def median_repetitions(xp: ModuleType, failure_probability: Number) -> NumberArray:
    """Repetitions of an estimate that holds with probability `8 / pi^2`, of which the median holds but for a failure.

    `ln(1 / delta) / (2 (8 / pi^2 - 1 / 2)^2)` (Hoeffding).
    """
    return xp.maximum(-xp.log(failure_probability) / (2 * (8 / math.pi**2 - 0.5) ** 2), 1.0)
