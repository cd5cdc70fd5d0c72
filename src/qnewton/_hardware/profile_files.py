"""Profile files: hardware as data, with every field checked by name."""

import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from .._core.suggest import unknown
from .classical_profile import ClassicalProfile
from .quantum_profile import QuantumProfile

KINDS = {"quantum": QuantumProfile, "classical": ClassicalProfile}
_PACKAGED = Path(__file__).parent / "profiles"


def profile_names() -> list[str]:
    """Return the names of the packaged profiles."""
    return sorted(path.stem for path in _PACKAGED.glob("*.toml"))


def listed_profiles() -> list[str]:
    """Return the names that a table lists where none is asked for: one model of quantum machines, `beverland`."""
    found = {name: load_profile(name) for name in profile_names()}
    return [name for name, one in found.items() if isinstance(one, ClassicalProfile) or one.model == "beverland"]


def load_profile(name_or_path: str | Path) -> QuantumProfile | ClassicalProfile:
    """Read a profile: a packaged one by its name, or a file of the user by its path.

    A file is TOML with `kind = "quantum"` or `"classical"` and the fields of `QuantumProfile` or `ClassicalProfile`;
    the name is the file's. Where the numbers of ours come from is in `_hardware/profiles/methodology.md`.

    Args:
        name_or_path: a path ends in `.toml`.

    Raises:
        ValueError: for an unknown name, or a file with a field that is unknown, missing or not what it must be; the
            message names file and field.
        OSError: if the file cannot be read.
    """
    if not str(name_or_path).endswith(".toml"):
        if str(name_or_path) not in profile_names():
            raise ValueError(
                f"{unknown('hardware profile', str(name_or_path), profile_names())}, or the path of a .toml file"
            )
        name_or_path = _PACKAGED / f"{name_or_path}.toml"
    path = Path(name_or_path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None
    try:
        return _build(path.stem, values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _build(name: str, values: dict[str, Any]) -> QuantumProfile | ClassicalProfile:
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise ValueError("the field `kind` is missing" if kind is None else unknown("kind", str(kind), KINDS))
    types = {field.name: field.type for field in fields(KINDS[kind]) if field.name != "name"}
    for field in values:
        if field not in types:
            raise ValueError(unknown("field", field, types))
    missing = [field.name for field in fields(KINDS[kind]) if field.name in types and field.default is MISSING]
    missing = [field for field in missing if field not in values]
    if missing:
        raise ValueError(f"{'field is' if len(missing) == 1 else 'fields are'} missing: {', '.join(missing)}")
    for field, value in values.items():
        if types[field] is str:
            if not isinstance(value, str):
                raise ValueError(f"{field} is {value!r}: it must be a string")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{field} is {value!r}: it must be a number")
        else:
            values[field] = float(value)
    return KINDS[kind](name=name, **values)
