"""Cost of groups of equal systems in a step, and the solvers chosen for them."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import NumberArray, filled, namespace
from .._core.status import Verdict
from .._devices.crew import EVERYONE
from .._pricing.offers import Offers
from .._pricing.policies.base import NONE_YET
from .hybrid import Hybrid

_NUMBERS = ("seconds", "fixed_seconds", "queries", "copies", "success_probability", "expected_steps")


class GroupPlan(eqx.Module):
    """Cost of a group of equal systems in a step, and the solver chosen for them.

    Attributes:
        name: what the systems are, in words.
        size: of one system in rows, how many there are, their right-hand sides, and the steps that a set-up serves.
        offers: of all candidates, `[sets, candidates]`, for the whole group and one step, classical set-ups shared out
            over the steps that they serve. Where nothing was estimated the seconds of iterative and quantum candidates
            are the least that they might take.
        choice: column chosen under each set; -1 where the bounds leave it open and nothing was estimated.
        verdict: a `Verdict` on each.
        estimated: whether the condition number was looked at; where it was not, no number of it would have changed the
            choice of the acting set, which is the first.
        owners: of each factor and system, the device that sets it up for all in the last refresh; -1 where every device
            does.
        second: logarithm of the condition number by `Hybrid.second`, of the worst of the systems; NaN where there is no
            such estimator. Nothing rests on it.
    """

    name: str = eqx.field(static=True)
    size: Int[NumberArray, "4"]
    offers: Offers
    choice: Int[NumberArray, " sets"]
    verdict: Int[NumberArray, " sets"]
    estimated: Bool[NumberArray, ""]
    owners: Int[NumberArray, "factors count"]
    second: Float[NumberArray, ""]


class PackedPlans(eqx.Module):
    """Plans of all groups of a step in two arrays: returning dozens of small arrays takes longer.

    Attributes:
        numbers: of each group; one row that means nothing where there is no group.
        codes: of each group, what is an integer or a truth; likewise.
        owners: of each group's factors and systems, as of `GroupPlan`, those of one group after those of another.
        names: of the groups.
        candidates: of the scheduler.
        quantum: which of them are charged on the quantum machine.
        sets: how many assumption sets there are.
        setups: of each group, how many factors a system has, and how many systems there are.
    """

    numbers: Float[Array, "groups f"]
    codes: Int[Array, "groups i"]
    owners: Int[Array, " setups"]
    names: tuple[str, ...] = eqx.field(static=True)
    candidates: tuple[str, ...] = eqx.field(static=True)
    quantum: tuple[bool, ...] = eqx.field(static=True)
    sets: int = eqx.field(static=True)
    setups: tuple[tuple[int, int], ...] = eqx.field(static=True)

    @classmethod
    def of(cls, scheduler: Hybrid, plans: Sequence[GroupPlan], dtype: jnp.dtype) -> "PackedPlans":
        """Return the packed form of plans under one scheduler.

        Args:
            scheduler: of all of them.
            plans: of numpy where nothing was estimated.
            dtype: of the numbers.
        """
        numbers = [_joined([getattr(one.offers, name) for name in _NUMBERS] + _kappas(one)) for one in plans]
        codes = [_joined([one.size, *_codes(one.offers), one.choice, one.verdict, one.estimated]) for one in plans]
        setups = [(one.owners.shape[0], one.owners.shape[1]) for one in plans]
        like = cls.blank(scheduler, [one.name for one in plans], dtype, setups)
        if not plans:
            return like
        owners = np.concatenate([np.ravel(np.asarray(one.owners)) for one in plans])
        return eqx.tree_at(
            lambda packed: (packed.numbers, packed.codes, packed.owners),
            like,
            tuple(map(jnp.asarray, (_stack(numbers), _stack(codes), owners), (dtype, jnp.int32, jnp.int32))),
        )

    @classmethod
    def blank(
        cls, scheduler: Hybrid, names: Sequence[str], dtype: jnp.dtype, setups: Sequence[tuple[int, int]]
    ) -> "PackedPlans":
        """Return the plans of groups of which nothing is set up.

        Args:
            scheduler: of all of them.
            names: of the groups.
            dtype: of the numbers.
            setups: of each group, its factors and systems.
        """
        sets, quantum = len(scheduler.assumptions), tuple(one.capabilities.quantum for one in scheduler.solvers)
        each = sets * len(quantum)
        # At least one row: an array without entries is refused by what saves states.
        rows = max(1, len(names))
        numbers = filled((rows, 5 * each + len(quantum) + 2), 0, dtype)
        codes = filled((rows, 4 + 3 * each + 2 * sets + 1), 0, jnp.int32)
        owners = filled((max(1, sum(sides * count for sides, count in setups)),), EVERYONE, jnp.int32)
        return cls(numbers, codes, owners, tuple(names), scheduler.names, quantum, sets, tuple(setups))

    @property
    def plans(self) -> tuple[GroupPlan, ...]:
        """One plan for each group."""
        return tuple(self._plan(k) for k in range(len(self.names)))

    def last_choices(self, k: int) -> Int[Array, " sets"]:
        """What a policy with memory sees of a group: its choice under each set, `NONE_YET` before the first."""
        codes = self.codes[k]
        first = 4 + 3 * self.sets * len(self.candidates)
        choice, verdict = codes[first : first + self.sets], codes[first + self.sets : first + 2 * self.sets]
        made = (codes[1] > 0) & (verdict != Verdict.NOBODY)
        return jnp.where(made, choice, NONE_YET)

    def _plan(self, k: int) -> GroupPlan:
        shape = (self.sets, len(self.candidates))
        numbers, codes = _Reader(self.numbers[..., k, :]), _Reader(self.codes[..., k, :])
        size = codes.take(4)
        found: dict[str, Any] = {name: numbers.take(*shape) for name in _NUMBERS[:-1]}
        found["expected_steps"] = numbers.take(shape[1])
        found["log_condition_number"], second = numbers.take(), numbers.take()
        found["refusal"] = codes.take(*shape)
        found |= {name: codes.take(*shape) != 0 for name in ("feasible", "clamped")}
        offers = Offers(names=self.candidates, quantum=self.quantum, **found)
        choice, verdict, estimated = codes.take(self.sets), codes.take(self.sets), codes.take() != 0
        before, own = (int(np.prod(one, dtype=int)) for one in self.setups[:k]), self.setups[k]
        start = sum(before)
        owners = self.owners[..., start : start + own[0] * own[1]]
        owners = owners.reshape((*owners.shape[:-1], *own))
        return GroupPlan(self.names[k], size, offers, choice, verdict, estimated, owners, second)


class _Reader:
    """Reader that takes one array after the other off the last axis of a record."""

    def __init__(self, record: Array):
        self._record, self._place = record, 0

    def take(self, *shape: int) -> Array:
        size = int(np.prod(shape, dtype=int))
        part = self._record[..., self._place : self._place + size]
        self._place += size
        return part.reshape((*part.shape[:-1], *shape))


def _kappas(plan: GroupPlan) -> list[Any]:
    return [plan.offers.log_condition_number, plan.second]


def _codes(offers: Offers) -> list[Any]:
    return [offers.refusal, offers.feasible, offers.clamped]


def _joined(parts: Sequence[Any]) -> Any:
    xp = namespace(*parts)
    return xp.concatenate([xp.ravel(xp.asarray(part)).astype(xp.result_type(parts[0])) for part in parts])


def _stack(rows: Sequence[Any]) -> Any:
    return namespace(*rows).stack(rows)
