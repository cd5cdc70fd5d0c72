"""Stage times of a step, measured with each stage run alone, which a run's predictions use.

A jitted step cannot be timed from inside, so the same stage functions run one by one before the training, and their
medians are frozen in the run's calibration.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..._conditioning import AbstractConditioner, condition
from ..._curvature import AbstractCurvature, Batch, Block, Objective, Point
from ..._estimation import AbstractEstimator
from ..._hardware import median_seconds
from .._runfile import BlockSeconds, StageSeconds


def measure_stages(
    objective: Objective,
    curvature: AbstractCurvature,
    conditioning: Sequence[AbstractConditioner],
    estimator: AbstractEstimator,
    blocks: Sequence[Block],
    params: PyTree,
    batch: Batch,
    *,
    tries: bool,
    unformed: frozenset[str],
) -> StageSeconds:
    """Run every stage alone at `params` on `batch`, and time it.

    Args:
        objective: of the run.
        curvature: of the run.
        conditioning: of the run.
        estimator: of the run.
        blocks: of the run.
        params: to run the stages at.
        batch: to run them on.
        tries: whether the damping's adaptation evaluates a trial step.
        unformed: names of the blocks that reach the scheduler as operators. Forming one is then no stage but part of
            the cost of the candidates that need it, and the products around the solves set the operator up once more.
    """
    scale = jnp.ones((), jax.tree.leaves(params)[0].dtype)
    prepare = jax.jit(lambda system: condition(conditioning, system, scale))
    estimate = jax.jit(estimator)
    measured = []
    for block in blocks:
        if block.name in unformed:
            measured.append(_operator_seconds(objective, curvature, conditioning, estimator, block, params, batch))
            continue
        form = jax.jit(lambda p, b, block=block: curvature.form(objective, p, b, block))
        system = form(params, batch)
        conditioned = prepare(system)
        measured.append(
            BlockSeconds(
                name=block.name,
                n=block.n,
                curvature=median_seconds(lambda form=form: form(params, batch), 3),
                conditioning=median_seconds(lambda system=system: prepare(system), 3),
                estimation=median_seconds(lambda conditioned=conditioned: estimate(conditioned), 3),
            )
        )

    return StageSeconds(
        _gradient_seconds(objective, curvature, unformed, blocks, params, batch, tries=tries),
        tuple(measured),
    )


def _operator_seconds(
    objective: Objective,
    curvature: AbstractCurvature,
    conditioning: Sequence[AbstractConditioner],
    estimator: AbstractEstimator,
    block: Block,
    params: PyTree,
    batch: Batch,
) -> BlockSeconds:
    """Time an operator's stages by differences of growing prefixes, since jitted functions cannot pass operators."""
    scale = jnp.ones((), jax.tree.leaves(params)[0].dtype)

    def arrays(tree: PyTree) -> list[Array]:
        return jax.tree.leaves(eqx.filter(tree, eqx.is_array))

    def seconds(stages: int) -> float:
        @jax.jit
        def run(params: PyTree, batch: Batch) -> list[Array]:
            system = curvature.system(Point.of(objective, params, batch), block)
            found = arrays(system)
            if stages > 1:
                system = condition(conditioning, system, scale)
                found += arrays(system)
            if stages > 2:
                found += arrays(estimator(system))
            return found

        return median_seconds(lambda: run(params, batch), 3)

    first, second, third = (seconds(stages) for stages in (1, 2, 3))
    return BlockSeconds(block.name, block.n, first, max(0.0, second - first), max(0.0, third - second))


def _gradient_seconds(
    objective: Objective,
    curvature: AbstractCurvature,
    unformed: frozenset[str],
    blocks: Sequence[Block],
    params: PyTree,
    batch: Batch,
    *,
    tries: bool,
) -> float:
    """Return a step's seconds without its solves, with products of the operators and matrices that blocks are."""

    @jax.jit
    def around(params: PyTree, batch: Batch, matrices: dict[str, Array]) -> PyTree:
        loss, gradients = jax.value_and_grad(objective)(params, batch)
        point = Point.of(objective, params, batch)
        apply = [
            curvature.system(point, block).operator.mv
            if block.name in unformed
            else lambda vector, block=block: matrices[block.name] @ vector
            for block in blocks
        ]
        # The residual takes one product per block; so does the predicted decrease, where a step is tried.
        vectors = [block.take(gradients) for block in blocks]
        products = [product(vector) for product, vector in zip(apply, vectors, strict=True)]
        if tries:
            moved = jax.tree.map(lambda p, g: p - g, params, gradients)
            again = [product(vector) for product, vector in zip(apply, products, strict=True)]
            return loss, objective(moved, batch), again
        return loss, products

    dtype = jax.tree.leaves(params)[0].dtype
    matrices = {block.name: jnp.eye(block.n, dtype=dtype) for block in blocks if block.name not in unformed}
    return median_seconds(lambda: around(params, batch, matrices))
