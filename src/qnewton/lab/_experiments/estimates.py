"""A system's estimate in a line of `blocks.jsonl`, and back: every digit that a prediction depends on."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from msgspec.structs import asdict

from ..._core.costs import Cost
from ..._core.records import Access, Kind, Kinds, SystemEstimate
from .._runfile import AccessCosts, SetDecision, SystemLine

_COSTS = ("product", "forming", "gram")


def access_record(access: Access) -> AccessCosts:
    """What using the operator takes: flops and bytes of each, and the rows of its root."""
    record: dict[str, float] = {}
    for name in _COSTS:
        cost = getattr(access, name)
        record |= {f"{name}_flops": float(cost.flops), f"{name}_bytes": float(cost.bytes)}
    return AccessCosts(**record, gram_rows=int(access.rows))


def stacked_estimate(lines: Sequence[SystemLine], dtype: str) -> SystemEstimate:
    """The estimates of several systems of one size, as one with arrays `[lines]`.

    Args:
        lines: of `blocks.jsonl`; all of one block.
        dtype: of the run's systems. Its numbers are in the lines with all their digits, so nothing is rounded.
    """

    def array(name: str, missing: float) -> Array:
        return jnp.asarray([_number(getattr(line, name), missing) for line in lines], dtype)

    def cost(name: str) -> Cost:
        each = [[getattr(line.access, f"{name}_{unit}") for line in lines] for unit in ("flops", "bytes")]
        return Cost(*(jnp.asarray(values, dtype) for values in each))

    first = lines[0]
    return SystemEstimate(
        n=first.n,
        degree=jnp.asarray([line.degree for line in lines], jnp.int32),
        max_entry=array("max_entry", math.nan),
        frobenius_norm=array("frobenius_norm", math.nan),
        spectral_norm=array("spectral_norm", math.nan),
        log_condition_number=array("log_condition_number", math.inf),
        definite=jnp.asarray([line.definite for line in lines], bool),
        presumed_definite=jnp.asarray([line.presumed_definite for line in lines], bool),
        matvecs=jnp.asarray([line.matvecs for line in lines], jnp.int32),
        access=Access(
            *(cost(name) for name in _COSTS),
            rows=jnp.asarray([line.access.gram_rows for line in lines], jnp.int32),
        ),
        formed=jnp.asarray([line.formed for line in lines], bool),
        formed_kinds=Kinds(**{name: Kind(kind) for name, kind in asdict(first.kinds).items()}),
        failure=max(line.failure_probability for line in lines),
    )


def seconds_of(entry: SetDecision, names: Sequence[str]) -> np.ndarray:
    """The predicted seconds of one system under one set `[candidates]`; infinite where the candidate is refused."""
    return np.asarray([_number(entry.predicted_seconds[name], math.inf) for name in names])


def _number(value: float | None, missing: float) -> float:
    return missing if value is None else value
