"""The interface of policies: inputs besides the offers, and the result."""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..._core.status import Refusal, Verdict
from ..fastest import fastest
from ..offers import Offers

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

NONE_YET = -1
"""The last choice before the first one."""


class Turn(eqx.Module):
    """A system's position in a training, which `newton` provides and a single solve does not have.

    Attributes:
        last: the choice for the same block one step ago, `NONE_YET` before the first; a scalar for a policy, and
            `[sets]`, one per assumption set, for a `Hybrid`.
        share: of the step's rows that are this system's, in (0, 1].
        factors: of the candidates, iterations that were observed on the block over those that were expected of the
            method without a preconditioner; the preconditioner's prior where nothing was observed. None: 1 for all.
    """

    last: Int[Array, "*sets"]
    share: Float[Array, ""]
    factors: Float[Array, " candidates"] | None = None

    @classmethod
    def first(cls, sets: int, factors: Sequence[float], share: float, dtype: jnp.dtype) -> "Turn":
        """Return the initial position, before any choice."""
        last = jnp.full(sets, NONE_YET, jnp.int32)
        return cls(last, jnp.asarray(share, dtype), jnp.asarray(factors, dtype))

    def under(self, row: int) -> "Turn":
        """Return the position under one assumption set, by its index."""
        return Turn(self.last[row], self.share)


class Choice(eqx.Module):
    """Choice of a policy for one system.

    Attributes:
        index: of the chosen candidate; where the verdict is `NOBODY`, of one that cannot take the system or may not.
        verdict: a `Verdict`.
        refusal: per candidate a `Refusal`, why the policy passed it over; `NONE` for all that were compared.
    """

    index: Int[Array, ""]
    verdict: Int[Array, ""]
    refusal: Int[Array, " candidates"]


class AbstractPolicy(eqx.Module):
    """Choice among the candidates of one system; traced, so that its inputs are arrays.

    A new policy is one class and one row in `tests/scheduling/test_policies.py`.

    Attributes:
        remembers: whether it reads `Turn.last`: `newton` then carries each block's choice in its state.
        takes_fastest: whether it never chooses a candidate that asks more than a classical one which is able: then
            nothing need be known of it (`Conditioned`).
    """

    remembers: AbstractClassVar[bool]
    takes_fastest: ClassVar[bool] = False

    @abc.abstractmethod
    def choose(self, offers: Offers, turn: Turn) -> Choice:
        """Choose, and record why the others were passed over.

        Never a candidate that is infeasible or whose prediction is not finite, and the first listed on a tie.

        Args:
            offers: the candidates.
            turn: the system's place in the training.

        Raises:
            ValueError: when traced, for a policy that does not fit the candidates.
        """

    def contenders(
        self,
        names: Sequence[str],
        least: np.ndarray,
        most: np.ndarray,
        quantum: Sequence[bool] = (),
        share: float = 1.0,
    ) -> tuple[int, ...]:
        """Return the candidates that may still win, given bounds on every offer; on the host.

        Here: whoever might ask less than what another one is sure to do it for, as is right for every policy that takes
        the fastest, or the fastest but for quantum candidates.

        Args:
            names: of the candidates.
            least: seconds that each asks at least `[candidates]`; infinite where it cannot take the systems.
            most: that it asks at most, infinite where nothing is known.
            quantum: which of them are charged on the quantum machine.
            share: of the step's rows that the systems have.
        """
        return tuple(i for i in range(len(names)) if least[i] < np.min(most) or i == int(np.argmin(most)))


def fastest_of(offers: Offers, passed_over: Int[Array, " candidates"]) -> Choice:
    """Choose the fastest of the candidates that are able and not passed over."""
    index, found = fastest(offers.seconds, offers.able & (passed_over == Refusal.NONE))
    return Choice(index.astype(jnp.int32), verdict_of(found), passed_over)


def verdict_of(found: Bool[Array, ""]) -> Int[Array, ""]:
    """`CHOSEN` or `NOBODY`."""
    return jnp.where(found, jnp.int32(Verdict.CHOSEN), jnp.int32(Verdict.NOBODY))


def nobody_passed_over(offers: Offers) -> Int[Array, " candidates"]:
    """Return the refusals if all candidates were compared: none."""
    return jnp.full(len(offers.names), Refusal.NONE, jnp.int32)


def remembered(choice: Int[Array, "*sets"], verdict: Int[Array, "*sets"], last: Int[Array, "*sets"]) -> Array:
    """Return `last` for the next turn: a choice that no candidate could carry out does not count."""
    return jnp.where(verdict == Verdict.NOBODY, last, choice)
