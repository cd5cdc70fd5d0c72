"""What a system would cost on every candidate, and the choice: the record between estimation and the solve."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.records import SystemEstimate
from .._core.status import Refusal, Verdict
from .._pricing.offers import Offers
from .._pricing.policies import AbstractPolicy, Turn


class Plan(eqx.Module):
    """Predictions and choice for one system, under every assumption set (rows) and for every candidate (columns).

    Attributes:
        estimate: the numbers they rest on.
        predicted_seconds: calibrated for classical candidates, modelled for quantum ones; infinite where refused.
        fixed_seconds: the part of a quantum candidate's that no quantum clock scales; 0 for classical candidates.
        feasible: whether the candidate can take the system.
        refusal: a `Refusal`, why it cannot, or why the policy passed it over.
        queries: expected block-encoding queries of one run; 0 for classical candidates.
        copies: runs that the read-out takes; 1 where it is free, 0 for classical candidates.
        success_probability: of one repetition; 1 for classical candidates.
        expected_steps: of each candidate, iterations that its prediction rests on, observed counts included; 0 where it
            does not iterate.
        clamped: whether the condition number lay below the range of the query formula and was raised to its lower end.
        choice: column chosen under each set.
        verdict: a `Verdict` on each; where it is `NOBODY`, nothing can solve the system under that set.
        second: another estimator's numbers, `Hybrid.second`, which nothing rests on; None where there is none.
    """

    estimate: SystemEstimate
    predicted_seconds: Float[Array, "sets candidates"]
    fixed_seconds: Float[Array, "sets candidates"]
    feasible: Bool[Array, "sets candidates"]
    refusal: Int[Array, "sets candidates"]
    queries: Float[Array, "sets candidates"]
    copies: Float[Array, "sets candidates"]
    success_probability: Float[Array, "sets candidates"]
    expected_steps: Float[Array, " candidates"]
    clamped: Bool[Array, "sets candidates"]
    choice: Int[Array, " sets"]
    verdict: Int[Array, " sets"]
    second: SystemEstimate | None = None

    def complaint(self, names: Sequence[str], row: int = 0) -> str:
        """In words, on the host: what each candidate broke where nobody could be chosen; empty where somebody was.

        Args:
            names: of the candidates, `Hybrid.names`.
            row: which assumption set.
        """
        if int(self.verdict[row]) != Verdict.NOBODY:
            return ""
        broken = "; ".join(
            f"{name}: {Refusal(int(code)).reason}" for name, code in zip(names, self.refusal[row], strict=True)
        )
        return f"nobody can take the system of {self.estimate.n} rows. {broken}"


class Executed(eqx.Module):
    """What the circuits of an emulated candidate did; nothing, and 1, for any other.

    Attributes:
        queries: of the block encoding, copies and repetitions included.
        success_probability: of one application.
        outcome: an `Outcome` of the solvers, which has the remedy.
    """

    queries: Float[Array, ""]
    success_probability: Float[Array, ""]
    outcome: Int[Array, ""]


def make_plan(
    estimate: SystemEstimate, offers: Offers, policy: AbstractPolicy, turn: Turn, second: SystemEstimate | None = None
) -> Plan:
    """Choose under every assumption set.

    Args:
        estimate: the system's numbers.
        offers: what `_pricing.price` made of them, `[sets, candidates]`.
        policy: how predictions become a choice.
        turn: the system's place in the training.
        second: another estimator's numbers, to be kept beside.
    """
    choices = [policy.choose(offers.under(row), turn.under(row)) for row in range(len(offers.seconds))]
    passed_over = jnp.stack([choice.refusal for choice in choices])
    return Plan(
        estimate=estimate,
        predicted_seconds=offers.seconds,
        fixed_seconds=_priced(offers.fixed_seconds),
        feasible=offers.feasible,
        refusal=jnp.where(offers.feasible, passed_over, _priced(offers.refusal)),
        queries=_priced(offers.queries),
        copies=_priced(offers.copies),
        success_probability=_priced(offers.success_probability),
        expected_steps=_priced(offers.expected_steps),
        clamped=_priced(offers.clamped),
        choice=jnp.stack([choice.index for choice in choices]),
        verdict=jnp.stack([choice.verdict for choice in choices]),
        second=second,
    )


def _priced(numbers: Array | None) -> Array:
    """Numbers that only a recorded training's offers are without."""
    assert numbers is not None, "a plan is made of what `price` returned"
    return numbers
