"""The command `qnewton calibrate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .._experiments.limits import COUNT, SOME, Limited
from .._experiments.parts import make, part
from .answers import print_json

if TYPE_CHECKING:
    from ..._hardware import StoredCalibration

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class CalibrateCommand(Limited):
    """Measure the times of the classical solvers on this machine, and keep the fit for this machine and its versions.

    A calibration that is there already is shown, not measured again; with --again a new one is kept beside it. With
    --learn it is corrected by what a run's solves really took, which `qnewton train --calibration kept` predicts with.
    """

    solvers: Annotated[tuple[str, ...], SOME] = ("cholesky", "lu", "cg")
    """Solvers to measure, as `qnewton train` has them."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of the systems."""
    sizes: tuple[int, ...] = SIZES
    """Rows of the measured systems; larger ones are extrapolated by their operation count."""
    repeats: Annotated[int, COUNT] = 15
    """Measurements of each size, of which the median counts."""
    blas_threads: Annotated[int, COUNT] = 1
    """Threads for dense factorisations on the CPU."""
    directory: Path | None = None
    """Where calibrations are kept. None: the user's data directory."""
    again: bool = False
    """Measure also if there is a calibration; the older one stays."""
    learn: Path | None = None
    """Directory of a run of this machine that timed solves (`qnewton train --time-solves 5`): its own snapshot is kept,
    each kernel corrected by the median of measured over predicted seconds, by a factor of 2 at most in one go and of 4
    in all."""
    forget: bool = False
    """Keep the newest calibration once more, without anything that it learned."""
    json: bool = False
    """Print the calibration as one JSON object, and nothing else."""

    def __post_init__(self):
        super().__post_init__()
        if sum((self.learn is not None, self.forget, self.again)) > 1:
            raise ValueError("--learn, --forget and --again exclude each other: give one of them")
        for text in self.solvers:
            part("solver", text, "solvers")


def calibrate(arguments: Sequence[str]) -> int:
    """Parse, measure unless that was done before, save and print the calibration."""
    command = tyro.cli(CalibrateCommand, prog="qnewton calibrate", args=arguments)
    # Only now: `--help` should not wait for jax.
    import jax
    import scipy.linalg  # noqa: F401  (only a BLAS that is loaded can be limited)
    import threadpoolctl

    with (
        jax.enable_x64(command.dtype == "float64"),
        threadpoolctl.threadpool_limits(command.blas_threads, user_api="blas"),
    ):
        return _calibrate(command)


def _calibrate(command: CalibrateCommand) -> int:
    from ..._hardware import calibration_environment, load_calibration, store_calibration
    from ..._scheduling import calibrate as measure

    if command.learn is not None:
        return _learn(command.learn, command.directory, as_json=command.json)
    here = calibration_environment(command.dtype, command.blas_threads)
    kernels = [part("solver", text, "solvers").word for text in command.solvers]
    if command.forget:
        known_one = load_calibration(here, kernels, command.directory)
        if known_one is None:
            raise ValueError("--forget: no calibration of this machine and these versions is kept, so none learned")
        stored = store_calibration(known_one.machine, here, command.directory)
        if command.json:
            print_json(_record(stored))
        else:
            print(f"as it was measured, without any correction: {stored.path}")
        return 0
    stored = None if command.again else load_calibration(here, kernels, command.directory)
    if stored is None:
        machine = measure(
            [make("solver", text, "solvers") for text in command.solvers],
            dtype=command.dtype,
            sizes=command.sizes,
            repeats=command.repeats,
        )
        stored = store_calibration(machine, here, command.directory)
    elif not command.json:
        print(f"measured at {stored.measured_at}; --again measures anew and keeps this one")
    if command.json:
        print_json(_record(stored))
        return 0
    print(f"{here['processor']}, {here['usable_cores']} cores, {command.dtype}, BLAS threads {command.blas_threads}")
    print(f"{'kernel':<10} {'s/call':>9} {'s/byte':>9} {'s/flop':>9} {'fit error, median and worst':>28}")
    for kernel, times in stored.machine.kernels:
        fitted = f"{times.median_relative_error:.0%} {times.worst_relative_error:.0%}"
        print(
            f"{kernel:<10} {times.seconds_per_call:9.2e} {times.seconds_per_byte:9.2e} {times.seconds_per_flop:9.2e} "
            f"{fitted:>28}"
        )
    for kernel, factor in stored.learned:
        print(f"{kernel}: {factor:.2f} times as long, as runs have taught")
    print(f"calibration: {stored.path}")
    return 0


def _record(stored: "StoredCalibration") -> dict[str, Any]:
    return {
        "file": stored.path,
        "measured_at": stored.measured_at,
        "environment": stored.environment,
        "kernels": {kernel: vars(times) for kernel, times in stored.machine.kernels},
        "learned": dict(stored.learned),
    }


def _learn(run: Path, directory: Path | None, *, as_json: bool) -> int:
    from .._experiments.calibrations import learn
    from .._experiments.saved import read_saved

    stored, counts = learn(read_saved(run), directory)
    if as_json:
        print_json(_record(stored))
        return 0
    factors = dict(stored.learned)
    for kernel, count in sorted(counts.items()):
        print(f"{kernel}: {factors[kernel]:.2f} times as long as measured, from {count} solves")
    print(f"calibration: {stored.path}")
    return 0
