"""Expected repetitions of an algorithm that succeeds with some probability, until it succeeds.

Each function gives expected applications of the algorithm or its inverse. Success is flagged, so a failure is seen.
"""

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np

from ...._core.arrays import Number, NumberArray, floating, floor, quiet, repeat

_GROWTH = 1.2
# 1 + 2 m applications reach an angle of 66.8 degrees, where applications per success are fewest: tan(x) = 2 x.
_BEST_ANGLE = 1.1655611852072112
# Below this angle stages are counted as if the numbers of steps were no integers, to 1e-10.
_LEAST_ANGLE = 1e-12
# Stages that turn by less than this are summed beforehand, their failures to second order in it.
_SMALL_TURN = 5e-3
# 30 stages later the turn is 1; each one after that is reached half as often and is 1.2 times as long.
_STAGES = 30 + 30


def _sums() -> tuple[np.ndarray, ...]:
    """Return sums over the first k stages, k = 0, 1, ...: steps, lost failures and lost steps, over theta^2."""
    steps = np.floor(_GROWTH ** np.arange(1, math.ceil(math.log(_SMALL_TURN / _LEAST_ANGLE, _GROWTH)) + 1))
    lost = np.cumsum((4 * (steps + 1) ** 2 - 1) / 3)
    before = np.concatenate([[0.0], lost[:-1]])
    return tuple(np.concatenate([[0.0], sums]) for sums in (np.cumsum(steps), lost, np.cumsum(steps * before)))


_STEPS, _LOST, _LOST_STEPS = _sums()


@quiet
def postselect(probability: Number) -> NumberArray:
    """Applications without amplification: `1 / p`."""
    _, probability = floating(probability)
    return 1 / probability


@quiet
def rotations(amplitude: Number) -> NumberArray:
    """`m = floor(pi / (4 asin a))`, the published number of amplification steps for a known amplitude `a`."""
    xp, amplitude = floating(amplitude)
    return floor(xp, math.pi / (4 * xp.arcsin(amplitude)))


@quiet
def amplify_known(amplitude: Number) -> tuple[NumberArray, NumberArray]:
    """Return the cost of amplification with a known amplitude (Brassard, Hoyer, Mosca and Tapp, quant-ph/0005055).

    After `m` steps, `2 m + 1` applications, success has probability `sin^2((2 m + 1) asin a)`. A failed attempt is
    repeated, so the best `m` makes applications per success smallest; that is a little fewer than the `rotations` that
    make success likeliest, and 0 where one application succeeds often enough.

    Returns:
        Expected applications until success, at most `rotations`' own and at most `1 / a^2`; and the probability that
        one attempt succeeds.
    """
    xp, amplitude = floating(amplitude)
    angle = xp.arcsin(xp.clip(amplitude, 0.0, 1.0))
    fewer = floor(xp, xp.maximum((_BEST_ANGLE / angle - 1) / 2, 0.0))
    costs, chances = [], []
    for steps in (fewer, fewer + 1):
        # Beyond a right angle a known amplitude is lowered by one rotated qubit, so that the last step lands on it.
        turned = xp.minimum((2 * steps + 1) * angle, math.pi / 2)
        chances.append(xp.sin(turned) ** 2)
        costs.append((2 * steps + 1) / chances[-1])
    # Of many steps two neighbours cost the same but for rounding, which must not choose.
    first = costs[0] <= costs[1] * (1 + 1e-12)
    return xp.where(first, *costs), xp.where(first, *chances)


@quiet
def amplify_unknown(amplitude: Number, least_amplitude: Number) -> NumberArray:
    """Return the cost of amplification with an unknown one (Boyer, Brassard, Hoyer and Tapp, quant-ph/9605034).

    Stage `k = 1, 2, ...` makes a random number of steps up to `m_k = floor(min(1.2^k, 1 / sqrt(p0)))`, and

        n = sum_k m_k prod_{l < k} [1/2 + sin(4 (m_l + 1) theta) / (4 (m_l + 1) sin 2 theta)],   sin^2 theta = p

    as Lemma 13 of arXiv 2503.21420 has it (its author's code, one source). A later version of that code halves it; a
    stage of `j` steps, `j` uniform up to `m`, takes `2 j + 1` applications, `m + 1` in the mean, so applications of the
    algorithm are not halved.

    Args:
        amplitude: `sqrt(p)`, of one application. Amplitudes, since a probability underflows at their square root.
        least_amplitude: `sqrt(p0)`, the lower bound that the schedule is given.

    Returns:
        Expected applications.
    """
    xp, amplitude, least = floating(amplitude, least_amplitude)
    amplitude, least = xp.broadcast_arrays(amplitude, least)
    angle, longest = xp.arcsin(xp.clip(amplitude, 0.0, 1.0)), 1 / least
    # Tiny angles: n grows like 1 / theta, exactly so along powers of the growth.
    scale = _GROWTH ** xp.maximum(xp.ceil(xp.log(_LEAST_ANGLE / angle) / math.log(_GROWTH)), 0.0)
    angle, longest = angle * scale, longest / scale
    done = _stages_before(xp, xp.minimum(_SMALL_TURN / angle, longest))
    index = done.astype(int)
    steps, lost, lost_steps = (xp.asarray(sums, angle.dtype)[index] for sums in (_STEPS, _LOST, _LOST_STEPS))

    failure = _failure_of(xp, angle)

    def stage(carried: tuple[NumberArray, NumberArray, NumberArray]) -> tuple[NumberArray, NumberArray, NumberArray]:
        applications, reached, growing = carried
        growing = xp.minimum(growing * _GROWTH, longest)
        steps = floor(xp, growing)
        return applications + steps * reached, reached * failure(steps), growing

    start = (steps - lost_steps * angle**2, xp.exp(-lost * angle**2), _GROWTH**done)
    applications, reached, growing = repeat(xp, stage, start, _STAGES)
    # What is left repeats the longest stage, or goes on growing with failures of one half.
    last = floor(xp, growing)
    repeated = last / (1 - failure(last))
    left = xp.where(growing < longest, _GROWTH * last / (1 - _GROWTH / 2), repeated)
    return scale * (applications + reached * left)


def _stages_before(xp: ModuleType, steps: Number) -> NumberArray:
    stages = xp.log(steps) / math.log(_GROWTH)
    # An amplitude that is not a number makes the count none, and would make an index none either.
    return xp.clip(xp.floor(xp.where(xp.isnan(stages), 0.0, stages)), 0, len(_STEPS) - 1)


def _failure_of(xp: ModuleType, angle: Number) -> Callable[[NumberArray], NumberArray]:
    """Return the function from a stage's largest number of steps to its failure probability."""
    # sin(spread * angle) / (spread * sin(2 angle)) tends to -1/2 where the angle is a right one.
    right = angle > math.pi / 2 - 1e-6
    slope = 1 / xp.where(right, 1.0, xp.sin(2 * angle))

    def failure(steps: Number) -> NumberArray:
        spread = 4 * (steps + 1)
        return xp.where(right, 0.0, 0.5 + xp.sin(spread * angle) * slope / spread)

    return failure
