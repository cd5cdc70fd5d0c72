"""The measured seconds of each stage of a step, run alone: what the predictions of a run rest on.

A jitted step cannot be timed from inside, so the same stage functions run one by one before the training, and their
medians are frozen in the run's calibration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..conditioning import AbstractConditioner, condition
from ..curvature import AbstractCurvature, Batch, Block, Objective
from ..estimation import AbstractEstimator
from ..hardware import median_seconds


@dataclass(frozen=True)
class BlockSeconds:
    """Measured median seconds of one block's stages before its solve.

    Attributes:
        name, n: of the block.
        curvature, conditioning, estimation: seconds.
    """

    name: str
    n: int
    curvature: float
    conditioning: float
    estimation: float


@dataclass(frozen=True)
class StageSeconds:
    """Measured median seconds of everything in a step but the solves.

    Attributes:
        gradient: of what a step takes for the network as a whole: the batch's gradient and loss, the trial step, and
            the products that residuals and the predicted decrease need.
        blocks: one entry per block.
    """

    gradient: float
    blocks: tuple[BlockSeconds, ...]


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
    """
    scale = jnp.ones((), jax.tree.leaves(params)[0].dtype)
    prepare = jax.jit(lambda system: condition(conditioning, system, scale))
    estimate = jax.jit(estimator)
    measured = []
    for block in blocks:
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

    @jax.jit
    def around(params: PyTree, batch: Batch, matrices: list[Array]) -> PyTree:
        loss, gradients = jax.value_and_grad(objective)(params, batch)
        # The residual takes one product per block; so does the predicted decrease, where a step is tried.
        vectors = [block.take(gradients) for block in blocks]
        products = [matrix @ vector for matrix, vector in zip(matrices, vectors, strict=True)]
        if tries:
            moved = jax.tree.map(lambda p, g: p - g, params, gradients)
            again = [matrix @ product for matrix, product in zip(matrices, products, strict=True)]
            return loss, objective(moved, batch), again
        return loss, products

    matrices = [jnp.eye(block.n, dtype=scale.dtype) for block in blocks]
    return StageSeconds(median_seconds(lambda: around(params, batch, matrices)), tuple(measured))
