"""Named sequences of conditioners."""

from .._core.suggest import unknown
from .base import AbstractConditioner
from .basis import Rotate, WhitenOutputs
from .damping import Damp
from .matching import Matching
from .pruning import Prune, PruneRows, Threshold
from .repair import ShiftTo

_BASIS = (Rotate(strict=False), WhitenOutputs(strict=False))
_AFTER_DAMPING: dict[str, tuple[AbstractConditioner, ...]] = {
    "none": (),
    "tight": (*_BASIS, Threshold(0.005), ShiftTo(0.02)),
    "balanced": (*_BASIS, Threshold(0.01), ShiftTo(0.05)),
    "loose": (*_BASIS, Threshold(0.02), ShiftTo(0.1)),
    "matching": (*_BASIS, Matching(2), ShiftTo(0.3, bound="gershgorin")),
    "diagonal": (*_BASIS, Matching(1)),
}


def preset(
    name: str = "tight", *, damping: AbstractConditioner | None = None, keep: float = 0.5
) -> tuple[AbstractConditioner, ...]:
    """The conditioners of a preset, for `newton(conditioning=...)`.

    Measured by `benchmarks/conditioning.py` on 30 Gauss-Newton blocks of n = 128 to 1,280 (seed 1, which the constants
    were not fitted on: perceptrons with ReLU and tanh at four points of their training, a convolutional network and an
    attention head, whose four matrices are one block, at their start), damped by 5e-3 max|H|; least / median / largest.
    Gain: how many times the condition number for sparse access is below that of the un-pruned block. Decrease: of the
    damped model, one-shot, at optimal length (`Correction(max_steps=1)`). No block of any of these was indefinite.

    | preset | gain | decrease | blocks with 0.99 / 0.9 | d |
    |---|---|---|---|---|
    | `tight` | 6.7 / 31 / 24,000 | .994 / .999 / 1.000 | 100 % / 100 % | 1 / 159 / 667 |
    | `balanced` | 9.5 / 38 / 24,000 | .970 / .996 / 1.000 | 70 % / 100 % | 1 / 132 / 553 |
    | `loose` | 21 / 69 / 24,000 | .894 / .984 / 1.000 | 33 % / 97 % | 1 / 110 / 405 |
    | `matching` | 5,000 / 14,800 / 115,000 | .58 / .82 / 1.00 | 13 % / 30 % | 2 |
    | `diagonal` | 24,000 / 44,500 / 249,000 | .58 / .80 / 1.00 | 13 % / 30 % | 1 |

    `tight` is the default: it alone gave 0.99 on every block. `matching` is for `Correction()`: 0.99 takes outer steps
    times condition number of 2 / 17 / 56, and proving it 2 / 35 / 107. Only raising the damping, as far as each block
    allows, gains 1.5 / 1.8 / 3.8 at 0.99 and 3.5 / 6.5 / 38 at 0.9.

    Who wins, plainly: encoded by its square root the un-pruned block has a condition number of 52 / 111 / 199, below
    that of `tight` in 27 of the 30. And `diagonal` with `Correction()`, which is K-FAC-preconditioned CG without any
    quantum solve, needs no more outer steps times condition number than `matching` in 30 of 30. Forming `tight` took
    2.4 times as long as one Cholesky factorisation of the block at n = 1,024. `paper` at a keep ratio of 0.5 left 28 of
    30 indefinite, with a decrease of .03 in the median, and raised the condition number 28 times.

    What is provable is each conditioner's `guarantee`; that a preset attains its decrease is measured only.

    Args:
        name: of the table, `none` (damping alone), `paper` or `paper-code`.
        damping: what every preset but `paper-code` adds to the diagonal; default `Damp(5e-3)`.
        keep: ratio of each row's entries that `paper` and `paper-code` keep.

    Raises:
        ValueError: for an unknown name, with the nearest valid one.
    """
    damping = Damp(5e-3) if damping is None else damping
    known = {
        **{name: (damping, *rest) for name, rest in _AFTER_DAMPING.items()},
        "paper": (Prune(keep), damping),
        "paper-code": (Damp(5e-3, offset=1e-6), PruneRows(keep)),
    }
    if name not in known:
        raise ValueError(unknown("conditioning preset", name, known))
    return known[name]
