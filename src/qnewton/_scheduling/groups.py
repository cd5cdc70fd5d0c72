"""Equal systems under one scheduler: contenders are known before tracing, the winner from the systems' numbers."""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import filled
from .._core.records import System, SystemEstimate
from .._core.status import Refusal, Verdict
from .._devices.crew import EVERYONE, crew, dealt
from .._hardware import ClassicalMachine
from .._pricing.group import Group, direct_seconds, price_group
from .._pricing.need import residual_for
from .._pricing.offers import Offers
from .._pricing.policies.base import NONE_YET, Turn
from .._solvers import AbstractSolver
from .branches import switch
from .group_plan import GroupPlan
from .hybrid import Hybrid
from .one_system import each_of, iterated, product_of, state_of, states_of
from .owners import Deal, Job, deal_out
from .union import StateUnion

Factors = tuple[Float[Array, "count n n"], ...]


class GroupState(eqx.Module):
    """A group that is set up, for the steps until the next refresh.

    Attributes:
        slots: states of the chosen candidate, one for each system, in the arrays of the union.
        chosen: which of the compiled candidates that is, and the logarithms of the systems' condition numbers as
            estimated; None where one candidate is left, and nothing was estimated.
        sound: of each system, whether everything in its state is finite.
    """

    slots: tuple[Array, ...]
    chosen: tuple[Int[Array, ""], Float[Array, " count"]] | None
    sound: Bool[Array, " count"]


