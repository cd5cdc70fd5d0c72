"""Machines made by hand, so that every prediction is known without measuring, and solvers that ours must agree with."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.records import ClassicalWorkload
from qnewton._hardware import KernelTimes

MachineOf = Callable[..., q.ClassicalMachine]


class ByQR(q.solvers.AbstractSolver):
    """lineax's QR as a candidate: its state has other arrays and other static parts than LU's and Cholesky's."""

    capabilities: ClassVar[q.solvers.Capabilities] = q.solvers.Capabilities()
    name: ClassVar[str] = "QR"

    def workload(self, estimate: q.estimators.SystemEstimate, encoding: q.solvers.Encoding) -> ClassicalWorkload:
        return ClassicalWorkload(kernel="qr", flops=4 / 3 * estimate.n**3, bytes=0.0)

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Any:
        return lx.QR().init(operator, options)

    def compute(self, state: Any, vector: Any, options: dict[str, Any]) -> Any:
        return lx.QR().compute(state, vector, options)

    def transpose(self, state: Any, options: dict[str, Any]) -> Any:
        # lineax's QR solves with the transpose of its factors.
        return lx.QR().transpose(state, options)

    def conj(self, state: Any, options: dict[str, Any]) -> Any:
        return lx.QR().conj(state, options)

    def assume_full_rank(self) -> bool:
        return True


@pytest.fixture
def by_qr() -> q.solvers.AbstractSolver:
    return ByQR()


@pytest.fixture
def machine_of() -> MachineOf:
    """`machine_of(dtype, lu=..., cholesky=..., qr=...)`: seconds of one call, whatever the size."""

    def make(dtype: Any = "float32", **seconds: float) -> q.ClassicalMachine:
        known = {"lu": 1e-3, "cholesky": 5e-4, "qr": 2e-3} | seconds
        kernels = tuple((name, KernelTimes(value, 0.0, 0.0)) for name, value in sorted(known.items()))
        return q.ClassicalMachine("made by hand", str(jnp.dtype(dtype)), kernels)

    return make


@pytest.fixture
def queries_of() -> Callable[[float], float]:
    """Expected queries of `jennings2023v1` at subnormalisation 1, written down anew in float64."""

    def count(kappa: float, precision: float = 1e-2) -> float:
        kappa = max(kappa, np.sqrt(12.0))
        log = np.log(2 * kappa + 3)
        walk = 1741 * np.e / 500 * np.sqrt(kappa**2 + 1) * ((133 / 125 + 4 / (25 * kappa ** (1 / 3))) * np.pi * log + 1)
        filtering = 351 / 50 * log**2 * (np.log(451 * log**2 / precision) + 1)
        projection = kappa * np.log(32 / precision)
        return float((walk + filtering + projection) / (0.39 - 0.204 * precision))

    return count
