"""Common parts of CG and MINRES: state, the caller's options, and the loop around the iteration."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Float, Inexact, Int, PyTree

from ..._core.arrays import Number, namespace
from ..._core.kinds import check_scalars
from ..._core.powers_of_two import lost_below, norm, scaled_by, unit_of
from ..._core.records import ClassicalWorkload, SystemEstimate
from ..._core.settings import own_promotion
from ..._core.status import Refusal
from ..base import AbstractSolver, Options
from ..capabilities import Capabilities
from ..flat import Product, check_square, dtype_of, flatten, is_complex, product, unflatten
from ..preconditioners import AbstractPreconditioner
from ..residual import Residual
from ..verified import Care, as_held, at_scale, judge
from .steps import krylov_workload

if TYPE_CHECKING:
    # What pyright takes an abstract class attribute for, which a property may fill as well.
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

RUNNING, BREAKDOWN, SINGULAR, STAGNATION = 0, 1, 2, 3


class KrylovState(eqx.Module):
    """The operator, linearised, and its preconditioner's state; None if the caller brings a preconditioner.

    `care` is what is left to the solver, and `negated` whether the operator is that of the negated system.
    """

    operator: lx.AbstractLinearOperator
    preconditioner: PyTree[Array]
    care: Care = eqx.field(static=True)
    negated: bool = eqx.field(static=True, default=False)


class KrylovSystem(eqx.Module):
    """One system in flat vectors, scaled so that `max |vector|` is near 1.

    Attributes:
        apply: product with the operator.
        precondition: application of the preconditioner.
        vector, start: right-hand side and initial guess.
        residual: of the guess.
        target: 2-norm of the residual at which to stop.
        max_steps: iterations at most.
    """

    apply: Product
    precondition: Product
    vector: Inexact[Array, " n"]
    start: Inexact[Array, " n"]
    residual: Inexact[Array, " n"]
    target: Float[Array, ""]
    max_steps: Int[Array, ""]


class Best(eqx.Module):
    """The iterate with the smallest residual so far.

    Attributes:
        value: the iterate.
        norm: 2-norm of its residual.
    """

    value: Inexact[Array, " n"]
    norm: Float[Array, ""]

    def or_better(self, value: Inexact[Array, " n"], norm: Float[Array, ""], allowed: Bool[Array, ""]) -> "Best":
        """Return the other iterate if it is allowed and has a smaller residual."""
        better = allowed & (norm < self.norm)
        return Best(jnp.where(better, value, self.value), jnp.where(better, norm, self.norm))


class _Rounds(eqx.Module):
    """Progress over restarts of the iteration, by the true residual."""

    best: Best
    residual: Inexact[Array, " n"]
    count: Int[Array, ""]
    status: Int[Array, ""]
    rounds: Int[Array, ""]
    moved: Bool[Array, ""]


class AbstractKrylov(AbstractSolver):
    """An iterative solver that uses the operator through products only.

    Real or Hermitian. What it claims is `rtol`, and the true residual decides, by one product where the iteration ends:
    its own, a recursion's, drifts off by rounding, in `MINRES` without bound. Where the true one is larger than
    claimed, the iteration starts anew from there as long as that helps; where it does not, the result is
    `RESULTS.stagnation`, since a residual of about `eps ||A|| ||x||` is all that rounding `x` allows: take a larger
    `rtol`, more damping or float64. An `rtol` below the rounding unit asks for what an exact solver claims, and is
    judged like one (`_solvers.verified`). A caller that passes the linear-solve option `verify=False` gets the
    recursion's word.

    It takes the linear-solve options `y0`, a first guess in the structure of the solution; `rtol`, which overrides its
    own; and `preconditioner`, a positive definite operator that replaces the solver's own. For the guess, the multiple
    with the least residual is used, which costs one more product.

    Attributes:
        rtol: stop where `||r||_2 <= rtol ||b||_2`.
        max_steps: iterations at most; None: 10 times the rows.
        preconditioner: of the iteration.
        needs_definite: whether the method is for positive definite operators alone.
    """

    rtol: eqx.AbstractVar[float]
    max_steps: eqx.AbstractVar[int | None]
    preconditioner: eqx.AbstractVar[AbstractPreconditioner]
    needs_definite: AbstractClassVar[bool]

    def __check_init__(self):
        check_scalars(self)
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol is {self.rtol}: it is relative to the right-hand side and must lie in (0, 1)")
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}: allow at least one iteration, or None for a default")
        if not isinstance(self.preconditioner, AbstractPreconditioner):
            raise TypeError(
                f"preconditioner is {self.preconditioner!r}: give one of ours, e.g. Jacobi() or KFAC(), or subclass "
                "AbstractPreconditioner; an operator is the linear-solve option of that name"
            )

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            iterative=True,
            matrix_free=True,
            needs_matrix=False,
            needs_layers=self.preconditioner.needs_layers,
            needs_symmetric=True,
            needs_definite=self.needs_definite,
            warm_start=True,
        )

    @property
    def _kind(self) -> str:
        return type(self).__name__

    @property
    def name(self) -> str:
        inner = self.preconditioner.name
        return self._kind if inner == "Identity" else f"{self._kind}({inner})"

    @property
    def prior(self) -> float:
        """Expected share of the iterations without a preconditioner."""
        return self.preconditioner.prior

    @property
    def stops_at(self) -> float | None:
        return self.rtol

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        return self.preconditioner.refuses(operator)

    @abc.abstractmethod
    def admit(self, operator: lx.AbstractLinearOperator) -> tuple[lx.AbstractLinearOperator, bool]:
        """Refuse an operator without the tags that the method needs.

        Returns:
            The operator of the system that is solved, and whether that is the negated one.

        Raises:
            ValueError: says which tag is missing.
        """

    @abc.abstractmethod
    def iterate(self, problem: KrylovSystem) -> tuple[Best, Int[Array, ""], Int[Array, ""]]:
        """The best iterate, the number of steps, and `RUNNING`, `BREAKDOWN` or `SINGULAR`."""

    @abc.abstractmethod
    def steps(self, estimate: SystemEstimate) -> Number:
        """Return the expected iterations, from the Lanczos iteration behind the estimate if there is one.

        Never more than the bound for the worst spectrum with this condition number, which is all that is known without.
        """

    @own_promotion()
    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> KrylovState:
        """Set up the preconditioner.

        Raises:
            ValueError: if the operator is not square and tagged as needed, or lacks what the preconditioner is built
                from.
        """
        check_square(operator, self._kind)
        operator, negated = self.admit(operator)
        linear = lx.linearise(operator)
        built = None if "preconditioner" in options else self.preconditioner.init(linear)
        return KrylovState(linear, built, Care.of(options), negated)

    @own_promotion()
    def compute(
        self, state: KrylovState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve by iteration.

        Returns:
            The iterate with the smallest residual; `RESULTS.successful`, `max_steps_reached`, `stagnation` (rounding
            allows no more), `breakdown` (the operator or the preconditioner is not what its tag says) or `singular`
            (also: not finite); and `num_steps`, `max_steps` and `residual`, the returned iterate's `||r||_2 / ||b||_2`.
        """
        apply, true = product(state.operator), Residual.of(state.operator)
        # Squares of the entries stay inside the floating-point range.
        given = flatten(vector).astype(dtype_of(state.operator))
        b, exponent = state.care.near_one(-given if state.negated else given)
        length = norm_of(b)
        start, residual = jnp.zeros_like(b), b
        if "y0" in options:
            guess = flatten(options["y0"]).astype(b.dtype)
            start, residual = _least_multiple(apply, guess if exponent is None else scaled_by(guess, -exponent), b)
            if state.care.verify and not true.off:
                residual = true.left(start, b)
        max_steps = 10 * b.size if self.max_steps is None else self.max_steps
        problem = KrylovSystem(
            apply,
            self._precondition(state, options),
            b,
            start,
            residual,
            options.get("rtol", self.rtol) * length,
            jnp.asarray(max_steps, jnp.int32),
        )
        best, num_steps, result = (
            self._verified(problem, true, exponent) if state.care.verify else self._trusted(problem)
        )
        stats = {
            "num_steps": num_steps,
            "max_steps": max_steps,
            "residual": best.norm / jnp.where(length == 0, 1, length),
        }
        value, result = at_scale(best.value, exponent, result)
        return unflatten(value, state.operator.in_structure()), result, stats

    def _trusted(self, problem: KrylovSystem) -> tuple[Best, Int[Array, ""], lx.RESULTS]:
        best, count, status = self.iterate(problem)
        result = lx.RESULTS.where(best.norm <= problem.target, lx.RESULTS.successful, lx.RESULTS.max_steps_reached)
        return best, count, _where_failed(status, result)

    def _verified(
        self, problem: KrylovSystem, true: Residual, exponent: Int[Array, ""] | None
    ) -> tuple[Best, Int[Array, ""], lx.RESULTS]:
        """Iterate, with the true residual recomputed, until it meets the tolerance or falls no more."""
        b = problem.vector

        def good(best: Best, residual: Inexact[Array, " n"]) -> Bool[Array, ""]:
            reached = (best.norm <= problem.target) & jnp.isfinite(best.norm)
            reached &= lost_below(best.value) <= 0.01 * problem.target
            if self.rtol >= jnp.finfo(b.dtype).eps:
                return reached
            # The size that the operator is seen to have; never more than its norm.
            size = norm_of(b - residual) / _positive(norm(best.value))
            return reached | judge(residual, best.value, b, size, off=true.off)[0]

        def proceed(last: _Rounds) -> Bool[Array, ""]:
            untried = last.rounds == 0
            more = last.moved & (last.status == RUNNING) & (last.count < problem.max_steps)
            return ~good(last.best, last.residual) & (untried | more)

        def advance(last: _Rounds) -> _Rounds:
            left = problem.max_steps - last.count
            fields = problem.apply, problem.precondition, b, last.best.value, last.residual, problem.target, left
            found, count, status = self.iterate(KrylovSystem(*fields))
            value = as_held(found.value, exponent)
            residual = true.left(value, b)
            length = norm_of(residual)
            better = length < last.best.norm
            return _Rounds(
                best=last.best.or_better(value, length, jnp.ones((), bool)),
                residual=jnp.where(better, residual, last.residual),
                count=last.count + count,
                # Of a later round, that rounding has got the upper hand: no fault of the operator.
                status=jnp.where(last.rounds == 0, status, jnp.where(status == RUNNING, RUNNING, STAGNATION)),
                rounds=last.rounds + 1,
                # Nothing falls below zero: a residual of zero that proves nothing would be tried for ever.
                moved=length < 3 / 4 * last.best.norm,
            )

        first = _Rounds(
            best=Best(problem.start, norm_of(problem.residual)),
            residual=problem.residual,
            count=jnp.zeros((), jnp.int32),
            status=jnp.asarray(RUNNING, jnp.int32),
            rounds=jnp.zeros((), jnp.int32),
            moved=jnp.ones((), bool),
        )
        last = jax.lax.while_loop(proceed, advance, first)
        spent = last.count >= problem.max_steps
        result = lx.RESULTS.where(spent, lx.RESULTS.max_steps_reached, lx.RESULTS.stagnation)
        result = _where_failed(last.status, result)
        # The true residual decides, however the iteration ended.
        result = lx.RESULTS.where(good(last.best, last.residual), lx.RESULTS.successful, result)
        return last.best, last.count, result

    def transpose(self, state: KrylovState, options: dict[str, Any]) -> tuple[KrylovState, dict[str, Any]]:
        # Of a Hermitian operator that is the conjugate. A guess for the solution is none for the cotangents.
        return self.conj(state, {name: option for name, option in options.items() if name != "y0"})

    def conj(self, state: KrylovState, options: dict[str, Any]) -> tuple[KrylovState, dict[str, Any]]:
        if not is_complex(state.operator):
            return state, options
        built = jax.tree.map(lambda leaf: leaf.conj() if eqx.is_inexact_array(leaf) else leaf, state.preconditioner)
        if "preconditioner" in options:
            options = options | {"preconditioner": lx.conj(options["preconditioner"])}
        return KrylovState(lx.conj(state.operator), built, state.care, state.negated), options

    def assume_full_rank(self) -> bool:
        return True

    def _precondition(self, state: KrylovState, options: Options) -> Product:
        given = options.get("preconditioner")
        if given is None:
            return lambda vector: self.preconditioner.apply(state.preconditioner, vector)
        if not isinstance(given, lx.AbstractLinearOperator):
            raise ValueError(
                f"the option preconditioner is a {type(given).__name__}: it must be a lineax operator; pass a "
                f"preconditioner of ours to the solver, {self._kind}(preconditioner=...)"
            )
        n = state.operator.in_size()
        if (given.out_size(), given.in_size()) != (n, n):
            raise ValueError(
                f"the option preconditioner has shape ({given.out_size()}, {given.in_size()}), and the system "
                f"({n}, {n})"
            )
        if not lx.is_positive_semidefinite(given):
            raise ValueError(
                "the option preconditioner must be positive definite: tag it with lineax.positive_semidefinite_tag"
            )
        return product(lx.linearise(given))

    def _workload(self, kernel: str, estimate: SystemEstimate) -> ClassicalWorkload:
        n, itemsize = estimate.n, estimate.max_entry.dtype.itemsize
        # Rounding takes an ill-conditioned system far beyond the n steps of exact arithmetic.
        limit = 10 * n if self.max_steps is None else self.max_steps
        steps = self.steps(estimate)
        xp = namespace(steps)
        # An estimate without a finite condition number gives the limit.
        steps = xp.maximum(xp.fmin(xp.ceil(steps), limit), 1)
        return krylov_workload(kernel, n, itemsize, estimate.access.product, steps, self.preconditioner.flops(n))


