"""Length and common sign of the solution, which a normalised state does not hold."""

import abc
import math
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx

from ...._core.arrays import Number, floating, quiet
from ...._core.conditions import Demand
from .amplitude import median_repetitions
from .base import ReadoutCost, probability_demands

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class AbstractNorm(eqx.Module):
    """Method to find the length of a solution whose direction was read out.

    Attributes:
        name: the key under which tables hold its numbers.
        source: where the formula stands.
    """

    name: AbstractClassVar[str]
    source: AbstractClassVar[str]

    @abc.abstractmethod
    def copies(self, success_probability: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        """Return the cost of finding the length.

        Args:
            success_probability: p of one unamplified run, or a lower bound; in (0, 1]. The solution's norm is a known
                multiple of its root.
            precision: relative error of the length, in (0, 1).
            failure_probability: that the error is larger, in (0, 1).
        """


class FittedNorm(AbstractNorm):
    """Length and sign without runs, by the best fit of the exact operator along the read-out direction y.

    `t = b.Ay / ||Ay||^2` takes one classical product and minimises the residual; `t = b.y / y.Ay` minimises the
    quadratic model of a definite A, and a value of y.Ay that is not positive is a failure to report. The length it
    finds is not the solution's: it bears the error of the direction, amplified by up to kappa (with 0.1 of it at kappa
    4e3 the model's fit had 0.62 of the length and 0.63 of the decrease), so refine or read out finer where that
    matters.
    """

    name: ClassVar[str] = "line fit"
    source: ClassVar[str] = "ours"

    @quiet
    def copies(self, success_probability: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, p, precision, failure = floating(success_probability, precision, failure_probability)
        none = xp.zeros_like(p * precision * failure)
        return ReadoutCost.once(
            _demands(p, precision, failure),
            copies=none,
            controlled_applications=none,
            precision=precision,
            products=1.0,
        )


class SuccessAmplitude(AbstractNorm):
    """Amplitude estimation of the success probability p; the sign is classical and free, from one inner product.

    M Grover iterates, each a run and its inverse, leave an error of at most `2 pi sqrt(p (1 - p)) / M + pi^2 / M^2` of
    p with probability 8 / pi^2 (Brassard, Hoyer, Mosca and Tapp, quant-ph/0005055, theorem 12; from memory). A relative
    error of `epsilon (2 - epsilon)` of p is one of epsilon of its root; the median of `median_repetitions` fails with
    probability at most delta.
    """

    name: ClassVar[str] = "success amplitude"
    source: ClassVar[str] = "arXiv quant-ph/0005055 theorem 12"

    @quiet
    def copies(self, success_probability: Number, precision: Number, failure_probability: Number) -> ReadoutCost:
        xp, p, precision, failure = floating(success_probability, precision, failure_probability)
        error = precision * (2 - precision)
        # The root of error p M^2 - 2 pi sqrt(p (1 - p)) M - pi^2 = 0, divided by p under the roots: p^2 underflows.
        spread = xp.maximum(1 / p - 1, 0.0)
        iterates = math.pi * (xp.sqrt(spread) + xp.sqrt(spread + error / p)) / error
        runs = median_repetitions(xp, failure) * (2 * iterates + 1)
        return ReadoutCost.once(
            _demands(p, precision, failure),
            copies=xp.zeros_like(runs),
            controlled_applications=runs,
            precision=precision,
            coherent=True,
        )


def _demands(p: Number, precision: Number, failure: Number) -> list[Demand]:
    return [((p > 0) & (p <= 1), "a success probability in (0, 1]"), *probability_demands(precision, failure)]
