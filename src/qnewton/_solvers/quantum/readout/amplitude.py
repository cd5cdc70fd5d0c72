"""The read-out by amplitude estimation: errors fall with the number of runs itself."""

import math
from typing import ClassVar

import equinox as eqx

from ...._core.arrays import Number, floating, quiet
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
