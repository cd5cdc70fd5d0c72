"""Accuracy against the keep ratio of pruning, and against the regularisation: one training per value."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .base import Evaluation, Finished, Result
from .decisions import SETS, classical_record, decide, priced
from .options import Reproduction
from .trainings import Training, damped, pruned

MLP = ("mlp.task", "mlp.data", "mlp.hub", "mlp.width", "mlp.batch_size", "sweeps.steps")


def derive(found: Finished, of: Callable[[Reproduction, float], Training], values: str) -> dict[str, Any]:
    """Accuracy, condition number and predicted seconds of the solves for each value of the sweep."""
    options = found.options
    swept = sorted(getattr(options.sweeps, values))
    rows = [{"value": value, **_row(found.result(of(options, value)), options)} for value in swept]
    return {"gate_time_s": options.gate_time_s, "steps": options.sweeps.steps, "rows": rows}


def _row(result: Result, options: Reproduction) -> dict[str, Any]:
    record = result.record()
    if not result.steps:
        return {**record, "log10_kappa": None, "residual": None, "classical": None, "sets": []}
    systems = result.systems
    known = systems.log10_kappa[np.isfinite(systems.log10_kappa)]
    residuals = [line.exact_residual for lines in result.saved.steps for line in lines]
    return {
        **record,
        "log10_kappa": _spread(known),
        # Of the system before pruning, for the step that was taken; 1 is what no step at all leaves.
        "residual": _spread(np.asarray([value for value in residuals if value is not None])),
        "classical": classical_record(systems),
        "sets": [
            {"set": name, **decide(systems, priced(systems, name, options), options.gate_time_s).record()}
            for name in SETS
        ],
    }


def _spread(values: np.ndarray) -> list[float] | None:
    """Least, median and greatest."""
    return None if values.size == 0 else [float(part) for part in (values.min(), np.median(values), values.max())]


KEEP = Evaluation(
    name="keep-ratio",
    question="How much may be pruned?",
    reads=(*MLP, "sweeps.keep"),
    trainings=lambda options: [pruned(options, keep) for keep in sorted(options.sweeps.keep)],
    derive=partial(derive, of=pruned, values="keep"),
)
REGULARISATION = Evaluation(
    name="regularisation",
    question="How much regularisation does training bear?",
    reads=(*MLP, "sweeps.damping"),
    trainings=lambda options: [damped(options, damping) for damping in sorted(options.sweeps.damping)],
    derive=partial(derive, of=damped, values="damping"),
)
