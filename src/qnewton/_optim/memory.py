"""Memory that a training step would need, before any of it is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax.stages import Traced
from jaxtyping import Array, Key, PyTree

from .. import _scheduling
from .._core.buffers import library_bytes
from .._core.kinds import said
from .._core.memory import available_bytes, readable, suspended_checks
from .._core.trees import check_params
from .._core.widths import working_type
from .._curvature import Batch, Block, GaussNewton, Objective, selected, whole
from .._curvature.checks import check_batch
from .._curvature.network import Coverage
from .._curvature.objective import check_objective
from .._scheduling import scheduler_in
from .._solvers import capabilities_of
from .family import Family
from .newton import newton

# The user's own step differs from the one planned here in what surrounds the update: by up to 2 % of the plan, in plans
# of a few KiB by a few hundred bytes.
_ALLOWANCE, _SMALL_ALLOWANCE, _SMALL = 1 / 16, 1 / 4, 1024
# Optimising the machine code takes half of the compiler's seconds and moves no buffer.
_QUICK = {"xla_backend_optimization_level": 0}


@dataclass(frozen=True)
class BlockMemory:
    """Memory of one block's matrices; the rest of a step's memory belongs to no single block.

    Attributes:
        name: of the block.
        n: rows.
        block_bytes: of the dense block; 0 where it is never formed.
        factor_bytes: of a factor as large as the block; 0 where the solver takes none.
    """

    name: str
    n: int
    block_bytes: int
    factor_bytes: int


@dataclass(frozen=True)
class MemoryEstimate:
    """Result of `memory_estimate`; `print` it for a table.

    Attributes:
        blocks: in the partition's order; none for another optimizer than `newton`.
        peak_bytes: scratch of a whole step: the compiler's plan, and a sixteenth and up to 1 KiB for what the user's
            own step has around the update. Infinite where the compiler refused the step for its size.
        planned_bytes: the compiler's plan itself, `temp_size_in_bytes`; None where it refused.
        library_bytes: of what decompositions in LAPACK allocate for themselves, which is in no plan; by its manual.
        input_bytes: parameters and batch.
        state_bytes: what the optimizer keeps between steps; it is there twice, before and after a step.
        output_bytes: a step's results, new parameters, state and loss. A step that donates its arguments needs less.
        held_bytes: of parameters and batch, what is on the device already and so not among what is free.
        available_bytes: free when this was made.
        coverage: of an optimizer that is made of layers, as `kfac` is, which parameters they hold, by construct.
    """

    blocks: tuple[BlockMemory, ...]
    peak_bytes: float
    planned_bytes: int | None
    library_bytes: int
    input_bytes: int
    state_bytes: int
    output_bytes: int
    held_bytes: int
    available_bytes: float
    coverage: Coverage | None = None

    @property
    def needed_bytes(self) -> float:
        """Memory that a step still has to allocate, for scratch, missing inputs and state, and results.

        The first step brings the runtime's own memory besides, for code and threads: some 10 MiB on a CPU, at any size.
        """
        inputs = self.input_bytes + self.state_bytes - self.held_bytes
        return inputs + self.peak_bytes + self.library_bytes + self.output_bytes

    @property
    def fits(self) -> bool:
        """Whether a step needs no more than the free memory."""
        return self.needed_bytes <= self.available_bytes

    def __str__(self) -> str:
        lines = self._table() if self.blocks else []
        peak = f"peak {readable(self.peak_bytes)}, by the compiler's plan"
        if self.planned_bytes is None:
            peak = "peak beyond what the compiler accepts for this device"
        library = f", {readable(self.library_bytes)} inside of LAPACK" if self.library_bytes else ""
        lines.append(
            f"{peak}{library}, besides {readable(self.input_bytes)} of parameters and batch, "
            f"{readable(self.state_bytes)} of state and {readable(self.output_bytes)} of results; "
            f"{readable(self.available_bytes)} are free"
        )
        if self.coverage is not None:
            lines.append(str(self.coverage))
        if not self.fits:
            lines.append(f"This does not fit. {self._remedy()}")
        return "\n".join(lines)

    def _table(self) -> list[str]:
        width = max(len("block"), *(len(block.name) for block in self.blocks))
        lines = [f"{'block':{width}}  {'rows':>10}  {'matrix':>10}  {'factor':>10}"]
        for block in self.blocks:
            sizes = (block.block_bytes, block.factor_bytes)
            columns = "  ".join(f"{readable(size) if size else '-':>10}" for size in sizes)
            lines.append(f"{block.name:{width}}  {block.n:>10,}  {columns}")
        return lines

    def _remedy(self) -> str:
        formed = [block for block in self.blocks if block.block_bytes]
        if not formed:
            return "Use smaller batches (qnewton.Microbatched with newton), or another optimizer"
        largest = max(formed, key=lambda block: block.n)
        return (
            f"Block `{largest.name}` has the largest matrix: use a finer partition (qnewton.per_layer, "
            "qnewton.per_tensor), a solver that never forms it (qnewton.CG), or smaller batches (qnewton.Microbatched)"
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
    """Estimate the memory of one training step with loss and gradient, of `newton` or another optimizer.

    The step is compiled for the shapes and not run. Its peak is the compiler's own plan, so it holds for every option,
    any number of blocks and blocks of any size. The answer takes as long as the first step would compile for, on a CPU
    about half as long, whatever the sizes: some seconds, and tens of seconds for a `Hybrid` with many kinds of blocks.

    Args:
        objective: as of the optimizer.
        params: the parameters, or their `jax.ShapeDtypeStruct`s.
        batch: `(inputs, targets)`, or their shapes.
        key: as of `update`; where the model needs one, one is made.
        optimizer: None takes `newton(objective, **options)`, without options with the batch for an example; otherwise
            any transformation, e.g. `kfac(objective)`.
        options: as of `newton`: `curvature`, `partition`, `conditioning`, `solver`, `refresh`, `where` and so on.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point, and as `newton` for its options.
        ValueError: for a `where` that holds for no block, or for options beside an optimizer.
        RuntimeError: where the backend tells no plan.
    """
    check_objective(objective, "memory_estimate")
    if optimizer is not None and not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(f"memory_estimate: optimizer is {said(optimizer)}: give a transformation, e.g. kfac(objective)")
    check_params(params)
    check_batch(batch)
    if optimizer is not None and options:
        raise ValueError(
            f"memory_estimate got an optimizer, and {', '.join(sorted(options))} besides, which are options of newton: "
            "leave out one or the other"
        )
    key = objective.any_key() if key is None else key
    shapes: tuple[PyTree, Batch, PyTree] = jax.eval_shape(lambda *given: given, params, batch, key)
    available = available_bytes()
    with suspended_checks():
        chosen = optimizer
        if chosen is None:
            chosen = newton(objective, **options) if options else newton(objective, example=shapes[1])
        state: Any = jax.eval_shape(chosen.init, shapes[0])
        # Other families than that of blocks have no block to list.
        listed = optimizer is None and state.info.family == Family.BLOCKS
        blocks = _blocks(shapes[0], options) if listed else ()
        traced = _traced(chosen, objective, shapes, state)
        planned = _planned(traced)
    return MemoryEstimate(
        blocks=blocks,
        peak_bytes=float("inf") if planned is None else _allowed(planned),
        planned_bytes=planned,
        library_bytes=library_bytes(traced.jaxpr),
        input_bytes=_bytes(shapes[:2]),
        state_bytes=_bytes(state),
        output_bytes=_bytes(traced.out_info),
        held_bytes=_bytes([leaf for leaf in jax.tree.leaves((params, batch)) if isinstance(leaf, jax.Array)]),
        available_bytes=available,
        coverage=getattr(getattr(state, "info", None), "coverage", None),
    )


def _traced(
    optimizer: optax.GradientTransformation, objective: Objective, shapes: tuple[PyTree, Batch, PyTree], state: PyTree
) -> Traced:
    """Return a traced step as users write it, with its loss, without which the compiler may plan a tenth less."""
    transformation = optax.with_extra_args_support(optimizer)

    def step(params: PyTree, state: PyTree, batch: Batch, key: PyTree) -> tuple[PyTree, PyTree, Array]:
        value, gradients = jax.value_and_grad(objective)(params, batch, key)
        updates, state = transformation.update(gradients, state, params, batch=batch, key=key, value=value)
        return optax.apply_updates(params, updates), state, value

    params, batch, key = shapes
    return jax.jit(step).trace(params, state, batch, key)


def _planned(traced: Any) -> int | None:
    """Return the compiler's plan in bytes; None if it refuses the step for its size, as for accelerators."""
    options = _QUICK if jax.default_backend() == "cpu" else None
    try:
        plan = traced.lower().compile(compiler_options=options).memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    if plan is None:
        raise RuntimeError(
            f"the compiler for {jax.default_backend()} tells no plan of a step's memory: ask with "
            "JAX_PLATFORMS=cpu for the plan on a CPU, or run a step on a part of the batch and watch its memory"
        )
    return plan.temp_size_in_bytes


def _allowed(planned: int) -> int:
    return round(planned * (1 + _ALLOWANCE) + min(_SMALL_ALLOWANCE * planned, _SMALL))


def _blocks(params: PyTree, options: Mapping[str, Any]) -> tuple[BlockMemory, ...]:
    curvature = options.get("curvature") or GaussNewton()
    solver = options.get("solver") or _scheduling.Hybrid()
    scheduler = scheduler_in(solver)
    matrix_free = capabilities_of(solver).matrix_free or (
        scheduler is not None and scheduler.never_forms(floor=curvature.semidefinite)
    )
    itemsize = working_type(params).itemsize

    def described(block: Block) -> BlockMemory:
        dense = block.n**2 * itemsize
        formed = 0 if matrix_free and options.get("refresh", 1) == 1 else dense
        return BlockMemory(block.name, block.n, formed, 0 if matrix_free else dense)

    return tuple(map(described, selected(options.get("partition", whole)(params), options.get("where"))))


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
