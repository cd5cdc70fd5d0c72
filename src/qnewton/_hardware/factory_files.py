"""The precomputed factory tables of the packaged profiles, which save `qnewton plan` half a second.

`factory_writing.write_packaged_tables()` makes the file anew; a test compares it with what is computed.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from .quantum_profile import QuantumProfile

PACKAGED = Path(__file__).parent / "profiles" / "factories.npz"
MAGIC_STATES = Path(__file__).parent / "profiles" / "magic-states.json"
"""Published tables of T factories."""
_IRRELEVANT = ("name", "description", "reaction_time_s", "power_w", "qubit_power_w")


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
        tables: list[dict[str, np.ndarray]] = [{} for _ in keys]
        for name in archive.files:
            index, _, field = name.partition("_")
            if field:
                tables[int(index)][field] = archive[name]
        return dict(zip(keys, tables, strict=True))
