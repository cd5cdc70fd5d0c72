"""The table of offers: every candidate's cost for a system, before the choice."""

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int


class Offers(eqx.Module):
    """Offers of candidates for systems; candidates on the last axis, assumption sets, systems or a sweep before it.

    Arrays of JAX inside a step, of numpy on paper and in a replay. A policy reads the first five fields alone, so what
    it sees of a set, and a recorded training, have no others: there they are None.

    Attributes:
        names: of the candidates.
        quantum: which of them are charged on the quantum machine.
        seconds: predicted for a calibrated machine, modelled for any other; infinite where the candidate is refused.
        feasible: whether the candidate can take the system.
        log_condition_number: natural logarithm, without the axis of the candidates; NaN where nothing is known. With
            that axis where a candidate has conditioning of its own: then of the system that each one solves.
        fixed_seconds: the part of the seconds that no quantum clock scales; 0 for classical candidates.
        refusal: a `Refusal`, why the candidate cannot take the system.
        queries: expected block-encoding queries of one run; 0 for classical candidates.
        copies: runs that the read-out takes; 1 where it is free, 0 for classical candidates.
        success_probability: of one repetition; 1 for classical candidates.
        clamped: whether the condition number lay below the range of the query formula and was raised to its lower end.
        expected_steps: iterations that the seconds rest on, observed counts included, the same under every set; 0 where
            the candidate does not iterate.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    quantum: tuple[bool, ...] = eqx.field(static=True)
    seconds: Float[Array, "*systems candidates"]
    feasible: Bool[Array, "*systems candidates"]
    log_condition_number: Float[Array, "*systems"] | Float[Array, "*systems candidates"]
    fixed_seconds: Float[Array, "*systems candidates"] = eqx.field(default=None)
    refusal: Int[Array, "*systems candidates"] = eqx.field(default=None)
    queries: Float[Array, "*systems candidates"] = eqx.field(default=None)
    copies: Float[Array, "*systems candidates"] = eqx.field(default=None)
    success_probability: Float[Array, "*systems candidates"] = eqx.field(default=None)
    clamped: Bool[Array, "*systems candidates"] = eqx.field(default=None)
    expected_steps: Float[Array, " candidates"] = eqx.field(default=None)

    @property
    def able(self) -> Bool[Array, "*systems candidates"]:
        """Mask of candidates that can take the system and have a finite prediction."""
        xp = self.seconds.__array_namespace__()
        return self.feasible & xp.isfinite(self.seconds)

    def under(self, row: int) -> "Offers":
        """Return the part of the offers that a policy sees, under one assumption set by its index."""
        return Offers(self.names, self.quantum, self.seconds[row], self.feasible[row], self.log_condition_number)
