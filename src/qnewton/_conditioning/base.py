"""The interface of conditioning, and the composition of several conditioners."""

import abc
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from .._core.records import System
from .guarantee import Guarantee


class AbstractConditioner(eqx.Module):
    """One change of a system's matrix; order matters, so conditioners compose as a sequence.

    Attributes:
        turns: about how often a loop goes round whose end depends on the numbers, such as a shift until a factorisation
            succeeds. A candidate that pays for its own conditioning is charged for as many (`Conditioned`).
    """

    turns: ClassVar[int] = 4

    @property
    @abc.abstractmethod
    def guarantee(self) -> Guarantee:
        """Provable statements about the change."""

    @abc.abstractmethod
    def __call__(self, system: System, scale: Float[Array, ""]) -> System:
        """The changed system, with its record brought up to date.

        Args:
            system: the system so far.
            scale: factor on the damping, as the damping policy has adapted it.
        """


def condition(conditioners: Sequence[AbstractConditioner], system: System, scale: Float[Array, ""]) -> System:
    """Apply the conditioners from first to last."""
    for conditioner in conditioners:
        system = conditioner(system, scale)
    return system
