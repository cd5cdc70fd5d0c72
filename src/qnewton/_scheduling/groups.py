"""Equal systems under one scheduler: who could win is known before tracing, who does by the systems' numbers."""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._core.arrays import Number
from .._core.costs import Cost
from .._core.records import Access, Kind, Kinds, System, SystemEstimate
from .._core.status import Refusal, Verdict
from .._hardware import ClassicalMachine
from .._pricing.group import Group, price_group
from .._pricing.need import residual_for
from .._pricing.offers import Offers
from .._pricing.policies.base import NONE_YET, Turn
from .._solvers import AbstractSolver
from .._solvers.verified import Care
from .branches import set_up
from .group_plan import GroupPlan
from .hybrid import Hybrid
from .union import StateUnion

_UNSCALED = Care(verify=False, scale=False)
_SCALED = Care(verify=False, scale=True)

Factors = tuple[Float[Array, "count n n"], ...]


class GroupState(eqx.Module):
    """A group that is set up: it serves the steps until the next refresh.

    Attributes:
        plan: who solves.
        slots: states of the chosen candidate, one for each system, in the arrays of the union.
        log_condition_numbers: of the systems as estimated; 0 where nothing was.
        sound: of each system, whether everything in its state is finite.
    """

    plan: GroupPlan
    slots: tuple[Array, ...]
    log_condition_numbers: Float[Array, " count"]
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
    """

    scheduler: Hybrid
    group: Group
    machine: ClassicalMachine
    least: Offers
    most: np.ndarray

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The candidates that are compiled: those of which the acting set's choice may be one."""
        least = np.asarray(self.least.seconds[0])
        return self.scheduler.policy.contenders(self.scheduler.names, least, self.most[0])

    @property
    def estimates(self) -> bool:
        """Whether the choice, or what is chosen, depends on the condition number."""
        return len(self.kept) > 1 or self.solvers[0].capabilities.quantum

    @property
    def solvers(self) -> tuple[AbstractSolver, ...]:
        """The candidates that are compiled."""
        return tuple(self.scheduler.solvers[i] for i in self.kept)

    @property
    def _size(self) -> np.ndarray:
        group = self.group
        return np.array([group.rows, group.count, group.vectors, group.serves], np.int32)

    @property
    def settled(self) -> GroupPlan:
        """The plan where nothing is estimated: constants."""
        # Not kept: an array that is made while a step is traced belongs to its trace.
        return jax.tree.map(jnp.asarray, self._settled)

    @cached_property
    def _settled(self) -> GroupPlan:
        least, dtype, rows = self.least, np.dtype(self.group.dtype), np.arange(len(self.most))
        kept = np.isin(np.arange(len(self.scheduler.solvers)), self.kept)
        # Under another set the bounds may leave it open.
        best = np.argmin(np.where(least.feasible, least.seconds, np.inf), axis=1)
        choice = np.where(np.isfinite(self.most[rows, best]), best, NONE_YET).astype(np.int32)
        choice[0] = self.kept[0]
        refusal = np.where(least.feasible & ~kept, Refusal.UNDERCUT, least.refusal).astype(np.int32)
        offers = replace(least, refusal=refusal, feasible=refusal == Refusal.NONE)
        offers = jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, offers)
        verdict = np.full(len(rows), Verdict.CHOSEN, np.int32)
        fields: Any = (self._size, offers, choice, verdict, np.zeros((), bool))
        return GroupPlan(self.group.name, *fields)

    def blank(self) -> GroupState:
        """Before the first set-up: zeros in its shapes."""
        count, dtype = self.group.count, jnp.dtype(self.group.dtype)
        factors = tuple(jax.ShapeDtypeStruct((count, n, n), dtype) for n in self.group.factors)
        floors = tuple(jax.ShapeDtypeStruct((count,), dtype) for _ in self.group.factors)
        shapes = eqx.filter_eval_shape(self.set_up, factors, floors)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def set_up(self, factors: Factors, floors: tuple[Float[Array, " count"], ...]) -> GroupState:
        """Choose, and set the chosen candidate up for every system.

        Args:
            factors: the systems' matrices, symmetric, damping included.
            floors: proven lower bounds on the factors' eigenvalues.
        """
        if not self.estimates:
            return set_up_all([self], [(factors, floors)])[0]
        estimates = _each(lambda pair: self._estimate(*pair), (factors, floors))
        plan, index = self._planned(estimates)
        given = factors, estimates

        def branch(k: int) -> Callable:
            def all_of(given: tuple) -> tuple[Array, ...]:
                return _each(lambda one: self._union(*one).pack(k, _state(self.solvers[k], *one)), given)

            return all_of

        slots = _switch(index, [branch(k) for k in range(len(self.kept))], given)
        log_kappas = functools.reduce(operator.add, [one.log_condition_number for one in estimates])
        return self._state(plan, slots, log_kappas)

    def settled_state(self, states: tuple[object, ...]) -> GroupState:
        """Where one candidate is left: from its states of each factor, those of all systems stacked."""
        dtype, count = jnp.dtype(self.group.dtype), self.group.count
        shapes = tuple(jax.ShapeDtypeStruct((n, n), dtype) for n in self.group.factors)
        return self._state(self.settled, self._union(shapes, None).pack(0, states), jnp.zeros(count, dtype))

    def opened(
        self, systems: Sequence[Float[Array, "n n"]], floors: Float[Array, " count"]
    ) -> tuple[GroupPlan, Callable[[Float[Array, "count n"]], Float[Array, "count n"]]]:
        """Plain systems that serve one step: the plan, and the solve, which may be called several times.

        Where nothing is estimated every system has a program of its own, so that they may run at once.

        Args:
            systems: symmetric, damping included.
            floors: proven lower bounds on their eigenvalues.
        """
        if self.estimates or self.solvers[0].capabilities.matrix_free:
            state = self.set_up((jnp.stack(systems),), (floors,))
            return state.plan, lambda right: self.solve(state, right[:, :, None])[0][:, :, 0]
        states = [_state(self.solvers[0], (system,), None)[0] for system in systems]

        def solve(right: Float[Array, "count n"]) -> Float[Array, "count n"]:
            pairs = zip(states, right, strict=True)
            return jnp.stack([self.solvers[0].compute(state, b, {})[0] for state, b in pairs])

        return self.settled, solve

    @property
    def reads(self) -> str | None:
        """The triangle that is enough for every candidate that is compiled; None where one reads both."""
        found = {solver.triangle for solver in self.solvers} if not self.estimates else {None}
        return found.pop() if len(found) == 1 else None

    def solve(
        self, state: GroupState, vectors: Float[Array, "count a b"]
    ) -> tuple[Float[Array, "count a b"], Bool[Array, " count"]]:
        """Every system's solution, and whether it is one.

        Args:
            state: as set up.
            vectors: right-hand sides: of a plain system as columns `[n, vectors]`; of a Kronecker product `A kron G`
                the matrix `V` `[i, a]`, whose solution is `A^-1 V G^-1`.
        """

        def branch(k: int) -> Callable:
            def all_of(given: tuple) -> Float[Array, "count a b"]:
                solver = self.solvers[k]
                each = jax.vmap if solver.applied_as == "product" else (lambda f: partial(_each, f))
                return each(lambda one: self._solve_one(k, *one))(given)

            return all_of

        given = state.slots, state.log_condition_numbers, vectors
        index = self._place(state.plan)
        solved = _switch(index, [branch(k) for k in range(len(self.kept))], given)
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
            return _iterated(solver, state, vectors, wanted)

        def columns(state: object, right: Float[Array, "n k"]) -> Float[Array, "n k"]:
            return jax.vmap(lambda b: solver.compute(state, b, {})[0], in_axes=1, out_axes=1)(right)

        if len(state) == 1:
            return columns(state[0], vectors)
        return columns(state[1], columns(state[0], vectors).T).T

    def _state(self, plan: GroupPlan, slots: tuple[Array, ...], log_kappas: Float[Array, " count"]) -> GroupState:
        sound = jnp.ones(self.group.count, bool)
        for slot in slots:
            if jnp.issubdtype(slot.dtype, jnp.floating):
                # One sum instead of as many comparisons: what is not finite stays so.
                sound &= jnp.isfinite(jnp.sum(jnp.abs(slot).reshape(self.group.count, -1), axis=1))
        return GroupState(plan, slots, log_kappas, sound)

    def _union(self, factors: tuple, estimates: tuple[SystemEstimate, ...] | None) -> StateUnion:
        like = tuple(jax.ShapeDtypeStruct(one.shape, one.dtype) for one in factors)
        return StateUnion([eqx.filter_eval_shape(partial(_state, one), like, estimates) for one in self.solvers])

    @cached_property
    def _abstract_estimates(self) -> tuple[SystemEstimate, ...] | None:
        if not self.estimates:
            return None
        dtype = jnp.dtype(self.group.dtype)
        factors = tuple(jax.ShapeDtypeStruct((n, n), dtype) for n in self.group.factors)
        floors = tuple(jax.ShapeDtypeStruct((), dtype) for _ in factors)
        return eqx.filter_eval_shape(self._estimate, factors, floors)

    def _estimate(self, factors: tuple[Array, ...], floors: tuple[Array, ...]) -> tuple[SystemEstimate, ...]:
        return tuple(
            self.scheduler.estimator(System.of(one, symmetric=True, eigenvalue_floor=floor))
            for one, floor in zip(factors, floors, strict=True)
        )

    def _planned(self, estimates: tuple[SystemEstimate, ...]) -> tuple[GroupPlan, Int[Array, ""]]:
        worst = jnp.argmax(functools.reduce(operator.add, [one.log_condition_number for one in estimates]))
        product = _product(self.group, [jax.tree.map(lambda leaf: leaf[worst], one) for one in estimates])
        priced = price_group(
            self.group, product, self.solvers, self.scheduler.assumptions, self.machine, self.scheduler.quantum
        )
        # One table for all candidates: what was not compiled asks at least what its bound says.
        settled = self.settled.offers
        merged = {
            name: getattr(settled, name).at[..., np.asarray(self.kept)].set(getattr(priced, name))
            for name in (
                "seconds",
                "feasible",
                "fixed_seconds",
                "refusal",
                "queries",
                "copies",
                "success_probability",
                "clamped",
                "expected_steps",
            )
        }
        offers = replace(settled, log_condition_number=product.log_condition_number, **merged)
        turn = Turn.first(len(offers.seconds), [1.0] * len(offers.names), 1.0, offers.seconds.dtype)
        choices = [self.scheduler.policy.choose(offers.under(row), turn.under(row)) for row in range(len(turn.last))]
        passed_over = jnp.stack([choice.refusal for choice in choices])
        offers = replace(offers, refusal=jnp.where(offers.feasible, passed_over, offers.refusal))
        choice = jnp.stack([choice.index for choice in choices]).astype(jnp.int32)
        verdict, size = jnp.stack([one.verdict for one in choices]), jnp.asarray(self._size)
        plan = GroupPlan(self.group.name, size, offers, choice, verdict, jnp.ones((), bool))
        return plan, self._place(plan)

    def _place(self, plan: GroupPlan) -> Int[Array, ""]:
        """Of the acting choice among the candidates that are compiled."""
        places = np.zeros(len(self.scheduler.solvers), np.int32)
        places[list(self.kept)] = np.arange(len(self.kept))
        return jnp.asarray(places)[plan.choice[0]]


