"""The spectra of a run's first systems, or of matrices in a file."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ..._core.limits import EXACT_UP_TO
from ..._core.records import System
from ..._estimation import BlockSpectrum, block_spectrum
from ..._optim.spectra import spectrum
from .._runfile import read_run, readable
from . import build
from .matrices.files import dense, read_matrices, symmetric_part
from .own_task import check_unchanged
from .saved import train_options
from .tasks import make_task
from .tasks.base import batches


def spectra(path: Path, *, conditioned: bool = True, exact_up_to: int = EXACT_UP_TO) -> tuple[BlockSpectrum, ...]:
    """Return the spectra of a run directory, rebuilt at its initial parameters and first batch, or of a file.

    Args:
        path: a run directory, or a `.npy`, `.npz` (dense arrays, or one sparse matrix of scipy's), `.mtx` or `.mtx.gz`
            file.
        conditioned: whether the blocks of a run are pruned and damped as in its first step.
        exact_up_to: rows up to which all eigenvalues are computed.

    Raises:
        ValueError, OSError: for what is not there, cannot be read, or has no real spectrum.
    """
    if path.is_dir():
        return of_run(path, conditioned=conditioned, exact_up_to=exact_up_to)
    file = readable(path.name)
    return tuple(
        _of_matrix(dense(matrix, f"{file}: {name}"), name, f"{file}: {name}", exact_up_to)
        for name, matrix in read_matrices(path).items()
    )


def of_run(path: Path, *, conditioned: bool, exact_up_to: int) -> tuple[BlockSpectrum, ...]:
    """Return the spectra of the blocks of a run's first step."""
    # With its lines, which tell a config.json of another run, whole by itself, from the run's own.
    config = read_run(path).config
    options = train_options(path, config)
    check_unchanged(path, config.task, config.task_digest)
    with jax.enable_x64(options.training.dtype == "float64"):
        task = make_task(config.task, options.training.dtype, options.task)
        return spectrum(
            task.objective,
            task.init(jax.random.key(options.training.seed)),
            next(batches(task.train, options.training.batch_size, options.training.seed)),
            curvature=build.make_curvature(options.step),
            # Of what has no system in the run, neither.
            partition=lambda params: build.systems(options, params),
            conditioning=build.make_conditioning(options.conditioning) if conditioned else (),
            scale=float(build.make_adaptation(options.conditioning).initial()),
            exact_up_to=exact_up_to,
        )


def _of_matrix(matrix: np.ndarray, name: str, what: str, exact_up_to: int) -> BlockSpectrum:
    matrix = symmetric_part(matrix, what)
    # The width of the file is kept, since it says what is negligible.
    with jax.enable_x64(matrix.dtype == np.float64):
        system = System.of(jnp.asarray(matrix), symmetric=True)
        return block_spectrum(system, name, exact_up_to=exact_up_to)
