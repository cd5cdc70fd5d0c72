"""The gate-time sweep, from nanoseconds to attoseconds."""

import math
from typing import Any

import numpy as np

from .base import Evaluation, Finished
from .decisions import SETS, break_even_s, classical_record, decide, lu_off_by, priced
from .trainings import newton


def derive(found: Finished) -> dict[str, Any]:
    """Predicted seconds and quantum share at each gate time, and the gate times at which blocks change sides."""
    options, chosen = found.options, found.options.gate_times
    systems = found.result(newton(options)).systems
    count = round(chosen.per_decade * math.log10(chosen.slowest / chosen.fastest)) + 1
    times = np.geomspace(chosen.slowest, chosen.fastest, max(2, count))
    off, sets = lu_off_by(found.machine), []
    for name in SETS:
        price = priced(systems, name, options)
        even = break_even_s(systems, price)
        sets.append(
            {
                "set": name,
                "rows": [decide(systems, price, float(time)).record() for time in times],
                "first_gate_time_s": float(even.max()),
                "first_gate_time_s_within": [
                    float(break_even_s(systems, price, factor).max()) for factor in (1 / off, off)
                ],
                "all_gate_time_s": float(even.min()),
                "blocks": [
                    {
                        "name": block,
                        "rows": int(n),
                        "break_even_gate_time_s": [float(f(even[:, k])) for f in (np.min, np.median, np.max)],
                    }
                    for k, (block, n) in enumerate(zip(systems.names, systems.rows, strict=True))
                ],
            }
        )
    return {"classical": classical_record(systems), "steps": systems.lu_s.shape[0], "lu_off_by": off, "sets": sets}


EVALUATION = Evaluation(
    name="gate-times",
    question="How fast would the quantum machine have to be?",
    reads=("mlp", "gate_times"),
    trainings=lambda options: [newton(options)],
    derive=derive,
)