@dataclass(frozen=True)
class GroupSolver:
    """A group and its scheduler, on the host.

    Attributes:
        scheduler: candidates, machines, assumption sets and policy.
        group: the systems.
        machine: that runs the classical candidates.
        least: what every candidate asks at least.
        most: what it asks at most `[sets, candidates]`, infinite where nothing is known.
        share: of the step's rows that are the group's, in (0, 1].
    """

    scheduler: Hybrid
    group: Group
    machine: ClassicalMachine
    least: Offers
    most: np.ndarray
    share: float = 1.0

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Candidates that are compiled, those that the acting set's choice may be."""
        return self._contenders(0)

    def _contenders(self, row: int) -> tuple[int, ...]:
        least, quantum = np.asarray(self.least.seconds[row]), self.least.quantum
        return self.scheduler.policy.contenders(self.scheduler.names, least, self.most[row], quantum, self.share)

    @property
    def estimates(self) -> bool:
        """Whether the choice, what is chosen, or what is recorded beside depends on the condition number."""
        return len(self.kept) > 1 or self.solvers[0].capabilities.quantum or self.scheduler.second is not None

    @property
    def solvers(self) -> tuple[AbstractSolver, ...]:
        """The candidates that are compiled."""
        return tuple(self.scheduler.solvers[i] for i in self.kept)

    @property
    def _size(self) -> np.ndarray:
        group = self.group
        return np.array([group.rows, group.count, group.vectors, group.serves], np.int32)

    @property
    def _by_everyone(self) -> np.ndarray:
        return np.full((len(self.group.factors), self.group.count), EVERYONE, np.int32)

    @cached_property
    def settled(self) -> GroupPlan:
        """Plan if nothing is estimated; in numpy."""
        least, names, rows = self.least, self.scheduler.names, range(len(self.most))
        # Under another set the bounds may leave it open.
        kept = [self._contenders(row) for row in rows]
        known = [len(own) == 1 and np.isfinite(self.most[r, own[0]]) for r, own in zip(rows, kept, strict=True)]
        choice = np.array([own[0] if sure else NONE_YET for own, sure in zip(kept, known, strict=True)], np.int32)
        choice[0] = self.kept[0]
        beaten = np.array([[i not in own for i in range(len(names))] for own in kept])
        feasible = np.asarray(least.feasible)
        refusal = np.where(feasible & beaten, Refusal.UNDERCUT, np.asarray(least.refusal)).astype(np.int32)
        fields: Any = {"refusal": refusal, "feasible": refusal == Refusal.NONE}
        able = np.any(feasible, axis=1)
        able[0] = feasible[0, self.kept[0]]
        verdict = np.where(able, Verdict.CHOSEN, Verdict.NOBODY).astype(np.int32)
        policy = self.scheduler.policy
        if not (policy.takes_fastest or policy.remembers):
            # What such a policy says of the choice, a budget for one.
            verdict = np.array([self._verdict(row, i) if i >= 0 else verdict[row] for row, i in enumerate(choice)])
        offers, none = replace(least, **fields), np.full((), np.nan, self.group.dtype)
        estimated = np.zeros((), bool)
        return GroupPlan(self.group.name, self._size, offers, choice, verdict, estimated, self._by_everyone, none)

    def settled_at(self, deal: Deal, owners: np.ndarray) -> GroupPlan:
        """The plan where nothing is estimated and several devices may share the set-ups.

        The seconds of the candidate that is taken hold the exchange, and not what it spares.

        Args:
            deal: of all set-ups of the step.
            owners: of this group's.
        """
        plan = replace(self.settled, owners=owners)
        if not deal.shared or not self.solvers[0].capabilities.direct:
            return plan
        once = sum(pair[0] for pair in direct_seconds(self.group, self.solvers[0], self.machine))
        seconds = np.array(plan.offers.seconds)
        seconds[:, self.kept[0]] -= (1 - deal.factor) * self.group.count * once / self.group.serves
        return replace(plan, offers=replace(plan.offers, seconds=seconds))

    def _verdict(self, row: int, chosen: int) -> int:
        """The policy's verdict where one candidate is left, whose seconds are known."""
        offers = self.least.under(row)
        alone = np.asarray(offers.feasible) & (np.arange(len(offers.names)) == chosen)
        with jax.ensure_compile_time_eval():
            turn = Turn.first(1, [1.0] * len(offers.names), self.share, jnp.dtype(self.group.dtype)).under(0)
            offers = jax.tree.map(jnp.asarray, replace(offers, feasible=alone))
            return int(self.scheduler.policy.choose(offers, turn).verdict)

    def blank(self) -> GroupState:
        """Return the state before the first set-up: zeros in its shapes."""
        count, dtype = self.group.count, jnp.dtype(self.group.dtype)
        factors = tuple(jax.ShapeDtypeStruct((count, n, n), dtype) for n in self.group.factors)
        floors = tuple(jax.ShapeDtypeStruct((count,), dtype) for _ in self.group.factors)
        shapes = eqx.filter_eval_shape(lambda *given: self.set_up(*given)[0], factors, floors)
        return jax.tree.map(lambda leaf: filled(leaf.shape, 0, leaf.dtype), shapes)

    def set_up(
        self,
        factors: Factors,
        floors: tuple[Float[Array, " count"], ...],
        last: Int[Array, " sets"] | None = None,
    ) -> tuple[GroupState, GroupPlan]:
        """Choose, set the chosen candidate up for every system, and record the choice.

        Args:
            factors: the systems' matrices, symmetric, damping included.
            floors: proven lower bounds on the factors' eigenvalues.
            last: the group's last choice under each set, `PackedPlans.last_choices`; None before the first.
        """
        if not self.estimates:
            states = tuple(states_of(self.solvers[0], stack) for stack in factors)
            return self.settled_state(states), self.settled
        estimates = each_of(lambda pair: self.estimate(*pair), (factors, floors))
        plan, index = self.planned(estimates, last, self.second_of(factors, floors))
        given = factors, estimates

        def branch(k: int) -> Callable:
            solver = self.solvers[k]

            def one_by_one(given: tuple) -> tuple[Array, ...]:
                return each_of(lambda one: self._union(*one).pack(k, state_of(solver, *one)), given)

            def all_of(given: tuple) -> tuple[Array, ...]:
                if not solver.many:
                    return one_by_one(given)
                states = tuple(states_of(solver, stack) for stack in given[0])
                shapes = tuple(jax.ShapeDtypeStruct(stack.shape[1:], stack.dtype) for stack in given[0])
                return jax.vmap(partial(self._union(shapes, self._abstract_estimates).pack, k))(states)

            return all_of

        slots = switch(index, [branch(k) for k in range(len(self.kept))], given)
        log_kappas = functools.reduce(operator.add, [one.log_condition_number for one in estimates])
        return self._state(slots, (index, log_kappas), plan), plan

    def settled_state(self, states: tuple[object, ...]) -> GroupState:
        """Return the state if one candidate is left, from its states of each factor, stacked over systems."""
        dtype = jnp.dtype(self.group.dtype)
        shapes = tuple(jax.ShapeDtypeStruct((n, n), dtype) for n in self.group.factors)
        return self._state(self._union(shapes, None).pack(0, states), None, self.settled)

    def opened(
        self,
        systems: Sequence[Float[Array, "n n"]],
        floors: Float[Array, " count"],
        last: Int[Array, " sets"] | None = None,
    ) -> tuple[GroupPlan, Callable[[Float[Array, "count n"]], Float[Array, "count n"]]]:
        """Return plan and solve of plain systems for one step; the solve may be called several times.

        Where nothing is estimated every system has a program of its own, so that they may run at once. What cannot be
        solved is NaN.

        Args:
            systems: symmetric, damping included.
            floors: proven lower bounds on their eigenvalues.
            last: as of `set_up`.
        """
        if self.estimates or self.solvers[0].capabilities.matrix_free:
            state, plan = self.set_up((jnp.stack(systems),), (floors,), last)

            def solved(right: Float[Array, "count n"]) -> Float[Array, "count n"]:
                values, good = self.solve(state, right[:, :, None])
                return jnp.where(good[:, None], values[:, :, 0], jnp.nan)

            return plan, solved
        one, devices = self.solvers[0], crew()
        once = sum(pair[0] for pair in direct_seconds(self.group, one, self.machine))
        nbytes = systems[0].size * systems[0].dtype.itemsize
        deal = deal_out([Job(once, nbytes)] * len(systems), devices)
        tasks = [(partial(_alone, one), (system,)) for system in systems]
        states = [run(*given) for run, given in tasks] if devices is None else dealt(devices, tasks, deal.owners)

        def solve(right: Float[Array, "count n"]) -> Float[Array, "count n"]:
            pairs = zip(states, right, strict=True)
            return jnp.stack([one.compute(state, b, {})[0] for state, b in pairs])

        return self.settled_at(deal, np.asarray([deal.owners], np.int32)), solve

    @property
    def reads(self) -> str | None:
        """Triangle that is enough for every compiled candidate; None if one reads both."""
        found = {solver.triangle for solver in self.solvers} if not self.estimates else {None}
        return found.pop() if len(found) == 1 else None

    def solve(
        self, state: GroupState, vectors: Float[Array, "count a b"]
    ) -> tuple[Float[Array, "count a b"], Bool[Array, " count"]]:
        """Return every system's solution, and whether it is valid.

        Args:
            state: as set up.
            vectors: right-hand sides: of a plain system as columns `[n, vectors]`; of a Kronecker product `A kron G`
                the matrix `V` `[i, a]`, whose solution is `A^-1 V G^-1`.
        """

        def branch(k: int) -> Callable:
            def all_of(given: tuple) -> Float[Array, "count a b"]:
                solver = self.solvers[k]
                each = jax.vmap if solver.applied_as == "product" else (lambda f: partial(each_of, f))
                return each(lambda one: self._solve_one(k, *one))(given)

            return all_of

        none = jnp.zeros((), jnp.int32), jnp.zeros(vectors.shape[0], vectors.dtype)
        index, log_kappas = none if state.chosen is None else state.chosen
        given = state.slots, log_kappas, vectors
        solved = switch(index, [branch(k) for k in range(len(self.kept))], given)
        good = state.sound & jnp.all(jnp.isfinite(solved), axis=(1, 2))
        return jnp.where(good[:, None, None], solved, vectors), good

    def _solve_one(
        self, k: int, slots: tuple[Array, ...], log_kappa: Float[Array, ""], vectors: Float[Array, "a b"]
    ) -> Float[Array, "a b"]:
        solver, dtype = self.solvers[k], vectors.dtype
        shapes = tuple(jax.ShapeDtypeStruct((n, n), dtype) for n in self.group.factors)
        state = self._union(shapes, self._abstract_estimates).unpack(k, slots)
        if solver.capabilities.matrix_free and not solver.capabilities.quantum:
            # Of a system that nobody estimated the solver's own tolerance is all there is.
            wanted = residual_for(self.group.need, log_kappa, self.group.power) if self.estimates else solver.stops_at
            return iterated(solver, state, vectors, wanted)

        def columns(state: object, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
            return jax.vmap(lambda b: solver.compute(state, b, {})[0], in_axes=1, out_axes=1)(right)

        if len(state) == 1:
            return columns(state[0], vectors)
        return columns(state[1], columns(state[0], vectors).T).T

    def _state(
        self, slots: tuple[Array, ...], chosen: tuple[Int[Array, ""], Float[Array, " count"]] | None, plan: GroupPlan
    ) -> GroupState:
        # What nobody can take is not solved, whoever stands in for whom.
        sound = jnp.broadcast_to(jnp.asarray(plan.verdict[0] != Verdict.NOBODY), self.group.count)
        for slot in slots:
            if jnp.issubdtype(slot.dtype, jnp.floating):
                # One sum instead of as many comparisons: what is not finite stays so.
                sound &= jnp.isfinite(jnp.sum(jnp.abs(slot).reshape(self.group.count, -1), axis=1))
        return GroupState(slots, chosen, sound)

    def _union(self, factors: tuple, estimates: tuple[SystemEstimate, ...] | None) -> StateUnion:
        like = tuple(jax.ShapeDtypeStruct(one.shape, one.dtype) for one in factors)
        return StateUnion([eqx.filter_eval_shape(partial(state_of, one), like, estimates) for one in self.solvers])

    @cached_property
    def _abstract_estimates(self) -> tuple[SystemEstimate, ...] | None:
        if not self.estimates:
            return None
        dtype = jnp.dtype(self.group.dtype)
        factors = tuple(jax.ShapeDtypeStruct((n, n), dtype) for n in self.group.factors)
        floors = tuple(jax.ShapeDtypeStruct((), dtype) for _ in factors)
        return eqx.filter_eval_shape(self.estimate, factors, floors)

    def estimate(self, factors: tuple[Array, ...], floors: tuple[Array, ...]) -> tuple[SystemEstimate, ...]:
        """Return the estimate of each factor of one system."""
        return tuple(
            self.scheduler.estimator(System.of(one, symmetric=True, eigenvalue_floor=floor))
            for one, floor in zip(factors, floors, strict=True)
        )

    def second_of(self, factors: Factors, floors: tuple[Float[Array, " count"], ...]) -> Float[Array, ""] | None:
        """The logarithm of the worst condition number by the scheduler's second estimator; None where it has none."""
        second = self.scheduler.second
        if second is None:
            return None

        def of_one(pair: tuple[Factors, tuple[Array, ...]]) -> Float[Array, ""]:
            systems = [System.of(a, symmetric=True, eigenvalue_floor=f) for a, f in zip(*pair, strict=True)]
            return functools.reduce(operator.add, [second(system).log_condition_number for system in systems])

        return jnp.max(each_of(of_one, (factors, floors)))

    def planned(
        self,
        estimates: tuple[SystemEstimate, ...],
        last: Int[Array, " sets"] | None = None,
        second: Float[Array, ""] | None = None,
    ) -> tuple[GroupPlan, Int[Array, ""]]:
        """The plan, and the acting choice among the candidates that are compiled.

        Args:
            estimates: of each factor, those of all systems stacked.
            last: as of `set_up`.
            second: as of `second_of`.
        """
        worst = jnp.argmax(functools.reduce(operator.add, [one.log_condition_number for one in estimates]))
        product = product_of(self.group, [jax.tree.map(lambda leaf: leaf[worst], one) for one in estimates])
        policy, sets = self.scheduler.policy, self.scheduler.assumptions
        offers = price_group(self.group, product, self.scheduler.solvers, sets, self.machine, self.scheduler.quantum)
        # What was not compiled cannot be chosen by the acting set, and would not be but for rounding.
        left = jnp.asarray(np.isin(np.arange(len(offers.names)), self.kept, invert=True)) & offers.feasible[0]
        acting = jnp.where(left, jnp.int32(Refusal.UNDERCUT), offers.refusal[0])
        able = offers.feasible.at[0].set(offers.feasible[0] & ~left)
        offers = replace(offers, feasible=able, refusal=offers.refusal.at[0].set(acting))
        turn = Turn.first(len(sets), [1.0] * len(offers.names), self.share, offers.seconds.dtype)
        turn = turn if last is None else Turn(last, turn.share)
        choices = [policy.choose(offers.under(row), turn.under(row)) for row in range(len(sets))]
        passed_over = jnp.stack([choice.refusal for choice in choices])
        offers = replace(offers, refusal=jnp.where(offers.feasible, passed_over, offers.refusal))
        choice = jnp.stack([choice.index for choice in choices]).astype(jnp.int32)
        verdict = jnp.stack([one.verdict for one in choices])
        beside = jnp.full((), jnp.nan, offers.seconds.dtype) if second is None else second
        estimated = np.ones((), bool)
        plan = GroupPlan(self.group.name, self._size, offers, choice, verdict, estimated, self._by_everyone, beside)
        return plan, self._place(choice[0])

    def _place(self, choice: Int[Array, ""]) -> Int[Array, ""]:
        """Return the position of the acting choice among the compiled candidates."""
        places = np.zeros(len(self.scheduler.solvers), np.int32)
        places[list(self.kept)] = np.arange(len(self.kept))
        return jnp.asarray(places)[choice]


def _alone(solver: AbstractSolver, system: Float[Array, "n n"]) -> object:
    return state_of(solver, (system,), None)[0]
