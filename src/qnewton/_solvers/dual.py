"""The dual (Woodbury) solve, for damped blocks with a root of few rows."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._core.kinds import check_scalars, plain
from .._core.operators import AbstractCurvatureOperator, AbstractRoot, Shifted, block_of
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.status import Refusal
from .base import AbstractSolver, Stats
from .capabilities import Capabilities
from .flat import check_dense, check_real, without_tags
from .verified import Care, Check, as_held, at_scale, one_norm

# Steps of refinement at most.
_MOST = 30


class DualState(eqx.Module):
    """Data for judging a solution, the shift, the root `R`, and the lower Cholesky factor of `R R^T + shift I`.

    `size` is the 1-norm of `R R^T + shift I`, whose largest eigenvalue is the system's.
    """

    check: Check
    shift: Float[Array, ""]
    root: AbstractRoot
    factor: Float[Array, "rows rows"]
    size: Float[Array, ""]


class _Refined(eqx.Module):
    x: Float[Array, " n"]
    result: lx.RESULTS
    relative: Float[Array, ""]
    count: Int[Array, ""]
    moved: Bool[Array, ""]


class Dual(AbstractSolver):
    """Solver of `(R^T R + s I) x = b` in the rows of `R`.

    It computes `x = (b - R^T (R R^T + s I)^-1 R b) / s` (Woodbury 1950).

    Exact, and fast where `R` has fewer rows (examples times outputs) than columns. It takes a
    `_core.operators.Shifted` whose base offers a `root()`, and needs no tag: such a sum is positive definite by
    construction, for a positive shift. A shift that is not positive is `RESULTS.breakdown`, a factorisation that fails
    `RESULTS.singular`; both give NaN. The difference above cancels for small shifts, and one step of refinement mends
    that: in single precision at kappa 1e6 the error was 1e-7 for a random right-hand side (a Cholesky factorisation of
    the formed block: 4e-2) and 1e-3 to 4e-2, 3 to 4 times less than without, for one in the span of the rows, where
    the rounding of the right-hand side alone does as much. A second step changed nothing in the error, but each lowers
    the residual by about `eps kappa` for a right-hand side in the span of the rows: where that is what misses the claim
    of `_solvers.verified`, more steps are taken, as long as each takes a quarter of it away. A system that keeps
    missing it is `RESULTS.singular`; `stats["residual"]` is the relative residual.

    Attributes:
        refinements: steps of iterative refinement that are always taken, each with one more product with `R^T R`.
    """

    refinements: int = eqx.field(static=True, converter=plain, default=1)
    capabilities: ClassVar[Capabilities] = Capabilities(
        matrix_free=True, needs_matrix=False, needs_root=True, needs_symmetric=True, needs_definite=True
    )
    name: ClassVar[str] = "Dual"

    def __check_init__(self):
        check_scalars(self)
        if self.refinements < 0:
            raise ValueError(f"refinements is {self.refinements}: it counts steps and cannot be negative")

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        block = block_of(operator) if isinstance(without_tags(operator), Shifted) else None
        return Refusal.NONE if block is not None and block.root_rows else Refusal.NO_ROOT

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> DualState:
        """Form and factor `R R^T + s I`.

        Raises:
            ValueError: if the operator is not a `Shifted` block with a root.
        """
        bare = without_tags(operator)
        if not isinstance(bare, Shifted):
            raise ValueError(
                f"Dual solves `R^T R + shift I` and got a {type(bare).__name__}: damp a Gauss-Newton or Fisher block, "
                "Shifted(block, shift), or use CG or Cholesky"
            )
        base = without_tags(bare.base)
        check_dense(operator, self.name)
        check_real(operator, self.name)
        root = base.root() if isinstance(base, AbstractCurvatureOperator) else None
        if root is None:
            raise ValueError(
                f"Dual needs a root R with R^T R the block, and this {type(base).__name__} has none: use the "
                "Gauss-Newton matrix or the empirical Fisher instead of the Hessian, or CG or Cholesky"
            )
        gram = root.gram()
        gram = gram + bare.shift * jnp.eye(gram.shape[0], dtype=gram.dtype)
        care = Care.of(options)
        check = Check(operator=bare if care.verify else None, care=care)
        return DualState(check, bare.shift, root, jnp.linalg.cholesky(gram), one_norm(gram))

    def compute(
        self, state: DualState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        """Solve in the rows, and refine."""
        # Products with the root stay inside the floating-point range.
        shift, (vector, exponent) = state.shift, state.check.care.near_one(vector)

        def solve(b: Float[Array, " n"]) -> Float[Array, " n"]:
            return (b - state.root.transpose_mv(cho_solve((state.factor, True), state.root.mv(b)))) / shift

        def refined(x: Float[Array, " n"]) -> Float[Array, " n"]:
            # By the root: the rounding of a block that is formed or summed otherwise would be divided by the shift.
            x = x + solve(vector - state.root.transpose_mv(state.root.mv(x)) - shift * x)
            return as_held(x, exponent)

        x = as_held(solve(vector), exponent)
        for _ in range(self.refinements):
            x = refined(x)
        positive, factored = shift > 0, jnp.all(jnp.isfinite(state.factor))
        result = lx.RESULTS.where(factored, lx.RESULTS.successful, lx.RESULTS.singular)
        result = lx.RESULTS.where(positive, result, lx.RESULTS.breakdown)
        x, stats = jnp.where(positive & factored, x, jnp.nan), {"rows": state.root.rows}
        if state.check.care.verify:
            x, result, verified = self._verify(state, x, vector, result, refined)
            stats |= verified
        x, result = at_scale(x, exponent, result)
        return x, result, stats

    def _verify(
        self,
        state: DualState,
        x: Float[Array, " n"],
        b: Float[Array, " n"],
        found: lx.RESULTS,
        refined: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    ) -> tuple[Float[Array, " n"], lx.RESULTS, Stats]:
        """Refine until the solution meets its tolerance, or does not improve."""

        def judged(x: Float[Array, " n"]) -> tuple[lx.RESULTS, Float[Array, ""]]:
            result, stats = state.check(x, b, found, state.size)
            return result, stats["residual"]

        def proceed(last: _Refined) -> Bool[Array, ""]:
            # What failed before there was a solution stays as it is: its residual is NaN.
            missed = (last.result != lx.RESULTS.successful) & (last.relative > 0)
            return missed & last.moved & (last.count < _MOST)

        def advance(last: _Refined) -> _Refined:
            x = refined(last.x)
            result, relative = judged(x)
            better = relative < last.relative
            return _Refined(
                x=jnp.where(better, x, last.x),
                result=lx.RESULTS.where(better, result, last.result),
                relative=jnp.where(better, relative, last.relative),
                count=last.count + 1,
                moved=relative <= 3 / 4 * last.relative,
            )

        result, relative = judged(x)
        first = _Refined(x, result, relative, jnp.zeros((), jnp.int32), jnp.ones((), bool))
        last = jax.lax.while_loop(proceed, advance, first)
        return last.x, last.result, {"residual": last.relative}

    def transpose(self, state: DualState, options: dict[str, Any]) -> tuple[DualState, dict[str, Any]]:
        return state, options

    def conj(self, state: DualState, options: dict[str, Any]) -> tuple[DualState, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """Return the workload: `R R^T`, its factor, and the solves.

        The factor takes `rows^3 / 3` operations, each solve `2 rows^2` and a product with `R^T R`.
        """
        access, itemsize = estimate.access, estimate.max_entry.dtype.itemsize
        m = access.rows.astype(estimate.max_entry.dtype)
        solves, products = 1 + self.refinements, 1 + 2 * self.refinements
        return ClassicalWorkload(
            kernel="dual",
            flops=access.gram.flops + 1 / 3 * m**3 + solves * 2.0 * m**2 + products * access.product.flops,
            bytes=access.gram.bytes + (2.0 + solves) * m**2 * itemsize + products * access.product.bytes,
            setup_flops=access.gram.flops + 1 / 3 * m**3,
            setup_bytes=access.gram.bytes + 2.0 * m**2 * itemsize,
        )