def set_up_all(
    solvers: Sequence[GroupSolver], given: Sequence[tuple[Factors, tuple[Float[Array, " count"], ...]]]
) -> list[GroupState]:
    """Every group set up; equal factors of different groups by one program, where nothing is estimated.

    Args:
        solvers: of the groups.
        given: of each, what its `set_up` takes.
    """
    together: dict[tuple[AbstractSolver, int], list[tuple[int, int]]] = {}
    for k, (solver, (factors, _)) in enumerate(zip(solvers, given, strict=True)):
        if not solver.estimates:
            for side, stack in enumerate(factors):
                together.setdefault((solver.solvers[0], stack.shape[-1]), []).append((k, side))
    states: dict[tuple[int, int], object] = {}
    for (chosen, _), places in together.items():
        stacks = [given[k][0][side] for k, side in places]
        joint = _each(lambda one, chosen=chosen: _state(chosen, one, None)[0], (jnp.concatenate(stacks),))
        ends = np.cumsum([len(stack) for stack in stacks])
        for place, end, stack in zip(places, ends, stacks, strict=True):
            part = slice(end - len(stack), end)
            states[place] = jax.tree.map(lambda leaf, part=part: leaf[part] if eqx.is_array(leaf) else leaf, joint)
    found = []
    for k, (solver, (factors, floors)) in enumerate(zip(solvers, given, strict=True)):
        if solver.estimates:
            found.append(solver.set_up(factors, floors))
        else:
            found.append(solver.settled_state(tuple(states[k, side] for side in range(len(factors)))))
    return found


