"""The spectra of a run's first systems, or of matrices in a file."""

import dataclasses
import json
import typing
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.records import System
from ..estimation import BlockSpectrum, block_spectrum
from ..optim import spectrum
from . import build
from .options import TrainOptions
from .tasks import make_task
from .tasks.base import batches

SUFFIXES = (".npy", ".npz", ".mtx")


def spectra(path: Path, *, conditioned: bool = True, exact_up_to: int = 1500) -> tuple[BlockSpectrum, ...]:
    """Of a run directory, rebuilt at its initial parameters and first batch, or of a file.

    Args:
        path: a run directory, or a `.npy`, `.npz` (dense arrays, or one sparse matrix of scipy's) or `.mtx` file.
        conditioned: whether the blocks of a run are pruned and damped as in its first step.
        exact_up_to: rows up to which all eigenvalues are computed.

    Raises:
        ValueError, OSError: for what is not there, cannot be read, or has no real spectrum.
    """
    if path.is_dir():
        return of_run(path, conditioned=conditioned, exact_up_to=exact_up_to)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: name a run directory or a file that ends in {_named()}")
    return tuple(
        _of_matrix(matrix, name, f"{path.name}: {name}", exact_up_to) for name, matrix in read_matrices(path).items()
    )


def of_run(path: Path, *, conditioned: bool, exact_up_to: int) -> tuple[BlockSpectrum, ...]:
    """The blocks of a run's first step; a run keeps no later parameters."""
    config = path / "config.json"
    if not config.exists():
        raise FileNotFoundError(f"{path} holds no config.json: it is not the directory of a run")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        options, task_name = _options(TrainOptions, content["options"]), content["task"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{config} is not what this version of qnewton writes ({error!r}): train again") from error
    with jax.enable_x64(options.training.dtype == "float64"):
        task = make_task(task_name, options.training.dtype)
        return spectrum(
            task.objective,
            task.init(jax.random.key(options.training.seed)),
            next(batches(task.train, options.training.batch_size, options.training.seed)),
            curvature=build.CURVATURES[options.step.curvature],
            partition=build.PARTITIONS[options.step.partition],
            conditioning=build.make_conditioning(options.conditioning) if conditioned else (),
            scale=float(build.make_adaptation(options.conditioning).initial()),
            exact_up_to=exact_up_to,
        )


def read_matrices(path: Path) -> dict[str, np.ndarray]:
    """The square matrices in a file, by name.

    Raises:
        ValueError: for another kind of file, or one that holds no square matrix.
    """
    try:
        if path.suffix == ".npy":
            found = {path.stem: np.load(path, allow_pickle=False)}
        elif path.suffix == ".npz":
            found = _read_npz(path)
        elif path.suffix == ".mtx":
            import scipy.io

            matrix = scipy.io.mmread(path)
            found = {path.stem: np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.todense())}
        else:
            raise ValueError(f"its name does not end in {_named()}")
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a matrix: {error}") from error
    for name, matrix in found.items():
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
            raise ValueError(f"{path}: {name} has the shape {matrix.shape}, and a spectrum is of a square matrix")
        if matrix.dtype.kind not in "fiu":
            raise ValueError(f"{path}: {name} has entries of type {matrix.dtype}: real numbers are asked for")
    return found


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if not arrays:
        raise ValueError("it holds no array")
    if "format" in arrays:
        import scipy.sparse

        return {path.stem: scipy.sparse.load_npz(path).toarray()}
    return arrays


def _of_matrix(matrix: np.ndarray, name: str, what: str, exact_up_to: int) -> BlockSpectrum:
    matrix = matrix if matrix.dtype in (np.float32, np.float64) else matrix.astype(np.float64)
    if not np.all(np.isfinite(matrix)):
        raise ValueError(f"{what} holds NaN or infinity: it has no spectrum")
    gap = np.abs(matrix - matrix.T)
    if gap.max() > np.sqrt(np.finfo(matrix.dtype).eps) * np.abs(matrix).max():
        row, column = np.unravel_index(np.argmax(gap), gap.shape)
        raise ValueError(
            f"{what} is not symmetric: its entries ({row}, {column}) and ({column}, {row}) are "
            f"{matrix[row, column]:g} and {matrix[column, row]:g}"
        )
    # The width of the file is kept, since it says what is negligible.
    with jax.enable_x64(matrix.dtype == np.float64):
        system = System.of(jnp.asarray((matrix + matrix.T) / 2), symmetric=True)
        return block_spectrum(system, name, exact_up_to=exact_up_to)


def _options(kind: Any, values: dict[str, Any]) -> Any:
    """The dataclass from what `dataclasses.asdict` and JSON made of it."""
    hints = typing.get_type_hints(kind)
    made = {}
    for field in dataclasses.fields(kind):
        value = values[field.name]
        if dataclasses.is_dataclass(hints[field.name]):
            value = _options(hints[field.name], value)
        made[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**made)


def _named() -> str:
    return ", ".join(SUFFIXES[:-1]) + f" or {SUFFIXES[-1]}"
