"""The classical machine: a calibration, frozen, that turns workloads into predicted seconds."""

import statistics

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..core.records import ClassicalWorkload
from ..core.suggest import unknown


class KernelTimes(eqx.Module):
    """Seconds of one kernel as a linear model of its workload, fitted to measurements on one machine.

    Attributes:
        seconds_per_call, seconds_per_byte, seconds_per_flop: coefficients, each at least 0. An iteration costs as much
            to start as a call.
        samples: the measurements behind them, as `(n, measured_seconds, predicted_seconds)`.
    """

    seconds_per_call: float = eqx.field(static=True)
    seconds_per_byte: float = eqx.field(static=True)
    seconds_per_flop: float = eqx.field(static=True)
    samples: tuple[tuple[int, float, float], ...] = eqx.field(static=True, default=())

    def seconds(self, workload: ClassicalWorkload) -> Float[Array, ""] | float:
        """Predicted seconds of one call; traced where the workload's steps are."""
        moved, done = workload.total_bytes, workload.total_flops
        started = 1 + workload.steps
        return self.seconds_per_call * started + self.seconds_per_byte * moved + self.seconds_per_flop * done

    @property
    def worst_relative_error(self) -> float:
        """Largest `|predicted / measured - 1|` over the samples."""
        return max(self._relative_errors, default=0.0)

    @property
    def median_relative_error(self) -> float:
        """Median `|predicted / measured - 1|` over the samples."""
        return statistics.median(self._relative_errors or [0.0])

    @property
    def _relative_errors(self) -> list[float]:
        return [abs(predicted / measured - 1) for _, measured, predicted in self.samples]


def fit(workloads: list[ClassicalWorkload], sizes: list[int], measured_seconds: list[float]) -> KernelTimes:
    """Least-squares fit of the coefficients, in relative error, none of them negative.

    Relative, since the samples span five orders of magnitude and a scheduler compares ratios.
    """
    from scipy.optimize import nnls

    terms = np.array([[1 + float(w.steps), float(w.total_bytes), float(w.total_flops)] for w in workloads])
    largest = terms.max(axis=0)
    # A kernel may state no memory traffic at all; its column stays zero, and so does its coefficient.
    scale = np.where(largest > 0, largest, 1)
    weights = 1 / np.asarray(measured_seconds)
    coefficients, _ = nnls(terms / scale * weights[:, None], np.ones(len(weights)))
    call, byte, flop = (float(c) for c in coefficients / scale)
    fitted = KernelTimes(call, byte, flop)
    samples = [(n, m, float(fitted.seconds(w))) for n, m, w in zip(sizes, measured_seconds, workloads, strict=True)]
    return KernelTimes(call, byte, flop, tuple(samples))


class ClassicalMachine(eqx.Module):
    """A calibrated classical machine.

    Attributes:
        name: of the processor.
        dtype: for which the kernels were measured.
        kernels: pairs of kernel name and times.
        gemm_seconds: of the probe (`measure.gemm_probe`) while they were measured. On a shared machine predictions hold
            for that minute; for another they scale with its probe. None where nothing was measured.
    """

    name: str = eqx.field(static=True)
    dtype: str = eqx.field(static=True)
    kernels: tuple[tuple[str, KernelTimes], ...] = eqx.field(static=True)
    gemm_seconds: float | None = eqx.field(static=True, default=None)

    def seconds(self, workload: ClassicalWorkload) -> Float[Array, ""] | float:
        """Predicted seconds of the workload; traced where its steps are.

        Raises:
            KeyError: if its kernel was not calibrated.
        """
        kernels = dict(self.kernels)
        if workload.kernel not in kernels:
            raise KeyError(unknown("kernel", workload.kernel, kernels) + ". Calibrate with every solver in use")
        return kernels[workload.kernel].seconds(workload)
