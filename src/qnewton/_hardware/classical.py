"""The classical machine: a calibration, frozen, that turns workloads into predicted seconds."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from types import ModuleType

import equinox as eqx
import numpy as np

from .._core.arrays import Number, NumberArray, floating
from .._core.records import ClassicalWorkload
from .._core.suggest import unknown


class KernelTimes(eqx.Module):
    """Seconds of one kernel: a linear model of its workload, adjusted to fit one machine's measurements exactly.

    Caches, threads and block sizes set in at sizes of their own, so the line alone is off by up to three times between
    its ends. Between two measured sizes the factor on it is interpolated, in the logarithms of factor and operations;
    beyond them it stays, so that far out the line sets the growth.

    Attributes:
        seconds_per_call, seconds_per_byte, seconds_per_flop: coefficients of the line, each at least 0. An iteration
            costs as much to start as a call.
        samples: the measurements behind them, as `(n, measured_seconds, predicted_seconds)`, the prediction without
            the sample itself among the bends: the error to expect at another size.
        bends: `(log operations per call or iteration, log factor)`, ascending.
    """

    seconds_per_call: float = eqx.field(static=True)
    seconds_per_byte: float = eqx.field(static=True)
    seconds_per_flop: float = eqx.field(static=True)
    samples: tuple[tuple[int, float, float], ...] = eqx.field(static=True, default=())
    bends: tuple[tuple[float, float], ...] = eqx.field(static=True, default=())

    def scaled(self, factor: float) -> "KernelTimes":
        """Return the same kernel, `factor` times as slow; the samples stay as measured and fitted."""
        call, byte, flop = (c * factor for c in (self.seconds_per_call, self.seconds_per_byte, self.seconds_per_flop))
        return KernelTimes(call, byte, flop, self.samples, self.bends)

    def seconds(self, workload: ClassicalWorkload) -> Number:
        """Predicted seconds of one call; traced where the workload's steps are."""
        moved, done = workload.total_bytes, workload.total_flops
        started = 1 + workload.steps
        line = self.seconds_per_call * started + self.seconds_per_byte * moved + self.seconds_per_flop * done
        if not self.bends:
            return line
        xp, line, each = floating(line, done / started)
        bent = line * xp.exp(self._log_factor(xp, xp.log(xp.maximum(each, 1.0))))
        return bent.item() if xp is np and np.ndim(bent) == 0 else bent.astype(line.dtype)

    def _log_factor(self, xp: ModuleType, position: NumberArray) -> Number:
        # A sum over the bends. `jnp.interp` searches in a loop, which took longer than a small system's solve.
        total = self.bends[0][1]
        for (start, before), (end, after) in itertools.pairwise(self.bends):
            total = total + (after - before) / (end - start) * xp.clip(position - start, 0.0, end - start)
        return total

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
    """Fit the coefficients by least squares in relative error, none of them negative; then the bends.

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
    line = KernelTimes(call, byte, flop)
    bends = [
        (_log_operations(w), math.log(m / float(line.seconds(w))))
        for w, m in zip(workloads, measured_seconds, strict=True)
    ]
    samples = []
    for k, (n, measured, workload) in enumerate(zip(sizes, measured_seconds, workloads, strict=True)):
        others = KernelTimes(call, byte, flop, bends=_ascending(bends[:k] + bends[k + 1 :]))
        samples.append((n, measured, float(others.seconds(workload))))
    return KernelTimes(call, byte, flop, tuple(samples), _ascending(bends))


def _log_operations(workload: ClassicalWorkload) -> float:
    return math.log(max(float(workload.total_flops) / (1 + float(workload.steps)), 1.0))


def _ascending(bends: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return bends in ascending order; those with equal operations become their mean."""
    together: dict[float, list[float]] = {}
    for position, factor in bends:
        together.setdefault(position, []).append(factor)
    return tuple((position, statistics.fmean(factors)) for position, factors in sorted(together.items()))


def unformed_kernel(kernel: str) -> str:
    """Name of a kernel's times on operators that are not formed."""
    return f"{kernel}, unformed"


class ClassicalMachine(eqx.Module):
    """A classical machine, calibrated or by a profile.

    Attributes:
        name: of the processor.
        dtype: for which the kernels were measured.
        kernels: pairs of kernel name and times.
        gemm_seconds: of the probe (`measure.gemm_probe`) while they were measured. On a shared machine predictions hold
            for that minute; for another they scale with its probe. None where nothing was measured.
        basis: what the times rest on: `measured` here, kernel by kernel, or a profile (`rated.rated_machine`).
    """

    name: str = eqx.field(static=True)
    dtype: str = eqx.field(static=True)
    kernels: tuple[tuple[str, KernelTimes], ...] = eqx.field(static=True)
    gemm_seconds: float | None = eqx.field(static=True, default=None)
    basis: str = eqx.field(static=True, default="measured")

    @property
    def forms(self) -> bool:
        """Whether it says what forming a block takes."""
        return "forming" in dict(self.kernels)

    def corrected(self, factors: Mapping[str, float]) -> "ClassicalMachine":
        """Return the machine with each kernel slowed down by its factor; kernels without one are unchanged."""
        kernels = tuple((name, times.scaled(factors.get(name, 1.0))) for name, times in self.kernels)
        return ClassicalMachine(self.name, self.dtype, kernels, self.gemm_seconds, self.basis)

    def kernel_of(self, workload: ClassicalWorkload, *, formed: bool) -> str:
        """Return the kernel whose times predict a workload: the one for operators, if it applies and was measured."""
        unformed = unformed_kernel(workload.kernel)
        return unformed if not formed and unformed in dict(self.kernels) else workload.kernel

    def seconds(self, workload: ClassicalWorkload, *, formed: bool = True) -> Number:
        """Predicted seconds of the workload; traced where its steps are.

        Args:
            workload: of one solve.
            formed: whether the system is a matrix. Where it is not, the kernel's times for operators are taken, if it
                was measured on both.

        Raises:
            KeyError: if its kernel was not calibrated.
        """
        kernels, kernel = dict(self.kernels), self.kernel_of(workload, formed=formed)
        if kernel not in kernels:
            raise KeyError(unknown("kernel", workload.kernel, kernels) + ". Calibrate with every solver in use")
        return kernels[kernel].seconds(workload)
