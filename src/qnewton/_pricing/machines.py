"""The machines of a plan, from the names of profiles, and this machine by its calibration."""

from collections.abc import Sequence
from pathlib import Path

from .._hardware import (
    ClassicalProfile,
    QuantumMachine,
    QuantumProfile,
    calibration_directory,
    calibration_environment,
    listed_profiles,
    load_calibration,
    load_profile,
)
from .classical import DISK_BYTES_PER_S, ROUNDOFF, ClassicalHost

THIS = "this machine"
Hardware = str | Path | QuantumProfile | ClassicalProfile | ClassicalHost | tuple[str, QuantumMachine]
"""A profile, its name or the path of its file; `this machine` by its calibration; a quantum machine with a name."""


def machines_of(hardware: Sequence[Hardware]) -> tuple[list[tuple[str, QuantumMachine]], list[ClassicalHost]]:
    """The quantum machines and the classical ones.

    Args:
        hardware: none at all stands for ours, of quantum machines those of the model `beverland`.

    Raises:
        ValueError: for an unknown name, if this machine has no calibration, or if no machine is a quantum one.
        OSError: if a file cannot be read.
    """
    quantum: list[tuple[str, QuantumMachine]] = []
    hosts: list[ClassicalHost] = []
    for one in hardware or listed_profiles():
        if isinstance(one, tuple):
            quantum.append(one)
            continue
        found = _named(one) if isinstance(one, (str, Path)) else one
        if isinstance(found, QuantumProfile):
            quantum.append((found.name, found.machine))
        else:
            hosts.append(ClassicalHost.of(found) if isinstance(found, ClassicalProfile) else found)
    if not quantum:
        raise ValueError(
            f"hardware is {' '.join(host.name for host in hosts)}: name a quantum profile, e.g. superconducting"
        )
    return quantum, hosts


def _named(name: str | Path) -> QuantumProfile | ClassicalProfile | ClassicalHost:
    if name != THIS:
        return load_profile(name)
    found = this_machine()
    if found is None:
        raise ValueError(f"{THIS} has no calibration: run `qnewton calibrate`, or name a classical profile")
    return found


def this_machine(directory: Path | None = None, blas_threads: int = 1) -> ClassicalHost | None:
    """This machine by its calibration; None where there is none.

    Args:
        directory: where `qnewton calibrate` kept its files; None: the user's data directory.
        blas_threads: that the calibration was made with.
    """
    import psutil

    directory = directory or calibration_directory()
    if not directory.is_dir():
        return None
    stored = {}
    for dtype in ROUNDOFF:
        found = load_calibration(calibration_environment(dtype, blas_threads), (), directory)
        if found is not None:
            stored[dtype] = found.machine
    if not stored:
        return None
    sizes = [sample[0] for machine in stored.values() for _, times in machine.kernels for sample in times.samples]
    memory = float(psutil.virtual_memory().total)
    return ClassicalHost(THIS, "calibrated", stored, memory, DISK_BYTES_PER_S, max(sizes, default=None))
