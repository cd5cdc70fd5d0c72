"""Calibrations on disk: one file per measurement, matched by machine and versions, never overwritten.

A calibration holds for the machine, the number types and the libraries that it was measured with. The newest one that
fits is used; older ones stay where they are, and so does every file that cannot be read.
"""

import hashlib
import json
import os
import platform
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import equinox as eqx

from .classical import ClassicalMachine, KernelTimes
from .json_shape import read_shaped
from .measure import describe_machine, usable_cores

SCHEMA_VERSION = 2
MEASURE_HERE = (
    "Its seconds say nothing about this machine: measure here, with qnewton calibrate or --calibration measure"
)
"""Why a calibration of another machine is refused, and what to do."""
_KERNEL = {
    **{f"seconds_per_{unit}": "a finite number" for unit in ("call", "byte", "flop")},
    "samples": [["an integer", "a finite number", "a finite number"]],
    "bends": [["a finite number", "a finite number"]],
}
_SHAPE = {
    "measured_at": "a string",
    "environment": {"dtype": "a string"},
    "gemm_seconds": "a finite number or null",
    "name": "a string",
    "kernels": {"*": _KERNEL},
    "learned": {"*": "a finite number"},
}
_LIBRARIES = ("qnewton", "jax", "jaxlib", "lineax", "equinox", "numpy", "scipy")


Environment: TypeAlias = dict[str, Any]
"""What a calibration holds for, by `calibration_environment`: plain values, as JSON has them."""


class StoredCalibration(eqx.Module):
    """A calibration and the environment that it belongs to.

    Attributes:
        machine: the fitted times, as measured.
        learned: kernel to the factor that runs have taught since (`learning.next_factors`).
        environment: what it holds for, from `calibration_environment`.
        measured_at: when, ISO 8601 in UTC.
        path: its file.
    """

    machine: ClassicalMachine = eqx.field(static=True)
    environment: Environment = eqx.field(static=True)
    measured_at: str = eqx.field(static=True)
    path: Path = eqx.field(static=True)
    learned: tuple[tuple[str, float], ...] = eqx.field(static=True, default=())

    @property
    def corrected(self) -> ClassicalMachine:
        """Machine that predictions use, with measured seconds times learned factors."""
        return self.machine.corrected(dict(self.learned))


def calibration_environment(dtype: str, blas_threads: int) -> Environment:
    """Return the environment of a calibration made now.

    It holds processor, cores, device, number type, threads and versions.
    """
    described = describe_machine()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        **{key: described[key] for key in ("processor", "cores", "backend", "device")},
        "usable_cores": usable_cores(),
        "dtype": str(dtype),
        "blas_threads": blas_threads,
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def calibration_directory() -> Path:
    """Return the directory of this user's calibrations; it need not exist yet."""
    from platformdirs import user_data_path

    # Data, not a cache: nobody should lose a calibration to a tidy-up.
    return user_data_path("qnewton", appauthor=False) / "calibrations"


def check_environment(found: Environment, here: Environment, what: str, remedy: str = MEASURE_HERE) -> None:
    """Refuse a calibration of another machine, number type, thread count or set of versions.

    Args:
        found: what it holds for.
        here: `calibration_environment` now.
        what: it is, for the message.
        remedy: why that matters and what to do, for the message.

    Raises:
        ValueError: naming what differs.
    """
    differing = [f"{key} {found.get(key)!r} (here {here[key]!r})" for key in here if found.get(key) != here[key]]
    if differing:
        raise ValueError(f"{what} was measured elsewhere: {'; '.join(differing)}. {remedy}")


def store_calibration(
    machine: ClassicalMachine,
    environment: Environment,
    directory: Path | None = None,
    learned: Mapping[str, float] | None = None,
) -> StoredCalibration:
    """Write a new file beside the existing ones.

    Args:
        machine: a calibration, as measured.
        environment: what it holds for.
        learned: factors on its kernels.
        directory: None: `calibration_directory()`; made if need be.

    Raises:
        OSError: if the directory cannot be written.
    """
    directory = calibration_directory() if directory is None else directory
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    record = {
        "schema_version": SCHEMA_VERSION,
        "measured_at": now.isoformat(timespec="microseconds"),
        "environment": environment,
        "gemm_seconds": machine.gemm_seconds,
        "name": machine.name,
        "kernels": {
            kernel: {
                "seconds_per_call": times.seconds_per_call,
                "seconds_per_byte": times.seconds_per_byte,
                "seconds_per_flop": times.seconds_per_flop,
                "samples": [list(sample) for sample in times.samples],
                "bends": [list(bend) for bend in times.bends],
            }
            for kernel, times in machine.kernels
        },
        "learned": dict(sorted((learned or {}).items())),
    }
    path = directory / f"{_key(environment)}-{now:%Y%m%dT%H%M%S%f}.json"
    # Whole or not at all, and never in the place of another: a link fails where there is a file already.
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    return StoredCalibration(machine, environment, record["measured_at"], path, tuple(record["learned"].items()))


def load_calibration(
    environment: Environment, kernels: Iterable[str] = (), directory: Path | None = None
) -> StoredCalibration | None:
    """Return the newest calibration of this environment that has these kernels, or None.

    Args:
        environment: as `calibration_environment` describes it now.
        kernels: names that must be among the measured ones.
        directory: None: `calibration_directory()`.

    Warns:
        UserWarning: for each file of this environment that cannot be read; it stays as it is.
    """
    directory = calibration_directory() if directory is None else directory
    found = []
    for path in sorted(directory.glob(f"{_key(environment)}-*.json")):
        try:
            stored = read_calibration(path)
        except (ValueError, OSError) as error:
            warnings.warn(f"{error}; the file is passed over and left as it is", stacklevel=2)
            continue
        if stored.environment == environment and set(kernels) <= {name for name, _ in stored.machine.kernels}:
            found.append(stored)
    return max(found, key=lambda stored: stored.measured_at, default=None)


def read_calibration(path: Path) -> StoredCalibration:
    """Read one file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not one of ours; names file and field, and says what to do.
    """
    record = read_shaped(path, _SHAPE, SCHEMA_VERSION, "measure again, with qnewton calibrate")
    kernels = tuple(
        (
            kernel,
            KernelTimes(
                *(float(times[f"seconds_per_{unit}"]) for unit in ("call", "byte", "flop")),
                samples=tuple((n, float(measured), float(fitted)) for n, measured, fitted in times["samples"]),
                bends=tuple((float(position), float(factor)) for position, factor in times["bends"]),
            ),
        )
        for kernel, times in sorted(record["kernels"].items())
    )
    probe = record["gemm_seconds"]
    machine = ClassicalMachine(
        record["name"], record["environment"]["dtype"], kernels, None if probe is None else float(probe)
    )
    learned = tuple((kernel, float(factor)) for kernel, factor in sorted(record["learned"].items()))
    return StoredCalibration(machine, record["environment"], record["measured_at"], path, learned)


def _key(environment: Environment) -> str:
    return hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()[:16]
