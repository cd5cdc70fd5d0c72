"""Condition numbers and the quantum share over training."""

from typing import Any

import numpy as np

from .base import Evaluation, Finished
from .decisions import KAPPA_LIMIT, SETS, decide, priced
from .trainings import newton


def derive(found: Finished) -> dict[str, Any]:
    """Return, per step, each block's condition number, and the quantum solver's share under each set.

    `above_limit` counts the systems above the limit of the paper's third version, and those of them that the quantum
    solver is predicted to finish first.
    """
    options, systems = found.options, found.result(newton(found.options)).systems
    shares, above_limit = [], []
    above = systems.log10_kappa > np.log10(KAPPA_LIMIT)
    for name in SETS:
        price = priced(systems, name, options)
        for limit in (None, KAPPA_LIMIT):
            decided = decide(systems, price, options.gate_time_s, np.inf if limit is None else limit)
            shares.append(
                {
                    "set": name,
                    "kappa_limit": limit,
                    "by_step": np.mean(decided.quantum, axis=1).tolist(),
                    "quantum_share": decided.share,
                    "blocks": [
                        block
                        for block, taken in zip(systems.names, np.any(decided.quantum, axis=0).tolist(), strict=True)
                        if taken
                    ],
                }
            )
            if limit is None:
                share = float(np.mean(decided.quantum[above])) if above.any() else None
                above_limit.append({"set": name, "systems": int(above.sum()), "quantum_share": share})
    return {
        "gate_time_s": options.gate_time_s,
        "blocks": [
            {"name": name, "rows": int(rows), "log10_kappa": systems.log10_kappa[:, k].tolist()}
            for k, (name, rows) in enumerate(zip(systems.names, systems.rows, strict=True))
        ],
        "shares": shares,
        "kappa_limit": KAPPA_LIMIT,
        "above_limit": above_limit,
    }


EVALUATION = Evaluation(
    name="kappa-share",
    question="How do condition numbers and the quantum share change over training?",
    reads=("mlp",),
    trainings=lambda options: [newton(options)],
    derive=derive,
)
