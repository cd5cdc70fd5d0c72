"""What a training step would need, before anything of it is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from ..conditioning import Damp, condition
from ..core.buffers import library_bytes, live_bytes
from ..core.memory import available_bytes, readable, suspended_checks
from ..core.trees import check_params
from ..curvature import Batch, Block, GaussNewton, Objective, Point, selected, whole
from ..scheduling import Hybrid
from ..solvers import AbstractSolver
from .newton import newton
from .stages import leaves_unformed, quadratic_decrease, solve_block

# The user's own step differs from the one planned here in what surrounds the update: by up to 2 % of the plan, in plans
# of a few KiB by a few hundred bytes.
_ALLOWANCE, _SMALL_ALLOWANCE, _SMALL = 1 / 16, 1 / 4, 1024
# From these rows on (64 GiB in float32) nothing is compiled: the compiler itself would need gigabytes.
_TOO_LARGE_TO_COMPILE = 2**17


@dataclass(frozen=True)
class BlockMemory:
    """One block's memory.

    Attributes:
        name: of the block.
        n: rows.
        block_bytes: of the dense block; 0 where it is never formed.
        factor_bytes: of a factor as large as the block; 0 where the solver takes none.
        peak_bytes: everything at once from the curvature to the solution, parameters and batch apart.
        planned: whether the peak is the compiler's plan, that of a step with this block alone. Otherwise it is an
            estimate, counted from the traced program.
    """

    name: str
    n: int
    block_bytes: int
    factor_bytes: int
    peak_bytes: int
    planned: bool


@dataclass(frozen=True)
class MemoryEstimate:
    """What `memory_estimate` found; `print` it for a table.

    Attributes:
        blocks: in the partition's order; none for another optimizer than `newton`.
        peak_bytes: scratch of a whole step: the compiler's plan, and a sixteenth and up to 1 KiB for what the user's
            own step has around the update.
        planned_bytes: the compiler's plan itself, `temp_size_in_bytes`; None where none was made, and the peak is an
            estimate counted from the traced program.
        library_bytes: of what decompositions in LAPACK allocate for themselves, which is in no plan; by its manual.
        input_bytes: parameters and batch.
        state_bytes: what the optimizer keeps between steps; it is there twice, before and after a step.
        held_bytes: of parameters and batch, what is on the device already and so not among what is free.
        available_bytes: free when this was made.
    """

    blocks: tuple[BlockMemory, ...]
    peak_bytes: int
    planned_bytes: int | None
    library_bytes: int
    input_bytes: int
    state_bytes: int
    output_bytes: int
    held_bytes: int
    available_bytes: float

    @property
    def needed_bytes(self) -> int:
        """What a step still has to allocate: scratch, inputs and state that are not there yet, and its results."""
        inputs = self.input_bytes + self.state_bytes - self.held_bytes
        return inputs + self.peak_bytes + self.library_bytes + self.output_bytes

    @property
    def fits(self) -> bool:
        """Whether a step needs no more than what is free."""
        return self.needed_bytes <= self.available_bytes

    def __str__(self) -> str:
        lines = self._table() if self.blocks else []
        kind = "an estimate" if self.planned_bytes is None else "by the compiler's plan"
        library = f", {readable(self.library_bytes)} inside of LAPACK" if self.library_bytes else ""
        lines.append(
            f"peak {readable(self.peak_bytes)}, {kind}{library}, besides {readable(self.input_bytes)} of parameters "
            f"and batch, {readable(self.state_bytes)} of state and {readable(self.output_bytes)} of results; "
            f"{readable(self.available_bytes)} are free"
        )
        if not self.fits:
            lines.append(f"This does not fit. {self._remedy()}")
        return "\n".join(lines)

    def _table(self) -> list[str]:
        width = max(len("block"), *(len(block.name) for block in self.blocks))
        lines = [f"{'block':{width}}  {'rows':>10}  {'matrix':>10}  {'factor':>10}  {'peak':>10}"]
        for block in self.blocks:
            sizes = (block.block_bytes, block.factor_bytes, block.peak_bytes)
            columns = "  ".join(f"{readable(size) if size else '-':>10}" for size in sizes)
            told = "" if block.planned else "  estimated"
            lines.append(f"{block.name:{width}}  {block.n:>10,}  {columns}{told}")
        return lines

    def _remedy(self) -> str:
        if not self.blocks:
            return "Use smaller batches, or another optimizer"
        largest = max(self.blocks, key=lambda block: block.peak_bytes)
        return (
            f"Block `{largest.name}` needs the most: use a finer partition (qnewton.per_layer, qnewton.per_tensor), a "
            "solver that never forms it (qnewton.CG), or smaller batches (qnewton.Microbatched)"
        )


def memory_estimate(
    objective: Objective,
    params: PyTree,
    batch: Batch,
    *,
    key: Key[Array, ""] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    **options: Any,
) -> MemoryEstimate:
    """Memory of one training step with its loss and gradient: of `newton`, or of any other optimizer.

    The step is compiled for the shapes and not run, which takes about the seconds that the first step would compile
    for. Its peak is the compiler's own plan, so it holds for every option. Where there are several blocks, what each of
    them needs is an estimate, counted from the traced program.

    Args:
        objective: as of the optimizer.
        params: the parameters, or their `jax.ShapeDtypeStruct`s.
        batch: `(inputs, targets)`, or their shapes.
        key: as of `update`; where the model needs one, one is made.
        optimizer: None takes `newton(objective, **options)`; otherwise any transformation, e.g. `kfac(objective)`.
        options: as of `newton`: `curvature`, `partition`, `conditioning`, `solver`, `refresh`, `where` and so on.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point, and as `newton` for its options.
        ValueError: for a `where` that holds for no block, or for options beside an optimizer.
    """
    check_params(params)
    if optimizer is not None and options:
        raise ValueError(
            f"memory_estimate got an optimizer, and {', '.join(sorted(options))} besides, which are options of newton: "
            "leave out one or the other"
        )
    key = objective.any_key() if key is None else key
    shapes: tuple[PyTree, Batch, PyTree] = jax.eval_shape(lambda *given: given, params, batch, key)
    available = available_bytes()
    with suspended_checks():
        chosen = newton(objective, **options) if optimizer is None else optimizer
        blocks = _blocks(objective, shapes, options) if optimizer is None else ()
        state = jax.eval_shape(chosen.init, shapes[0])
        traced = _traced(chosen, objective, shapes, state)
        rows = max((block.n for block in blocks if block.block_bytes), default=0)
        planned = _planned(traced) if rows < _TOO_LARGE_TO_COMPILE else None
    peak = live_bytes(traced.jaxpr) if planned is None else _allowed(planned)
    if len(blocks) == 1:
        blocks = (replace(blocks[0], peak_bytes=peak, planned=planned is not None),)
    return MemoryEstimate(
        blocks=blocks,
        peak_bytes=peak,
        planned_bytes=planned,
        library_bytes=library_bytes(traced.jaxpr),
        input_bytes=_bytes(shapes[:2]),
        state_bytes=_bytes(state),
        output_bytes=_bytes((shapes[0], state)),
        held_bytes=_bytes([leaf for leaf in jax.tree.leaves((params, batch)) if isinstance(leaf, jax.Array)]),
        available_bytes=available,
    )


def _traced(
    optimizer: optax.GradientTransformation, objective: Objective, shapes: tuple[PyTree, Batch, PyTree], state: PyTree
) -> Any:
    """A step as users write it, traced."""
    transformation = optax.with_extra_args_support(optimizer)

    def step(params: PyTree, state: Any, batch: Batch, key: PyTree) -> tuple[PyTree, Any]:
        value, gradients = jax.value_and_grad(objective)(params, batch, key)
        updates, state = transformation.update(gradients, state, params, batch=batch, key=key, value=value)
        return optax.apply_updates(params, updates), state

    params, batch, key = shapes
    return jax.jit(step).trace(params, state, batch, key)


def _planned(traced: Any) -> int | None:
    """The compiler's plan; None where the backend tells none, or has no room to compile."""
    try:
        plan = traced.lower().compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    return None if plan is None else plan.temp_size_in_bytes