def _state(
    solver: AbstractSolver, factors: tuple[Array, ...], estimates: tuple[SystemEstimate, ...] | None
) -> tuple[object, ...]:
    """What a candidate keeps of one system: the factors themselves where it only multiplies."""
    if solver.capabilities.matrix_free and not solver.capabilities.quantum:
        return factors
    known = [None] * len(factors) if estimates is None else estimates
    return tuple(set_up(solver, one, True, estimate, _UNSCALED) for one, estimate in zip(factors, known, strict=True))


def _iterated(
    solver: AbstractSolver, factors: tuple[Array, ...], vectors: Float[Array, "a b"], residual: Number | None
) -> Float[Array, "a b"]:
    """By products alone, to the residual that the step bears."""
    options = {} if residual is None else {"rtol": residual}
    if len(factors) == 1:
        like = jax.ShapeDtypeStruct(vectors.shape[:1], vectors.dtype)
        system = lx.FunctionLinearOperator(lambda v: factors[0] @ v, like, lx.positive_semidefinite_tag)
        state = solver.init(system, _SCALED._asdict())
        return jax.vmap(lambda b: solver.compute(state, b, options)[0], in_axes=1, out_axes=1)(vectors)
    left, right = factors

    def product(v: Float[Array, " n"]) -> Float[Array, " n"]:
        return (left @ v.reshape(vectors.shape) @ right).reshape(-1)

    like = jax.ShapeDtypeStruct((vectors.size,), vectors.dtype)
    system = lx.FunctionLinearOperator(product, like, lx.positive_semidefinite_tag)
    state = solver.init(system, _SCALED._asdict())
    return solver.compute(state, vectors.reshape(-1), options)[0].reshape(vectors.shape)


