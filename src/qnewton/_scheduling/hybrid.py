"""The scheduler as a linear solver."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int, PyTree

from .._core.kinds import check_kind, check_kinds
from .._core.operators import block_of
from .._core.records import System, SystemEstimate
from .._core.settings import own_promotion
from .._core.status import Refusal, Verdict
from .._core.trees import ravel, unravel
from .._estimation import AbstractEstimator, Automatic
from .._hardware import ClassicalMachine, QuantumMachine
from .._pricing.assumptions import AbstractAssumptions, paper
from .._pricing.policies import AbstractPolicy, Fastest, Turn
from .._pricing.price import price
from .._solvers import LU, QLSA, AbstractSolver, Cholesky
from .._solvers.flat import dtype_of, without_tags
from .._solvers.verified import Care
from .branches import Known, set_up, solve, solve_once, switch, union_of
from .calibration import agreed, rated_once
from .candidates import check_candidate
from .conditioned import Conditioned
from .own_systems import Setting, own_systems
from .plan import Plan, make_plan
from .union import StateUnion

if TYPE_CHECKING:
    from .sent import Crew


def _listed(solvers: object) -> tuple[Any, ...]:
    if not isinstance(solvers, Iterable):
        raise TypeError(f"Hybrid takes a list of candidates and got one {type(solvers).__name__}: write Hybrid([...])")
    return (solvers,) if isinstance(solvers, str) else tuple(solvers)


def _sets(assumptions: Sequence[AbstractAssumptions]) -> tuple[AbstractAssumptions, ...]:
    check_kinds(assumptions, AbstractAssumptions, "Hybrid: assumptions", "paper()")
    return tuple(assumptions)


class HybridState(eqx.Module):
    """A plan, and the factorisation by the candidate that it chose; or the operator, if it was not formed.

    Attributes:
        plan: for the system.
        slots: the chosen candidate's state, in the arrays of the union; empty where there is an operator.
        operator: that the chosen candidate sets up and solves in `compute`, since it was not formed or since there is
            to be one solve; None for a matrix that is factorised.
        known: what is known of the system besides its matrix, and what is left to the chosen candidate.
    """

    plan: Plan
    slots: tuple[Array, ...]
    operator: lx.AbstractLinearOperator | None
    in_structure: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)
    out_structure: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)
    transposed: bool = eqx.field(static=True)
    known: Known


class Hybrid(lx.AbstractLinearSolver[HybridState]):
    """Scheduler that gives each system to the candidate with the least predicted seconds.

    A `lineax.AbstractLinearSolver`, so `lineax.linear_solve(operator, vector, solver=Hybrid())` schedules one system;
    the solution's `stats["plan"]` is its `Plan`. The choice is traced: one branch of a `lax.switch` runs, and nothing
    recompiles when the choice changes. Do not `vmap` it: a batched switch runs every branch.

    A curvature block (`_core.operators.AbstractCurvatureOperator`, alone or `Shifted`) stays unformed if a candidate is
    `matrix_free` and the estimator does without the matrix: the chosen branch alone forms it, and only if its candidate
    needs it, for which that candidate was charged. Candidates then set up in `compute`, as often as that is called. One
    that needs a structure which the operator does not have is infeasible (`Offers.refusal`). Everything else, `QLSA`'s
    stand-in included, is formed once.

    A candidate with conditioning of its own (`qnewton.solvers.Conditioned`) solves another system than the others do.
    It is priced by an estimate of that system, and it alone pays for both. It receives a matrix, and its solution is
    judged by the system of the others.

    Mark the operator with `lineax.symmetric_tag` or `lineax.positive_semidefinite_tag` where it has that property. The
    linear-solve option `eigenvalue_floor` (scalar) states a proven lower bound on the smallest eigenvalue; `estimate`
    (a `SystemEstimate`) is taken for the system's, and the estimator not asked; `turn` (a `Turn`) is the system's place
    in a training, by default a first solve that is all there is; `verify` (default True) has the chosen candidate
    compare its residual with what it claims (`_solvers.verified`), which takes one product; `scale` (default True) has
    it take the right-hand side to a largest entry near 1 first.

    Attributes:
        solvers: the candidates; ties go to the first.
        estimator: finds the condition number that quantum costs depend on.
        classical: calibration of the machine that runs classical candidates. None: a profile, scaled by a probe of a
            tenth of a second when first traced (`_hardware.rated`); `qnewton.calibrate` measures kernel by kernel.
        quantum: the machine that quantum candidates are charged on; sets that correct errors need its profile.
        assumptions: what a quantum solve is charged for; the first set acts, the others are recorded.
        policy: how predictions become a choice.
        solves: right-hand sides that one set-up of a system serves, at least 1: a candidate is charged for its
            factorisation, and for forming the block, by as much less.
        second: another estimator, whose numbers are recorded (`Plan.second`) and decide nothing: the true condition
            number, say, beside a bound that acts. It costs what it costs in every step. None: there is none.
        workers: `qnewton.Workers` that solve the blocks of `newton` at once. None: the step solves them itself.
    """

    solvers: tuple[AbstractSolver, ...] = eqx.field(converter=_listed, default=(Cholesky(fallback=True), LU(), QLSA()))
    estimator: AbstractEstimator = Automatic()
    classical: ClassicalMachine | None = None
    quantum: QuantumMachine = QuantumMachine()
    assumptions: tuple[AbstractAssumptions, ...] = eqx.field(converter=_sets, default=(paper(),))
    policy: AbstractPolicy = Fastest()
    solves: int = eqx.field(static=True, default=1)
    second: AbstractEstimator | None = None
    workers: "Crew | None" = eqx.field(static=True, default=None)

    def __check_init__(self):
        if not (isinstance(self.solves, int) and self.solves >= 1):
            raise ValueError(
                f"solves is {self.solves}: right-hand sides that one set-up serves, an integer of at least 1"
            )
        check_kind(self.estimator, AbstractEstimator, "Hybrid: estimator", "Automatic()")
        check_kind(self.policy, AbstractPolicy, "Hybrid: policy", "Fastest()")
        check_kind(self.quantum, QuantumMachine, "Hybrid: quantum", "QuantumMachine(gate_time_s=50e-9)")
        check_kind(self.classical, (ClassicalMachine, type(None)), "Hybrid: classical", "calibrate(solvers), or None")
        check_kind(self.second, (AbstractEstimator, type(None)), "Hybrid: second", "Exact(), or None")
        if not self.solvers:
            raise ValueError("Hybrid got no candidates: pass at least one solver, e.g. Hybrid([LU(), QLSA()])")
        if not self.assumptions:
            raise ValueError("Hybrid got no assumption set: pass at least one, e.g. assumptions=[paper()]")
        for solver in self.solvers:
            check_candidate(solver)
        for what, names in (("solver", self.names), ("assumption set", tuple(a.name for a in self.assumptions))):
            if len(set(names)) < len(names):
                raise ValueError(f"Hybrid got the same {what} twice: {', '.join(names)}. Records tell them by name")
        for name, prior in zip(self.names, self._priors, strict=True):
            if not 0 < prior <= 1:
                raise ValueError(f"the prior of {name} is {prior}: a share of iterations, which must lie in (0, 1]")
        for assumed in self.assumptions:
            assumed.check(self.quantum)

    @property
    def names(self) -> tuple[str, ...]:
        """The candidates' names, in the order of a plan's columns."""
        return tuple(solver.name for solver in self.solvers)

    def keeps_unformed(self, *, floor: bool) -> bool:
        """Return whether a symmetric block is best passed as an operator.

        Args:
            floor: whether the system has an eigenvalue floor.
        """
        estimators = [self.estimator] if self.second is None else [self.estimator, self.second]
        needed = any(estimator.needs_matrix(floor=floor) for estimator in estimators)
        asked = any(solver.capabilities.matrix_free for solver in self.solvers) or self._leaves_forming
        return asked and not needed

    @property
    def _leaves_forming(self) -> bool:
        """Whether workers may form blocks: what that takes is priced."""
        return self.workers is not None and (self.classical is None or self.classical.forms)

    def never_forms(self, *, floor: bool) -> bool:
        """Return whether no candidate needs a matrix, so that blocks may be larger than memory."""
        return self.keeps_unformed(floor=floor) and all(solver.capabilities.matrix_free for solver in self.solvers)

    def first_turn(self, share: float, dtype: jnp.dtype) -> Turn:
        """Return a block's position in the first step.

        Args:
            share: of the step's rows that are the block's.
            dtype: of the systems.
        """
        return self._turn(self._priors, share, dtype)

    @property
    def iterates(self) -> bool:
        """Whether a candidate's cost depends on iterations, which observed counts correct between steps."""
        return any(solver.capabilities.iterative for solver in self.solvers)

    def observed(
        self, factors: Float[Array, " candidates"], plan: Plan, iterations: Int[Array, ""]
    ) -> Float[Array, " candidates"]:
        """Return the next `Turn.factors`, from the acting choice's iterations in this turn.

        Only counts enter, never seconds, so that a run decides the same on a busy machine. The new factor is the
        geometric mean of the last one and of the one that would have been right, within a hundredfold. If the last one
        is an uninformed prior, the latter alone is used.

        Args:
            factors: of this turn.
            plan: of this turn.
            iterations: as the solver reports them; 0 of one that does not iterate.
        """
        choice = plan.choice[0]
        expected = plan.offers.expected_steps[choice]
        seen = (iterations > 0) & (expected > 0) & (plan.verdict[0] != Verdict.NOBODY)
        right = jnp.where(seen, iterations, 1).astype(factors.dtype) / jnp.where(seen, expected, 1)
        priors = jnp.asarray(self._priors, factors.dtype)[choice]
        guessed = (priors < 1) & (factors[choice] == priors)
        return factors.at[choice].multiply(jnp.where(guessed, right, jnp.sqrt(right))).clip(1e-2, 1e2)

    def plan(self, system: System, estimate: SystemEstimate | None = None, turn: Turn | None = None) -> Plan:
        """Estimate a system, predict every candidate and choose, without solving.

        Args:
            system: to plan for.
            estimate: of it, where there is one already.
            turn: its place in a training; None: a first solve that is all there is.

        Raises:
            ValueError: if the classical machine was calibrated for another dtype, or the policy does not fit the
                candidates.
        """
        dtype = str(system.like.dtype)
        classical = self._machine(dtype)
        if classical.dtype != dtype:
            raise ValueError(
                f"the system is {dtype} and the classical machine was calibrated for {classical.dtype}: calibrate with "
                f"qnewton.calibrate(solvers, dtype={dtype!r})"
            )
        estimate = self.estimator(system) if estimate is None else estimate
        # Of a system that nobody comes back to, what a prior hopes for would never be put right.
        turn = self._turn([1.0] * len(self.solvers), 1.0, system.like.dtype) if turn is None else turn
        offers, own = self._offers(system, estimate, turn, classical)
        second = None if self.second is None else self.second(system)
        return make_plan(estimate, offers, self.policy, turn, second, own)

    def seconds_on(
        self, classical: ClassicalMachine, system: System, estimate: SystemEstimate, turn: Turn | None
    ) -> Float[Array, " candidates"]:
        """Return what each candidate is predicted to take on another machine; infinite where it cannot take the system.

        Args:
            classical: the other machine.
            system: as of `plan`.
            estimate: of it.
            turn: likewise.
        """
        turn = self._turn([1.0] * len(self.solvers), 1.0, system.like.dtype) if turn is None else turn
        offers, _ = self._offers(system, estimate, turn, classical)
        return jnp.where(offers.able[0], offers.seconds[0], jnp.inf)

    def _offers(self, system: System, estimate: SystemEstimate, turn: Turn, classical: ClassicalMachine) -> Any:
        """Return the offers, and the estimates of systems that candidates have of their own."""
        refusals = [self._refusal(i, system) for i in range(len(self.solvers))]
        setting = Setting(
            self.solvers, self.estimator, self.assumptions, classical, self.quantum, self.policy, self.solves
        )
        own, priced = own_systems(setting, system, estimate, refusals, turn.factors)
        offers = price(
            estimate,
            self.solvers,
            self.assumptions,
            classical,
            self.quantum,
            refusals=refusals,
            formed=system.is_formed,
            factors=turn.factors,
            solves=self.solves,
            own=priced,
        )
        return offers, own

    def _machine(self, dtype: str) -> ClassicalMachine:
        if self.classical is None:
            return rated_once(self.solvers, dtype, forming=self.workers is not None)
        return agreed(self.classical, self.solvers)

    @own_promotion()
    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> HybridState:
        """Plan the system and factorise it with the chosen candidate.

        Args:
            operator: the system.
            options: `eigenvalue_floor`, `estimate` and `turn`, what is known of the system and its place in a training;
                `layout`, where the matrices of layers lie in it, for candidates with conditioning of their own; `once`,
                that there will be one right-hand side, so that `compute` sets up and solves together: a state that fits
                every candidate costs copies of the matrix, which show below a thousand rows.
        """
        if operator.in_size() != operator.out_size():
            raise ValueError(
                f"Hybrid solves square systems, got an operator of shape ({operator.out_size()}, {operator.in_size()})"
            )
        if jnp.issubdtype(dtype_of(operator), jnp.complexfloating):
            raise ValueError(
                f"Hybrid solves real systems, got {dtype_of(operator)}: use LU, or Cholesky, Eigh, CG or MINRES for a "
                "definite one"
            )
        symmetric = lx.is_symmetric(operator) or lx.is_positive_semidefinite(operator)
        floor = options.get("eigenvalue_floor")
        if floor is not None and not symmetric:
            raise ValueError(
                "Hybrid got an eigenvalue_floor for an operator that is not known to be symmetric: tag the operator "
                "with lineax.symmetric_tag, or omit the option"
            )
        structures = operator.in_structure(), operator.out_structure()
        # Nobody else asks for them.
        asked = any(isinstance(solver, Conditioned) for solver in self.solvers)
        known = Known(symmetric, Care.of(options), *((options.get("layout"), floor) if asked else ()))
        of_system = {"symmetric": symmetric, "eigenvalue_floor": floor, "layout": known.layout}
        of_plan = options.get("estimate"), options.get("turn")
        if block_of(operator) is not None and self.keeps_unformed(floor=floor is not None):
            bare = without_tags(operator)
            plan = self.plan(System.over(bare, **of_system), *of_plan)
            return HybridState(plan, (), bare, *structures, False, known)
        matrix = lx.MatrixLinearOperator(operator.as_matrix(), lx.symmetric_tag if symmetric else ())
        plan = self.plan(System.over(matrix, **of_system), *of_plan)
        if options.get("once", False):
            return HybridState(plan, (), matrix, *structures, False, known)
        union = self._union(matrix.matrix, known, plan)
        branches = [
            lambda m, e, i=i, one=one: union.pack(i, set_up(one, m, known, e[i])) for i, one in enumerate(self.solvers)
        ]
        slots = switch(plan.choice[0], branches, matrix.matrix, self._estimates(plan))
        return HybridState(plan, slots, None, *structures, False, known)

    @own_promotion()
    def compute(
        self, state: HybridState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve with the stored factorisation, or set up and solve where the operator was not formed.

        Returns:
            The solution, NaN where no candidate could take the system; how it went; and `plan`; `num_steps` of an
            iterative candidate, 0 of any other; and `executed`, what an emulated candidate's circuits did.
        """
        flat = ravel(jax.tree.leaves(vector))
        if state.operator is not None:
            # Closed over: an operator of functions that are being traced cannot be an operand of the switch.
            branches = [
                partial(solve_once, one, state.operator, state.known, estimate)
                for one, estimate in zip(self.solvers, self._estimates(state.plan), strict=True)
            ]
            value, result, steps, executed = switch(state.plan.choice[0], branches, flat)
        else:
            matrix = jax.ShapeDtypeStruct((flat.size, flat.size), flat.dtype)
            union = self._union(matrix, state.known, state.plan)
            branches = [
                lambda slots, b, i=i, one=one: solve(one, union.unpack(i, slots), state.transposed, b)
                for i, one in enumerate(self.solvers)
            ]
            value, result, steps, executed = switch(state.plan.choice[0], branches, state.slots, flat)
        # No candidate could take it: say so by NaN rather than pass off whatever the first one returned.
        nobody = state.plan.verdict[0] == Verdict.NOBODY
        value = jnp.where(nobody, jnp.nan, value)
        result = lx.RESULTS.where(nobody & (result == lx.RESULTS.successful), lx.RESULTS.singular, result)
        leaves, structure = jax.tree.flatten(state.in_structure)
        stats = {"plan": state.plan, "num_steps": steps, "executed": executed}
        return jax.tree.unflatten(structure, unravel(value, leaves)), result, stats

    def transpose(self, state: HybridState, options: dict[str, Any]) -> tuple[HybridState, dict[str, Any]]:
        if state.operator is not None and not state.known.symmetric:
            raise ValueError("Hybrid got the option `once` for an unsymmetric operator, which keeps no transpose")
        # The transpose maps the other way, so its solutions have the structure of the vectors.
        ends = state.out_structure, state.in_structure
        return HybridState(state.plan, state.slots, state.operator, *ends, not state.transposed, state.known), options

    def conj(self, state: HybridState, options: dict[str, Any]) -> tuple[HybridState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True

    def _estimates(self, plan: Plan) -> tuple[SystemEstimate, ...]:
        """Return the estimate of each candidate's system."""
        return tuple(plan.estimate_for(i) for i in range(len(self.solvers)))

    def _union(self, matrix: Array | jax.ShapeDtypeStruct, known: Known, plan: Plan) -> StateUnion:
        return union_of(self.solvers, matrix, known, self._estimates(plan))

    def _turn(self, factors: Sequence[float], share: float, dtype: jnp.dtype) -> Turn:
        return Turn.first(len(self.assumptions), factors, share, dtype)

    @property
    def _priors(self) -> tuple[float, ...]:
        return tuple(solver.prior for solver in self.solvers)

    def _refusal(self, i: int, system: System) -> Refusal:
        if self.solvers[i].capabilities.needs_symmetric and not system.symmetric:
            return Refusal.NOT_SYMMETRIC
        return self.solvers[i].refuses(system.operator)