def _allowed(planned: int) -> int:
    return round(planned * (1 + _ALLOWANCE) + min(_SMALL_ALLOWANCE * planned, _SMALL))


def _blocks(
    objective: Objective, shapes: tuple[PyTree, Batch, PyTree], options: Mapping[str, Any]
) -> tuple[BlockMemory, ...]:
    """The blocks with estimated peaks; with a peak of 0 where there is only one, whose peak is the step's."""
    blocks = selected(options.get("partition", whole)(shapes[0]), options.get("where"))
    curvature = options.get("curvature") or GaussNewton()
    solver = options.get("solver") or Hybrid()
    matrix_free = (isinstance(solver, AbstractSolver) and solver.matrix_free) or (
        isinstance(solver, Hybrid) and solver.never_forms(floor=curvature.semidefinite)
    )
    itemsize = jax.tree.leaves(shapes[0])[0].dtype.itemsize

    def described(block: Block) -> BlockMemory:
        dense = block.n**2 * itemsize
        formed = 0 if matrix_free and options.get("refresh", 1) == 1 else dense
        peak = 0 if len(blocks) == 1 else _counted(objective, shapes, options, block)
        return BlockMemory(block.name, block.n, formed, 0 if matrix_free else dense, peak, planned=False)

    return tuple(map(described, blocks))


def _counted(
    objective: Objective, shapes: tuple[PyTree, Batch, PyTree], options: Mapping[str, Any], block: Block
) -> int:
    """What one block takes from its curvature to its solution, by its traced program."""
    curvature = options.get("curvature") or GaussNewton()
    solver = options.get("solver") or Hybrid()
    conditioning = options.get("conditioning", (Damp(0.5),))
    dtype = jax.tree.leaves(shapes[0])[0].dtype

    def solve(params: PyTree, batch: Batch, key: PyTree, gradient: Float[Array, " n"]) -> tuple[Array, Array]:
        system = curvature.system(Point.of(objective, params, batch, key), block)
        system = system if leaves_unformed(solver, system) else system.formed()
        conditioned = condition(conditioning, system, jnp.ones((), dtype))
        value = solve_block(solver, conditioned, gradient, 0.1, correction=options.get("correction"))[0]
        return value, quadratic_decrease(system, gradient, value)

    return live_bytes(jax.make_jaxpr(solve)(*shapes, jax.ShapeDtypeStruct((block.n,), dtype)))


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