def _product(group: Group, factors: Sequence[SystemEstimate]) -> SystemEstimate:
    """The numbers of a Kronecker product: norms, entries, degrees and condition numbers multiply."""
    if len(factors) == 1:
        return factors[0]
    first, second = factors
    like = first.max_entry.dtype
    return replace(
        first,
        n=group.rows,
        degree=first.degree * second.degree,
        max_entry=first.max_entry * second.max_entry,
        frobenius_norm=first.frobenius_norm * second.frobenius_norm,
        spectral_norm=first.spectral_norm * second.spectral_norm,
        log_condition_number=first.log_condition_number + second.log_condition_number,
        definite=first.definite & second.definite,
        presumed_definite=first.presumed_definite & second.presumed_definite,
        matvecs=first.matvecs + second.matvecs,
        access=Access.of(group.product, Cost(0.0, 0.0), Cost(0.0, 0.0), 0, like),
        formed_kinds=Kinds.all(Kind.ESTIMATE),
        recurrence=None,
        kind_index=None,
    )


def _each(function: Callable, given: tuple) -> Any:
    """Of every system, by one program; never a batch of factorisations, see `_curvature.roots.factors`."""
    if jax.tree.leaves(given)[0].shape[0] == 1:
        alone = function(jax.tree.map(lambda leaf: leaf[0], given))
        return jax.tree.map(lambda leaf: leaf[None], alone)
    return jax.lax.map(function, given)


def _switch(index: Int[Array, ""], branches: list[Callable], given: tuple) -> Any:
    return branches[0](given) if len(branches) == 1 else jax.lax.switch(index, branches, given)
