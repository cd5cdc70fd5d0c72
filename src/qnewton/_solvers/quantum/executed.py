"""Common parts of quantum solvers that execute an algorithm, by emulation or as a circuit."""

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from ..._core.kinds import check_scalars
from ..._core.records import SystemEstimate
from ..base import AbstractQuantumSolver
from .encoding import AbstractEncoding
from .precision import check_state_error


class AbstractExecuted(AbstractQuantumSolver):
    """A quantum solver whose solution is read from the final state of its algorithm.

    Attributes:
        precision: 2-norm error of the normalised state, in (0, 1).
        encoding: of the matrix.
        kappa: bound on `||A|| / sigma_min`; None: not promised.
        norm: bound on `||A||`; None: not promised.
        max_queries: most that one application may take.
    """

    precision: eqx.AbstractVar[float]
    encoding: eqx.AbstractVar[AbstractEncoding]
    kappa: eqx.AbstractVar[float | None]
    norm: eqx.AbstractVar[float | None]
    max_queries: eqx.AbstractVar[int]
    known_norm: ClassVar[None] = None
    counts_sparse_access: ClassVar[bool] = False

    def __check_init__(self):
        check_scalars(self)
        check_state_error("precision", self.precision)
        if self.kappa is not None and not 1 <= self.kappa < math.inf:
            raise ValueError(
                f"kappa is {self.kappa}: a bound on the condition number is finite and at least 1; leave it out "
                "where none is known"
            )
        if self.norm is not None and not 0 < self.norm < math.inf:
            raise ValueError(f"norm is {self.norm}: a bound on ||A|| is finite and positive")
        if self.max_queries < 1:
            raise ValueError(f"max_queries is {self.max_queries}: allow at least one query")

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({self.encoding.name})"

    @property
    def asked_precision(self) -> float:
        return self.precision

    def built_for(self, estimate: SystemEstimate) -> Any:
        """Return the numbers with the promised condition number, if there is one."""
        if self.kappa is None:
            return estimate
        log = jnp.full_like(estimate.log_condition_number, math.log(self.kappa))
        return dataclasses.replace(estimate, log_condition_number=log)

    def conj(self, state: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True
