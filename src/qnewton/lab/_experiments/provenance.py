"""Provenance of a run's numbers: versions, machine, commit, time."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..._hardware import describe_machine, usable_cores
from .._runfile import MachineRecord, typed

PACKAGES = ("qnewton", "jax", "jaxlib", "equinox", "lineax", "optax", "matfree", "numpy", "scipy", "scikit-learn")


def provenance() -> dict[str, Any]:
    """Fields `started`, `versions`, `machine` and `commit` of `config.json`."""
    return {
        "started": now(),
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
    }


def machine() -> MachineRecord:
    """Return this machine, as run files describe it."""
    here = describe_machine() | {"usable_cores": usable_cores(), "xla_flags": os.environ.get("XLA_FLAGS")}
    return typed(here, MachineRecord, "this machine")


def now() -> str:
    """Return the present time in ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of packages that numbers depend on; None if not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of the package's own checkout, with `-dirty` if changed; None for an installed wheel."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
