"""What a step of `newton` would need, before anything of it is allocated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..conditioning import AbstractConditioner, Damp, condition
from ..core.memory import COPIES, available_bytes, readable
from ..core.trees import check_params
from ..curvature import AbstractCurvature, Batch, Block, GaussNewton, Objective, Partition, Point, selected, whole
from ..scheduling import Hybrid
from ..solvers import AbstractSolver
from .stages import leaves_unformed, solve_block


@dataclass(frozen=True)
class BlockMemory:
    """One block's memory.

    Attributes:
        name: of the block.
        n: rows.
        block_bytes: of the dense block; 0 where the solver never forms it.
        factor_bytes: of a factor as large as the block; 0 likewise.
        peak_bytes: everything at once from the curvature to the solution, parameters and batch apart.
        planned: whether the peak is the compiler's plan. It is a multiple of the block where two copies of that are
            already more than is free, or where the backend tells no plan.
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
        blocks: in the partition's order.
        input_bytes: parameters and batch.
        available_bytes: free when it was made.
    """

    blocks: tuple[BlockMemory, ...]
    input_bytes: int
    available_bytes: float

    @property
    def peak_bytes(self) -> int:
        """Of the most demanding block: they are worked on one after the other."""
        return max(block.peak_bytes for block in self.blocks)

    @property
    def fits(self) -> bool:
        """Whether peak, parameters and batch are less than what is free."""
        return self.peak_bytes + self.input_bytes <= self.available_bytes

    def __str__(self) -> str:
        width = max(len("block"), *(len(block.name) for block in self.blocks))
        lines = [f"{'block':{width}}  {'rows':>10}  {'matrix':>10}  {'factor':>10}  {'peak':>10}"]
        for block in self.blocks:
            sizes = (block.block_bytes, block.factor_bytes, block.peak_bytes)
            columns = "  ".join(f"{readable(size) if size else '-':>10}" for size in sizes)
            lines.append(f"{block.name:{width}}  {block.n:>10,}  {columns}")
        lines.append(
            f"peak {readable(self.peak_bytes)} besides {readable(self.input_bytes)} of parameters and batch; "
            f"{readable(self.available_bytes)} are free"
        )
        if not self.fits:
            largest = max(self.blocks, key=lambda block: block.peak_bytes)
            lines.append(
                f"This does not fit. Block `{largest.name}` needs the most: use a finer partition (qnewton.per_layer, "
                "qnewton.per_tensor), a solver that never forms it (qnewton.CG), or smaller batches "
                "(qnewton.Microbatched)"
            )
        return "\n".join(lines)


def memory_estimate(
    objective: Objective,
    params: PyTree,
    batch: Batch,
    *,
    curvature: AbstractCurvature | None = None,
    partition: Partition = whole,
    conditioning: Sequence[AbstractConditioner] = (Damp(0.5),),
    solver: lx.AbstractLinearSolver | None = None,
    where: Callable[[Block], bool] | None = None,
) -> MemoryEstimate:
    """Memory of one step of `newton` with the same arguments, block by block.

    Every block's way from its curvature to its solution is compiled for the shapes and not run, which takes about the
    seconds that the first step would compile for; the peak is the compiler's own plan. What the optimizer keeps between
    steps (`refresh` above 1) and the scratch inside of a library's factorisation are not in it.

    Args:
        objective: as of `newton`.
        params: the parameters, or their `jax.ShapeDtypeStruct`s.
        batch: `(inputs, targets)`, or their shapes.
        curvature: as of `newton`, like the four below.
        partition: which parameters share a system.
        conditioning: applied to each block.
        solver: solves each block.
        where: whether a block has a system; of those without, nothing is listed.

    Raises:
        ValueError, TypeError: for parameters that are empty or not floating-point.
        ValueError: for a `where` that holds for no block.
    """
    check_params(params)
    curvature = GaussNewton() if curvature is None else curvature
    solver = Hybrid() if solver is None else solver
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), (params, batch))
    dtype, available = jax.tree.leaves(shapes[0])[0].dtype, available_bytes()
    matrix_free = isinstance(solver, AbstractSolver) and solver.matrix_free

    def measured(block: Block) -> BlockMemory:
        def solve(params: PyTree, batch: Batch, gradient: Float[Array, " n"]) -> Float[Array, " n"]:
            system = curvature.system(Point.of(objective, params, batch), block)
            if not leaves_unformed(solver, system):
                system = system.formed()
            return solve_block(solver, condition(conditioning, system, jnp.ones((), dtype)), gradient, 0.1)[0]

        dense = 0 if matrix_free else block.n**2 * dtype.itemsize
        plan = None
        if 2 * dense <= available:
            plan = jax.jit(solve).lower(*shapes, jax.ShapeDtypeStruct((block.n,), dtype)).compile().memory_analysis()
        peak = COPIES * dense if plan is None else plan.temp_size_in_bytes + plan.output_size_in_bytes
        return BlockMemory(block.name, block.n, dense, dense, peak, planned=plan is not None)

    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    return MemoryEstimate(tuple(map(measured, selected(partition(shapes[0]), where))), held, available)
