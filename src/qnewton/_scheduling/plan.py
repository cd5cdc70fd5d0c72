"""Costs of a system on every candidate, and the choice: the record between estimation and the solve."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._core.costs import Cost
from .._core.records import SystemEstimate
from .._core.status import Refusal, Verdict
from .._pricing.offers import Offers
from .._pricing.policies import AbstractPolicy, Turn


class OwnSystem(eqx.Module):
    """The system of one candidate alone, as its own conditioning leaves it.

    Attributes:
        place: the candidate's, in a plan's columns.
        estimate: of its system; a placeholder where nothing was estimated.
        estimated: whether it was: it is not where even the least that the candidate could ask exceeds what a classical
            one does it for.
        conditioning, estimation: operations and bytes of what is paid for, on the classical machine.
        conditioning_seconds, estimation_seconds: predicted.
        without: what its solver would ask for the system that the others solve `[sets, 1]`.
    """

    place: int = eqx.field(static=True)
    estimate: SystemEstimate
    estimated: Bool[Array, ""]
    conditioning: Cost
    estimation: Cost
    conditioning_seconds: Float[Array, ""]
    estimation_seconds: Float[Array, ""]
    without: Offers


class Plan(eqx.Module):
    """Predictions and choice for one system, under every assumption set (rows) and for every candidate (columns).

    Attributes:
        estimate: the numbers they rest on.
        offers: what each candidate asks under each set; `offers.refusal` says also why the policy passed one over.
        choice: column chosen under each set.
        verdict: a `Verdict` on each; where it is `NOBODY`, nothing can solve the system under that set.
        second: another estimator's numbers, `Hybrid.second`, which nothing rests on; None where there is none.
        own: of every candidate with conditioning of its own (`qnewton.solvers.Conditioned`), the system that it solves,
            and what that costs it; its offers rest on that one.
    """

    estimate: SystemEstimate
    offers: Offers
    choice: Int[Array, " sets"]
    verdict: Int[Array, " sets"]
    second: SystemEstimate | None = None
    own: tuple[OwnSystem, ...] = ()

    def estimate_for(self, place: int) -> SystemEstimate:
        """Return the estimate of the system that the candidate at that place solves."""
        return next((one.estimate for one in self.own if one.place == place), self.estimate)

    def complaint(self, names: Sequence[str], row: int = 0) -> str:
        """Return what each candidate lacked, in words, on the host; empty if one could be chosen.

        Args:
            names: of the candidates, `Hybrid.names`.
            row: which assumption set.
        """
        if int(self.verdict[row]) != Verdict.NOBODY:
            return ""
        pairs = zip(names, self.offers.refusal[row], strict=True)
        broken = "; ".join(f"{name}: {Refusal(int(code)).reason}" for name, code in pairs)
        return f"nobody can take the system of {self.estimate.n} rows. {broken}"

    def __getattr__(self, name: str) -> Array:
        """Return a field of `offers` by its old name."""
        if name not in _OFFERED:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        warnings.warn(
            f"plan.{name} is plan.offers.{_OFFERED[name]} now; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(self.offers, _OFFERED[name])


_OFFERED = {
    "predicted_seconds": "seconds",
    **{
        name: name
        for name in (
            "fixed_seconds",
            "feasible",
            "refusal",
            "queries",
            "copies",
            "success_probability",
            "expected_steps",
            "clamped",
        )
    },
}


def make_plan(
    estimate: SystemEstimate,
    offers: Offers,
    policy: AbstractPolicy,
    turn: Turn,
    second: SystemEstimate | None = None,
    own: tuple[OwnSystem, ...] = (),
) -> Plan:
    """Choose under every assumption set.

    Args:
        estimate: the system's numbers.
        offers: what `_pricing.price` made of them, `[sets, candidates]`.
        policy: how predictions become a choice.
        turn: the system's place in the training.
        second: another estimator's numbers, to be kept beside.
        own: systems of candidates with conditioning of their own.
    """
    choices = [policy.choose(offers.under(row), turn.under(row)) for row in range(len(offers.seconds))]
    passed_over = jnp.stack([choice.refusal for choice in choices])
    return Plan(
        estimate=estimate,
        offers=replace(offers, refusal=jnp.where(offers.feasible, passed_over, offers.refusal)),
        choice=jnp.stack([choice.index for choice in choices]),
        verdict=jnp.stack([choice.verdict for choice in choices]),
        second=second,
        own=own,
    )