def norm_of(vector: Inexact[Array, " n"]) -> Float[Array, ""]:
    """2-norm of a vector whose squares stay in range."""
    return jnp.sqrt(jnp.vdot(vector, vector).real)


def _least_multiple(
    apply: Product, guess: Inexact[Array, " n"], b: Inexact[Array, " n"]
) -> tuple[Inexact[Array, " n"], Inexact[Array, " n"]]:
    """The multiple of a guess with the least residual, and that residual.

    A guess of the wrong length, as the last step of a converging iteration is, would be worse than none. One that is
    not finite, or has no image, is none.
    """
    if guess.shape != b.shape:
        raise ValueError(f"the option y0 has {guess.size} entries, and the system {b.size}: give as many, or omit it")
    image = apply(guess)
    unit = unit_of(image)
    image = image / unit
    length = jnp.vdot(image, image).real
    sound = (length > 0) & jnp.isfinite(length)
    factor = jnp.vdot(image, b) / _positive(length)
    return jnp.where(sound, guess * (factor / unit), 0), jnp.where(sound, b - factor * image, b)


def _positive(length: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where((length > 0) & jnp.isfinite(length), length, 1)


def _where_failed(status: Int[Array, ""], result: lx.RESULTS) -> lx.RESULTS:
    result = lx.RESULTS.where(status == BREAKDOWN, lx.RESULTS.breakdown, result)
    return lx.RESULTS.where(status == SINGULAR, lx.RESULTS.singular, result)
