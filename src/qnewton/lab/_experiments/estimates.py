"""Conversion between a system's estimate and a line of `blocks.jsonl`, exact to the digits that predictions use."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from msgspec.structs import asdict

from ..._core.costs import Cost
from ..._core.records import Access, Kind, Kinds, SystemEstimate
from ..._scheduling.plan import OwnSystem
from .._runfile import AccessCosts, NumberKinds, OwnLine, SetDecision, SystemLine, WithoutOwn

_COSTS = ("product", "forming", "gram")


def own_line(own: OwnSystem, sets: Sequence[str]) -> OwnLine:
    """Return a plan's numbers for the system that one candidate alone solves.

    Args:
        own: on the host.
        sets: names of the assumption sets.
    """
    return OwnLine(
        solver=own.without.names[0],
        **estimated(own.estimate),
        conditioning_flops=float(own.conditioning.flops),
        conditioning_bytes=float(own.conditioning.bytes),
        estimation_flops=float(own.estimation.flops),
        estimation_bytes=float(own.estimation.bytes),
        predicted_conditioning_seconds=float(own.conditioning_seconds),
        predicted_estimation_seconds=float(own.estimation_seconds),
        without={
            name: WithoutOwn(
                predicted_seconds=float(own.without.seconds[row, 0]), queries=float(own.without.queries[row, 0])
            )
            for row, name in enumerate(sets)
        },
    )


def estimated(estimate: SystemEstimate) -> dict[str, Any]:
    """Return the fields that say what an estimate found."""
    log_kappa = float(estimate.log_condition_number)
    kinds = {name: kind.value for name, kind in dataclasses.asdict(estimate.kinds).items()}
    numbers = {name: float(getattr(estimate, name)) for name in ("max_entry", "frobenius_norm", "spectral_norm")}
    return numbers | {
        "degree": int(estimate.degree),
        "log10_condition_number": log_kappa / math.log(10),
        "log_condition_number": log_kappa,
        "condition_number_kind": estimate.kind.value,
        "kinds": NumberKinds(**kinds),
        "failure_probability": estimate.failure_probability,
        "matvecs": int(estimate.matvecs),
        "definite": bool(estimate.definite),
        "presumed_definite": bool(estimate.presumed_definite),
        "access": _access(estimate.access),
    }


def stacked_estimate(lines: Sequence[SystemLine], dtype: str) -> SystemEstimate:
    """The estimates of several systems of one size, as one with arrays `[lines]`.

    Args:
        lines: of `blocks.jsonl`; all of one block.
        dtype: of the run's systems. Its numbers are in the lines with all their digits, so nothing is rounded.
    """
    return _stacked(lines, lines[0].n, [bool(line.formed) for line in lines], dtype)


def stacked_own(lines: Sequence[SystemLine], name: str, dtype: str) -> SystemEstimate:
    """Return the same for the systems of a candidate with conditioning of its own."""
    return _stacked([line.own[name] for line in lines], lines[0].n, [True] * len(lines), dtype)


def _stacked(records: Sequence[SystemLine | OwnLine], n: int, formed: Sequence[bool], dtype: str) -> SystemEstimate:
    accesses = [record.access for record in records if record.access is not None]
    kinds = records[0].kinds
    assert kinds is not None, "of a block"
    assert len(accesses) == len(records), "of a block"

    def array(name: str, missing: float) -> Array:
        return jnp.asarray([_number(getattr(record, name), missing) for record in records], dtype)

    def cost(name: str) -> Cost:
        each = [[getattr(access, f"{name}_{unit}") for access in accesses] for unit in ("flops", "bytes")]
        return Cost(*(jnp.asarray(values, dtype) for values in each))

    return SystemEstimate(
        n=n,
        degree=jnp.asarray([record.degree for record in records], jnp.int32),
        max_entry=array("max_entry", math.nan),
        frobenius_norm=array("frobenius_norm", math.nan),
        spectral_norm=array("spectral_norm", math.nan),
        log_condition_number=array("log_condition_number", math.inf),
        definite=jnp.asarray([record.definite for record in records], bool),
        presumed_definite=jnp.asarray([record.presumed_definite for record in records], bool),
        matvecs=jnp.asarray([record.matvecs for record in records], jnp.int32),
        access=Access(
            *(cost(name) for name in _COSTS),
            rows=jnp.asarray([access.gram_rows for access in accesses], jnp.int32),
        ),
        formed=jnp.asarray(formed, bool),
        formed_kinds=Kinds(**{name: Kind(kind) for name, kind in asdict(kinds).items()}),
        failure=max(record.failure_probability or 0.0 for record in records),
    )


def _access(access: Access) -> AccessCosts:
    """Return the cost of using the operator: flops and bytes of each use, and the rows of its root."""
    record: dict[str, float] = {}
    for name in _COSTS:
        cost = getattr(access, name)
        record |= {f"{name}_flops": float(cost.flops), f"{name}_bytes": float(cost.bytes)}
    return AccessCosts(**record, gram_rows=int(access.rows))


def seconds_of(entry: SetDecision, names: Sequence[str]) -> np.ndarray:
    """Return the predicted seconds of one system under one set `[candidates]`; infinite for refused candidates."""
    return np.asarray([_number(entry.predicted_seconds[name], math.inf) for name in names])


def _number(value: float | None, missing: float) -> float:
    return missing if value is None else value
