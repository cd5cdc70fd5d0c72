"""Writer of the packaged file of factory tables; run by hand when a packaged profile changes."""

import numpy as np

from .distillation import compute_table
from .factory_files import FIELDS, PACKAGED, table_key
from .profile_files import load_profile, profile_names
from .quantum_profile import QuantumProfile


def write_packaged_tables() -> None:
    """Compute the tables of all packaged profiles and replace the file."""
    profiles = [profile for profile in map(load_profile, profile_names()) if isinstance(profile, QuantumProfile)]
    arrays: dict[str, np.ndarray] = {"keys": np.array([table_key(profile) for profile in profiles])}
    for index, profile in enumerate(profiles):
        table = compute_table(profile)
        arrays.update({f"{index}_{field}": getattr(table, field) for field in FIELDS})
    np.savez_compressed(PACKAGED, **arrays)  # pyright: ignore[reportArgumentType]
