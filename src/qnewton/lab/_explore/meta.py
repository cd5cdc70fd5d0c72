"""What the page says of inputs, sets, machines and formulas: data only."""

import inspect
from typing import Any

from ..._hardware import QuantumProfile, load_profile, profile_names
from ..._pricing.assumptions import ASSUMPTION_SETS
from ..._pricing.gate_times import SHORTEST_S
from ..._pricing.paper import counts_for
from ..._pricing.table import validity_of
from ..._pricing.verdict import PROVEN
from ..._solvers.quantum.queries import QUERY_MODELS, Matrices, QueryBound, QueryModel, block_queries
from .formulas import PATTERNS, readouts_of, rivals_of

_INPUTS = (
    # name, label, unit, low, high, default (None: not given, the worst case)
    ("n", "rows", "", 2.0, 1e12, 1e4),
    ("kappa", "condition number", "", 1.0, 1e12, 1e3),
    ("d", "nonzeros in a row", "", 1.0, 1e12, None),
    ("epsilon", "relative error", "", 1e-12, 0.5, 1e-3),
    ("gate_time_s", "gate time", "s", SHORTEST_S, 1.0, None),
    ("max_entry", "largest entry", "", 1e-6, 1e6, None),
    ("frobenius_norm", "Frobenius norm", "", 1e-6, 1e12, None),
    ("spectral_norm", "spectral norm", "", 1e-6, 1e6, None),
    ("solution_norm", "length of the solution", "", 1.0, 1e12, None),
    ("bandwidth", "bandwidth", "", 0.0, 1e12, None),
    ("preconditioned_kappa", "condition number with a preconditioner", "", 1.0, 1e12, None),
    ("layer", "rows of one Kronecker factor", "", 1.0, 1e12, None),
    ("root_rows", "rows of a root", "", 1.0, 1e12, None),
    ("overlap", "part of the right-hand side in the root's range", "", 1e-6, 1.0, None),
    ("row_entries", "numbers that define a row of the root", "", 1.0, 1e12, None),
)


def meta() -> dict[str, Any]:
    """Return the record that becomes `QN.meta`."""
    profiles = [load_profile(name) for name in profile_names()]
    fields = ("name", "label", "unit", "low", "high", "default")
    encodings = {one.name: one for assumed in ASSUMPTION_SETS.values() for one in assumed.encodings}
    readouts = {one.name: one for assumed in ASSUMPTION_SETS.values() for one in readouts_of(assumed) if one}
    return {
        "inputs": [{**dict(zip(fields, one, strict=True)), "scale": "log"} for one in _INPUTS],
        "sets": [
            {
                "name": one.name,
                "algorithms": [model.name for model in QUERY_MODELS.values() if counts_for(one, model)],
                "encodings": [encoding.name for encoding in one.encodings],
                "readouts": ["none" if readout is None else readout.name for readout in readouts_of(one)],
                "corrects_errors": one.error_correction is not None,
            }
            for one in ASSUMPTION_SETS.values()
        ],
        "hardware": [
            {"name": one.name, "description": one.description, "gate_time_s": one.machine.gate_time_s, "code": one.code}
            for one in profiles
            if isinstance(one, QuantumProfile)
        ],
        "hosts": [
            {"name": one.name, "description": one.description}
            for one in profiles
            if not isinstance(one, QuantumProfile)
        ],
        "algorithms": [_algorithm(model) for model in QUERY_MODELS.values()],
        "encodings": [_sourced(one) for one in encodings.values()],
        "readouts": [_sourced(one) for one in readouts.values()],
        "rivals": [
            {"name": one.name, "source": one.source, "evidence": one.guarantee, "definite": one.definite}
            for one in dict(rivals_of())
        ],
        "meshes": [one for one in PATTERNS if one.startswith("mesh")],
        "bounds": [_bound(block_queries)],
    }


def _algorithm(model: QueryModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "source": model.source,
        "version": model.version,
        "evidence": model.evidence.value,
        "known_from": model.known_from,
        "error": model.convention.value,
        "unit": model.unit.value,
        "matrices": model.matrices.value,
        "validity": validity_of(model),
    }


def _bound(bound: QueryBound) -> dict[str, Any]:
    return {
        "name": bound.name,
        "source": bound.source,
        "evidence": bound.evidence.value,
        "known_from": bound.known_from,
        "error": "trace distance",
        "validity": f"n from {bound.smallest_n:g}",
    }


def _sourced(one: Any) -> dict[str, Any]:
    summary = (inspect.getdoc(type(one)) or "").partition("\n\n")[0].replace("\n", " ")
    return {"name": one.name, "source": one.source, "evidence": one.evidence.value, "formula": summary}


def is_proven(model: QueryModel) -> bool:
    """Whether a verdict may be charged by it."""
    return model.evidence.value in PROVEN


def needs_definite(model: QueryModel) -> bool:
    """Whether it is for positive definite matrices alone."""
    return model.matrices is Matrices.DEFINITE


def notes_of(model: QueryModel) -> list[str]:
    """What a table adds to a number that was clamped, or extrapolated, or where the solution's norm is not given."""
    measured = ""
    if model.measured_kappa is not None:
        low, high = model.measured_kappa
        measured = f"measured at kappa {low:g}{'' if low == high else f' to {high:g}'}, extrapolated"
    norm = "||x|| at its least" if model.uses_norm and not model.needs_norm else ""
    return [f"kappa raised to the theorem's smallest, {model.smallest_kappa:.3g}", measured, norm]
