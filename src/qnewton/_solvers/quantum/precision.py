"""Meanings of "error epsilon": three conventions of the literature, their conversion, and error budgets."""

import enum

import equinox as eqx

from ..._core.arrays import Number, NumberArray, floating, quiet


class ErrorConvention(enum.StrEnum):
    """Convention in which a formula counts the error of its solution."""

    STATE = "state 2-norm"
    """`|| |x~> - |x> ||` of the normalised states, phases aligned: what this package asks for everywhere."""
    TRACE = "trace distance"
    """`sqrt(1 - |<x~|x>|^2)`, the sine of the angle whose chord the 2-norm is."""
    ABSOLUTE = "absolute"
    """`max |P(s) - 1/s|` of the approximated inverse, hence `||x~ - x||` at `||b|| = 1` before normalisation."""


def check_state_error(name: str, value: float) -> None:
    """Refuse a value that is not an error of a normalised state.

    Args:
        name: of the number.
        value: its.

    Raises:
        ValueError: with name and value.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}: it is the error of a normalised state and must lie in (0, 1)")


@quiet
def convert(error: Number, given: ErrorConvention, wanted: ErrorConvention, encoded_norm: Number = 1.0) -> NumberArray:
    """The largest error in the wanted convention that guarantees the given one.

    Between pure states at the angle phi the 2-norm is `2 sin(phi / 2)` and the trace distance `sin(phi)`. An absolute
    error `delta` of a vector of length `r` turns it by at most `asin(delta / r)`.

    Args:
        error: in the given convention; a scalar or an array.
        given: what `error` is.
        wanted: what is asked for.
        encoded_norm: `r`, length of the solution of the encoded system `(A / alpha) x = b`, `||b|| = 1`; its least
            value, where it is not known, is `alpha / ||A||`.

    Returns:
        The error in the wanted convention. A trace distance reaches 1 at a 2-norm of sqrt(2) and stays there.
    """
    xp, error, norm = floating(error, encoded_norm)
    if given is wanted:
        return error
    if given is ErrorConvention.STATE:
        half = xp.minimum(error, 2**0.5) / 2
        sine = 2 * half * xp.sqrt(1 - half**2)
    else:
        sine = xp.minimum(error if given is ErrorConvention.TRACE else error / norm, 1.0)
    if wanted is ErrorConvention.STATE:
        # sqrt(2 - 2 cos(phi)) without its cancellation.
        return 2**0.5 * sine / xp.sqrt(1 + xp.sqrt(1 - sine**2))
    return sine if wanted is ErrorConvention.TRACE else sine * norm


class ErrorBudget(eqx.Module):
    """Budget for the error of a step's direction: the solver's state, and its read-out.

    The two add up to the whole by the triangle inequality.

    Attributes:
        solver: 2-norm error of the normalised state that the solver leaves.
        readout: 2-norm error of the vector that is read from copies of it.
    """

    solver: NumberArray
    readout: NumberArray

    @classmethod
    def split(cls, total: Number, solver_share: float = 0.1) -> "ErrorBudget":
        """Split the error into a share for the solver and the rest for the read-out.

        A tenth by default, as in arXiv 2211.12489 (known from one transcription): copies grow like 1/error^2, queries
        only like its logarithm.

        Raises:
            ValueError: where the share leaves nothing to one of the two.
        """
        if not 0 < solver_share < 1:
            raise ValueError(
                f"solver_share is {solver_share}: it is the part of the error that the solver may make, in (0, 1)"
            )
        _, total = floating(total)
        return cls(solver=solver_share * total, readout=(1 - solver_share) * total)

    @property
    def total(self) -> NumberArray:
        """Bound on the error of both together."""
        return self.solver + self.readout
