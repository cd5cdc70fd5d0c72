"""The measured seconds of each stage of a step, run alone: what the predictions of a run rest on.

A jitted step cannot be timed from inside, so the same stage functions run one by one before the training, and their
medians are frozen in the run's calibration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

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
        gradient: of the batch's gradient and loss.
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
) -> StageSeconds:
    """Run every stage alone at `params` on `batch`, and time it."""
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
    gradient = jax.jit(jax.value_and_grad(objective))
    return StageSeconds(median_seconds(lambda: gradient(params, batch)), tuple(measured))
