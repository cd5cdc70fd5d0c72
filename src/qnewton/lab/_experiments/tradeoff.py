"""Step quality and training loss against degree, encoded condition number and quantum queries, per method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
from jaxtyping import Array, PyTree

from ..._conditioning import AbstractConditioner, Damp, Matching, Rotate, ShiftTo, Threshold, WhitenOutputs, condition
from ..._conditioning import preset as conditioning_preset
from ..._core.records import Encoding, System
from ..._curvature import Block, GaussNewton, Objective, Point, per_tensor
from ..._optim.correction import Correction
from ..._optim.line_search import LineSearch
from ..._optim.newton import newton
from ..._solvers.quantum.queries import jennings2023v1
from .._runfile import TradeoffSetting
from .tasks.base import Task

_BASIS = (Rotate(strict=False), WhitenOutputs(strict=False))
# Blocks below say nothing about sparsity.
_SMALLEST = 32
PRECISION = 1e-2


@dataclass(frozen=True)
class Setting:
    """One point of a method's curve.

    Attributes:
        method: whose curve.
        label: what is varied along it, with its value.
        conditioners: applied to every block.
    """

    method: str
    label: str
    conditioners: tuple[AbstractConditioner, ...]


def settings(damping: float) -> tuple[Setting, ...]:
    """Return the compared settings, each method from mild to strong.

    Args:
        damping: r of `Damp`, the same for all but `damping`, which raises it.
    """
    damp = Damp(damping)
    shifts = ((0.002, 0.01), (0.005, 0.02), (0.01, 0.05), (0.02, 0.1), (0.05, 0.2), (0.1, 0.3))
    return (
        Setting("none", f"r {damping:g}", (damp,)),
        *(Setting("damping", f"r {damping * k:g}", (Damp(damping * k),)) for k in (4, 16, 64, 256)),
        *(Setting("paper", f"keep {k:g}", conditioning_preset("paper", damping=damp, keep=k)) for k in _KEEPS),
        *(
            Setting("whitened, threshold, shift", f"tau {t:g}, eta {e:g}", (damp, *_BASIS, Threshold(t), ShiftTo(e)))
            for t, e in shifts
        ),
        *(
            Setting("whitened, matching", f"d {d}", (damp, *_BASIS, Matching(d), *(() if d == 1 else (ShiftTo(0.3),))))
            for d in (64, 16, 4, 2, 1)
        ),
    )


_KEEPS = (0.9, 0.75, 0.5, 0.25, 0.1, 0.05)


def tradeoff(
    task: Task,
    chosen: Sequence[Setting],
    *,
    damping: float,
    seed: int = 0,
    warmup: int = 5,
    steps: int = 10,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[TradeoffSetting, ...]:
    """One record per setting.

    The blocks are the Gauss-Newton blocks per tensor after `warmup` un-pruned steps; each number is the median over
    them, the share of indefinite ones apart. The training takes `steps` steps from the same point, with the whole
    training set in each: of the length that is best in the model, and shortened until the loss falls.

    Args:
        task: what is trained.
        chosen: settings to compare.
        damping: of the block that steps are judged by, and of the warm-up.
        seed: of the initial parameters.
        warmup: un-pruned steps before the blocks are taken.
        steps: of each training; 0 trains nothing, and the loss is None.
        tell: called with the setting at hand.
    """
    batch, objective = task.train.batch, task.objective
    params = _trained(objective, task.init(jax.random.key(seed)), batch, (Damp(damping),), warmup)
    point, gradients = Point.of(objective, params, batch), jax.grad(objective)(params, batch)
    blocks = [block for block in per_tensor(params) if block.n >= _SMALLEST] or list(per_tensor(params))
    formed = [_formed(point, block, block.take(gradients), damping) for block in blocks]
    records = []
    for setting in chosen:
        tell(f"{setting.method}: {setting.label}")
        rows = [_judged(setting.conditioners, *block) for block in formed]
        loss = None
        if steps:
            trained = _trained(objective, params, batch, setting.conditioners, steps)
            loss = float(objective(trained, batch))
        records.append(
            TradeoffSetting(
                method=setting.method,
                setting=setting.label,
                **{name: float(np.median([row[name] for row in rows])) for name in rows[0] if name != "indefinite"},
                indefinite=float(np.mean([row["indefinite"] for row in rows])),
                blocks=len(rows),
                training_loss=loss,
            )
        )
    return tuple(records)


def _trained(
    objective: Objective,
    params: PyTree,
    batch: tuple[Any, Any],
    conditioners: tuple[AbstractConditioner, ...],
    steps: int,
) -> PyTree:
    transformation = newton(
        objective,
        curvature=GaussNewton(),
        partition=per_tensor,
        conditioning=conditioners,
        correction=Correction(max_steps=1),
        solver=lx.LU(),
        step=LineSearch(),
        # A pruned system may be as good as singular: that is what is to be seen, not mended.
        residual_tolerance=1e3,
    )

    @jax.jit
    def step(params: PyTree, state: Any) -> tuple[PyTree, Any]:
        updates, state = transformation.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state = transformation.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


def _formed(point: Point, block: Block, gradient: Array, damping: float) -> tuple[System, np.ndarray, np.ndarray]:
    system = GaussNewton().system(point, block).formed()
    damped = np.asarray(Damp(damping)(system, jnp.ones(())).matrix, np.float64)
    return system, damped, np.asarray(gradient, np.float64)


def _judged(
    conditioners: Sequence[AbstractConditioner], system: System, damped: np.ndarray, gradient: np.ndarray
) -> dict[str, float]:
    """Return one block's numbers, by dense numpy."""
    conditioned = condition(conditioners, system, jnp.ones((), system.matrix.dtype))
    matrix = np.asarray(conditioned.matrix, np.float64)
    into, back = conditioned.coordinates.into, conditioned.coordinates.back
    dtype = system.matrix.dtype
    right = np.asarray(into(jnp.asarray(gradient, dtype)), np.float64)
    values = np.linalg.eigvalsh(matrix)
    solution = np.linalg.lstsq(matrix, right)[0]
    step = np.asarray(back(jnp.asarray(solution, dtype)), np.float64)
    exact = np.linalg.lstsq(damped, gradient)[0]
    smallest = np.min(np.abs(values))
    degree = np.max(np.count_nonzero(matrix, axis=1))
    kappa = degree * np.max(np.abs(matrix)) / smallest if smallest > 0 else np.inf
    slope, curved = gradient @ step, step @ damped @ step
    norm = np.linalg.norm
    workload = jennings2023v1(Encoding(jnp.asarray(kappa), jnp.ones(())), PRECISION)
    return {
        "degree": float(degree),
        "encoded_condition_number": float(kappa),
        "queries": float(workload.queries),
        "cosine": float(step @ exact / (norm(step) * norm(exact))) if norm(step) * norm(exact) > 0 else 0.0,
        "relative_residual": float(norm(damped @ step - gradient) / norm(gradient)) if norm(gradient) > 0 else 0.0,
        "model_decrease": float(slope**2 / curved / (gradient @ exact)) if slope > 0 and curved > 0 else 0.0,
        "indefinite": float(values[0] <= 0),
    }
