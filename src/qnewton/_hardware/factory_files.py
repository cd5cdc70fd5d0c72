"""The precomputed factory tables of the packaged profiles, which save `qnewton plan` half a second.

`factory_writing.write_packaged_tables()` makes the file anew; a test compares it with what is computed.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from .quantum_profile import QuantumProfile

PACKAGED = Path(__file__).parent / "profiles" / "factories.npz"
FIELDS = ("first", "last", "log_error", "qubits", "seconds", "least_log_error")
_IRRELEVANT = ("name", "description", "reaction_time_s")


def table_key(profile: QuantumProfile) -> str:
    """Return a text with everything that a machine's factories depend on."""
    relevant = (f.name for f in dataclasses.fields(profile) if f.name not in _IRRELEVANT)
    return ", ".join(f"{name}={getattr(profile, name)!r}" for name in relevant)


@functools.cache
def packaged_tables() -> dict[str, dict[str, np.ndarray]]:
    """Arrays of each table, by `table_key`."""
    if not PACKAGED.exists():
        return {}
    with np.load(PACKAGED, allow_pickle=False) as archive:
        keys = [str(key) for key in archive["keys"]]
        return {key: {field: archive[f"{index}_{field}"] for field in FIELDS} for index, key in enumerate(keys)}
