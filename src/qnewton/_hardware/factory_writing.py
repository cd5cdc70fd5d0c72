"""Writer of the packaged file of factory tables; run by hand when a packaged profile changes."""

import dataclasses

import numpy as np

from .distillation import compute_table
from .factory_files import PACKAGED, table_key
from .frontier import compute_frontier
from .profile_files import load_profile, profile_names
from .quantum_profile import QuantumProfile


def write_packaged_tables() -> None:
    """Compute the tables of all packaged profiles and replace the file."""
    profiles = [profile for profile in map(load_profile, profile_names()) if isinstance(profile, QuantumProfile)]
    arrays: dict[str, np.ndarray] = {"keys": np.array([table_key(profile) for profile in profiles])}
    for index, profile in enumerate(profiles):
        table = compute_table(profile) if profile.model == "beverland" else compute_frontier(profile)
        arrays.update({f"{index}_{field.name}": getattr(table, field.name) for field in dataclasses.fields(table)})
    np.savez_compressed(PACKAGED, **arrays)  # pyright: ignore[reportArgumentType]
