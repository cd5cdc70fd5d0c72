"""An uncalibrated classical machine: published or measured times, scaled by a short probe of its speed.

Three sources, the first that there is:

1. A profile that was measured, kernel by kernel, on a machine with the same processor
   (`profiles/measured`; only machines that were really measured, each named in `profiles/methodology.md`).
2. For a CPU without one, the profile of the one that was measured: what a kernel takes over what a matrix product takes
   differs less between processors than either of them.
3. The roofline of a data sheet (`ClassicalProfile`), for accelerators and for kernels that no profile has.

All kernels are scaled by one factor, the probe's seconds here over those of the source. So which of two classical
solvers is taken does not depend on the minute.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .cache import StoredCalibration, read_calibration
from .classical import ClassicalMachine
from .classical_profile import ClassicalProfile
from .measure import PROBE_ROWS, describe_machine, gemm_probe, median_seconds
from .profile_files import load_profile

PROBE_BUDGET_SECONDS = 0.1
_MEASURED = Path(__file__).parent / "profiles" / "measured"


def rated_machine(
    kernels: Iterable[str], dtype: str, probe_seconds: float | None = None, *, probe: bool = True
) -> ClassicalMachine:
    """The machine that this process runs on, without a calibration.

    Args:
        kernels: names of the kernels that workloads will ask for.
        dtype: of the systems, `float32` or `float64`.
        probe_seconds: of `measure.gemm_probe` here; None: measured, in less than a fifth of a second.
        probe: False takes the source as it is, at once: for comparisons that no speed of this machine could turn.

    Returns:
        Its `basis` says what it rests on.
    """
    here = describe_machine()
    sheet = _sheet(str(here["backend"]), str(here["device"]))
    roofline = dict(sheet.machine(kernels, dtype).kernels)
    product = 2.0 * PROBE_ROWS**3 / (sheet.efficiency * sheet.flops_per_s(dtype))
    profile = _profile(str(here["processor"]), dtype) if here["backend"] == "cpu" else None
    if probe_seconds is None and probe:
        probe_seconds = median_seconds(gemm_probe(dtype), 15, PROBE_BUDGET_SECONDS)
    if probe_seconds is None:
        probe_seconds = product if profile is None else profile.machine.gemm_seconds or product
    times = {kernel: line.scaled(probe_seconds / product) for kernel, line in roofline.items()}
    basis = f"data sheet of {sheet.description}"
    if profile is not None and profile.machine.gemm_seconds is not None:
        known = {name: line for name, line in profile.machine.kernels if name in times}
        if known:
            basis = f"profile measured on {profile.machine.name}" + (f"; {basis}" if len(known) < len(times) else "")
        # Without the samples, which nobody measured here.
        times |= {
            name: replace(line, samples=()).scaled(probe_seconds / profile.machine.gemm_seconds)
            for name, line in known.items()
        }
    return ClassicalMachine(
        name=str(here["processor"]),
        dtype=dtype,
        kernels=tuple(sorted(times.items())),
        gemm_seconds=probe_seconds,
        basis=f"{basis}; {'scaled by a probe' if probe else 'as it stands'}",
    )


def _sheet(backend: str, device: str) -> ClassicalProfile:
    """The data sheet of the device, or of the one of its kind that is nearest by name."""
    accelerator = "nvidia-h100-sxm" if re.search(r"\bG?H\d", device) else "nvidia-a100-sxm"
    sheet = load_profile("amd-epyc-7702" if backend == "cpu" else accelerator)
    assert isinstance(sheet, ClassicalProfile)
    return sheet


@functools.cache
def _profile(processor: str, dtype: str) -> StoredCalibration | None:
    """Return the measured profile of this processor, else of any; None without one for the number type."""
    found = [read_calibration(path) for path in sorted(_MEASURED.glob(f"*-{dtype}.json"))]
    own = [profile for profile in found if profile.machine.name == processor]
    return next(iter(own or found), None)
